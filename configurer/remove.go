package configurer

import (
	"errors"
	"fmt"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// Remove implements netsetgo.Remover: the attachment of the container interface
// goes, and then every bridge of ours that has no port left.
func (h *Host) Remove(netConfig netsetgo.NetworkConfig, pid int) error {
	r := newRun(h.kernel, netConfig)
	defer r.close()
	if netConfig.Namespace != nil || pid != 0 {
		// A process that is gone has no namespace; what it left is found by its id.
		if err := r.enter(pid); err != nil && !errors.Is(err, ErrNoProcess) {
			return err
		}
	}
	if err := r.connect(); err != nil {
		return err
	}
	if err := r.detach(); err != nil {
		return fmt.Errorf("disconnecting %s: %w", r.config.ContainerInterface, err)
	}
	if err := r.sweep(); err != nil {
		return fmt.Errorf("removing bridges without ports: %w", err)
	}
	return nil
}

// detach deletes the container's host end, finished or not.
func (r *run) detach() error {
	var host Link
	var err error
	switch {
	case r.container != nil:
		host, err = r.byOwner()
		if errors.Is(err, ErrNotFound) {
			// What a killed run left has no owner; or another run is just finishing it.
			if err = r.clearName(); !errors.Is(err, errAgain) {
				if errors.Is(err, errForeign) {
					return nil
				}
				return err
			}
			host, err = r.byOwner()
		}
	case r.config.ID != "":
		host, err = r.host.Link(Which{Altname: lease.IDName(r.config.ContainerInterface, r.config.ID)})
	default:
		return nil
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.delete(host)
}

// delete takes a link away; that it went by itself is as good.
func (r *run) delete(link Link) error {
	err := r.do(r.host, step{change: DeleteLink{link.Index}})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// sweep removes the bridges of ours that have no port. What the first look finds
// may be a bridge that another run has just made: so the second one, with the
// lock held alone, decides.
func (r *run) sweep() error {
	idle, err := r.idleBridges()
	if err != nil || len(idle) == 0 {
		return err
	}
	if err := r.relock(true, r.config.Deadline); err != nil {
		return err
	}
	if idle, err = r.idleBridges(); err != nil {
		return err
	}
	for _, bridge := range idle {
		if err := r.delete(bridge); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) idleBridges() ([]Link, error) {
	bridges, err := r.host.Bridges()
	if err != nil {
		return nil, err
	}
	var idle []Link
	for _, bridge := range bridges {
		if bridge.Group != lease.Group {
			continue
		}
		used, err := r.used(bridge)
		if err != nil {
			return nil, err
		}
		if !used {
			idle = append(idle, bridge)
		}
	}
	return idle, nil
}

// used says whether a bridge has a port that stays. Ports of ours whose container
// is gone are about to go, and are helped to.
func (r *run) used(bridge Link) (bool, error) {
	ports, err := r.host.Ports(bridge.Index)
	if err != nil {
		return false, err
	}
	for _, port := range ports {
		if port.Group != lease.Group {
			return true, nil
		}
		dying, err := r.dying(port)
		if err != nil {
			return false, err
		}
		if !dying {
			return true, nil
		}
		if err := r.delete(port); err != nil {
			return false, err
		}
	}
	return false, nil
}
