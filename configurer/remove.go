package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
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
		return errors.Join(fmt.Errorf("disconnecting %s: %w", r.config.ContainerInterface, err), r.undo())
	}
	err := r.sweepAll()
	if err != nil && r.inTime() == nil {
		// There may be no way back any more; and what kept it from going on, as a lack of memory,
		// may be over.
		err = r.sweepAll()
	}
	return err
}

// sweepAll takes away whatever nobody uses any more. It can be done again wherever it ended.
func (r *run) sweepAll() error {
	if err := r.sweep(); err != nil {
		return fmt.Errorf("removing bridges without ports: %w", err)
	}
	err := r.sweepRules()
	if err == nil {
		err = r.andForget(nil)
	}
	if err != nil && !errors.Is(err, ErrNoFirewall) {
		return fmt.Errorf("removing what containers left in the rules: %w", err)
	}
	return nil
}

// sweepRules takes the tables away where nothing of ours is left on the host, which is for
// others' bridges only, and else what containers left in them that are gone.
func (r *run) sweepRules() error {
	at, err := r.host.Table(firewall.Outlines()[0])
	if err != nil || !at.There {
		return err
	}
	if used, err := r.rulesUsed(); used || err != nil {
		return cmp.Or(err, r.sweepStale())
	}
	defer r.unlock()
	return r.dropRules()
}

// detach deletes the container's host link, finished or not.
func (r *run) detach() error {
	host, err := r.attached()
	if errors.Is(err, ErrNotFound) || errors.Is(err, errForeign) {
		return nil
	}
	if err != nil && !errors.Is(err, errStale) {
		return err
	}
	if err := r.unpublish(host); err != nil && !errors.Is(err, ErrNoFirewall) {
		return err
	}
	if err := r.goOn(); err != nil {
		return err
	}
	return r.delete(host, "takes its peer, names, addresses and routes along")
}

// goOn is before changes that have no way back, and gives them the time that an undo has: what
// is begun goes on to its end.
func (r *run) goOn() error {
	if err := r.inTime(); err != nil {
		return err
	}
	if end := time.Now().Add(undoTimeout); !r.config.Deadline.IsZero() && end.After(r.config.Deadline) {
		r.config.Deadline = end
	}
	return nil
}

// attached finds the container's host link: by its namespace, or else by its id.
// ErrNotFound or errForeign where there is none.
func (r *run) attached() (Link, error) {
	if r.container == nil {
		if r.config.ID == "" {
			return Link{}, ErrNotFound
		}
		return r.ours(lease.IDName(r.config.ContainerInterface, r.config.ID))
	}
	host, err := r.byOwner()
	if !errors.Is(err, ErrNotFound) {
		return host, err
	}
	// What a killed run left has no owner. Or another run is just finishing it: with the lock
	// held alone, nobody is.
	if host, err = r.unfinished(); err == nil {
		if err = r.relock(true, r.config.Deadline); err == nil {
			host, err = r.unfinished()
		}
	}
	if errors.Is(err, errFinished) {
		return r.byOwner()
	}
	return host, err
}

// delete takes a link away; that it went by itself is as good.
func (r *run) delete(link Link, why string) error {
	err := r.do(r.host, step{change: DeleteLink{link.Index}, why: why})
	if errors.Is(err, ErrUnknown) {
		if _, look := r.host.Link(Which{Index: link.Index}); errors.Is(look, ErrNotFound) {
			return nil
		}
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// sweep removes the bridges of ours that have no port. A container that is gone,
// and has no id to find its host link by, may leave its port only in a moment.
func (r *run) sweep() error {
	began := time.Now()
	for {
		used, err := r.sweepOnce()
		if err != nil || !used || r.container != nil || r.config.ID != "" || r.graceOver(began) {
			return err
		}
		if err := r.wait(); err != nil {
			return err
		}
	}
}

// sweepOnce says whether bridges of ours are left. What the first look finds may be
// a bridge that another run has just made: so the second one, with the lock held
// alone, decides.
func (r *run) sweepOnce() (used bool, err error) {
	idle, used, err := r.bridges()
	if err != nil || len(idle) == 0 {
		return used, err
	}
	if err := r.relock(true, r.config.Deadline); err != nil {
		return used, err
	}
	defer r.unlock()
	if idle, used, err = r.bridges(); err == nil && len(idle) > 0 {
		err = r.goOn()
	}
	if err != nil {
		return used, err
	}
	for _, bridge := range idle {
		if err := r.retire(bridge); err != nil {
			return used, err
		}
	}
	return used, nil
}

// bridges returns the bridges of ours without a port that stays, and whether there
// are others.
func (r *run) bridges() (idle []Link, used bool, err error) {
	bridges, err := r.host.Links(kindBridge)
	if err != nil {
		return nil, false, err
	}
	for _, bridge := range bridges {
		if bridge.Group != lease.Group {
			continue
		}
		switch busy, err := r.used(bridge); {
		case err != nil:
			return nil, false, err
		case busy:
			used = true
		default:
			idle = append(idle, bridge)
		}
	}
	return idle, used, nil
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
		if err := r.delete(port, "its container is gone"); err != nil {
			return false, err
		}
	}
	return false, nil
}
