package configurer

import (
	"errors"
	"fmt"
	"time"

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
	found, err := r.detach()
	if err != nil {
		return fmt.Errorf("disconnecting %s: %w", r.config.ContainerInterface, err)
	}
	if err := r.sweep(found || r.container != nil); err != nil {
		return fmt.Errorf("removing bridges without ports: %w", err)
	}
	return nil
}

// detach deletes the container's host end, finished or not, and says whether
// there was one.
func (r *run) detach() (found bool, err error) {
	var host Link
	switch {
	case r.container != nil:
		host, err = r.byOwner()
		if errors.Is(err, ErrNotFound) {
			// What a killed run left has no owner; or another run is just finishing it.
			if err = r.clearName(); errors.Is(err, errForeign) {
				return false, nil
			} else if !errors.Is(err, errAgain) {
				return false, err
			}
			host, err = r.byOwner()
		}
	case r.config.ID != "":
		host, err = r.host.Link(Which{Altname: lease.IDName(r.config.ContainerInterface, r.config.ID)})
	default:
		return false, nil
	}
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, r.delete(host)
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
// lock held alone, decides. Where the container was gone and nothing of it found,
// its port may be about to go.
func (r *run) sweep(found bool) error {
	began := time.Now()
	for {
		idle, used, err := r.bridges()
		if err != nil {
			return err
		}
		if len(idle) > 0 {
			break
		}
		if found || !used || r.graceOver(began) || r.wait() != nil {
			return nil
		}
	}
	if err := r.relock(true, r.config.Deadline); err != nil {
		return err
	}
	idle, _, err := r.bridges()
	if err != nil {
		return err
	}
	for _, bridge := range idle {
		if err := r.delete(bridge); err != nil {
			return err
		}
	}
	return nil
}

// bridges returns the bridges of ours without a port that stays, and whether there
// are others.
func (r *run) bridges() (idle []Link, others bool, err error) {
	bridges, err := r.host.Bridges()
	if err != nil {
		return nil, false, err
	}
	for _, bridge := range bridges {
		if bridge.Group != lease.Group {
			continue
		}
		used, err := r.used(bridge)
		if err != nil {
			return nil, false, err
		}
		if used {
			others = true
		} else {
			idle = append(idle, bridge)
		}
	}
	return idle, others, nil
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
