// Package configurer does the two sides of the work, on the host and inside the
// container: the order of the changes, and how each is undone. What it asks of
// the kernel stands in kernel.go; it never speaks to the kernel itself, and knows
// nothing of flags or runtimes.
package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// Host makes bridge, pair, lease and rules. It holds no state of its own.
type Host struct {
	kernel Kernel
	// Warn is told, in one line, of what will keep the container from working though all
	// was done. nil means nobody is.
	Warn func(text string)
}

var (
	_ netsetgo.Transactor = (*Host)(nil)
	_ netsetgo.Remover    = (*Host)(nil)
	_ netsetgo.Inspector  = (*Host)(nil)
	_ netsetgo.Lister     = (*Host)(nil)
	_ netsetgo.Checker    = (*Host)(nil)
	_ netsetgo.Diagnoser  = (*Host)(nil)
)

// NewHostConfigurer returns the host's side.
func NewHostConfigurer(kernel Kernel) *Host { return &Host{kernel: kernel} }

// Apply implements netsetgo.Configurer.
func (h *Host) Apply(netConfig netsetgo.NetworkConfig, pid int) error {
	return apply(h, netConfig, pid)
}

func apply(side netsetgo.Transactor, netConfig netsetgo.NetworkConfig, pid int) error {
	transaction, err := side.Begin(netConfig, pid)
	if err != nil {
		return err
	}
	transaction.Commit()
	return nil
}

// Begin implements netsetgo.Transactor.
func (h *Host) Begin(netConfig netsetgo.NetworkConfig, pid int) (netsetgo.Transaction, error) {
	r, err := start(h.kernel, netConfig, pid)
	if err != nil {
		return nil, err
	}
	r.warn = h.Warn
	if err := r.attachHost(); err != nil {
		return nil, errors.Join(err, r.Rollback())
	}
	return r, nil
}

// Inspect implements netsetgo.Inspector.
func (h *Host) Inspect(netConfig netsetgo.NetworkConfig, pid int) (netsetgo.Attachment, error) {
	r, err := start(h.kernel, netConfig, pid)
	if err != nil {
		return netsetgo.Attachment{}, err
	}
	defer r.close()
	host, err := r.byOwner()
	if err != nil {
		return netsetgo.Attachment{}, fmt.Errorf("reading the attachment of %s: %w", r.config.ContainerInterface, err)
	}
	return r.inspect(host)
}

// errAgain is of a container interface that was in the way and has been dealt
// with: what is there must be looked at anew.
var errAgain = errors.New("the container's interfaces kept changing; run netsetgo again")

// attachHost is the host's side of `up`.
func (r *run) attachHost() error {
	// More than once only where another run, or the container, is at work on the
	// same interface.
	const tries = 8
	var err error
	for range tries {
		if err = r.attachOnce(); !errors.Is(err, errAgain) {
			return err
		}
		// It may have let go of the lock, or hold it alone.
		if err := r.relock(false, r.config.Deadline); err != nil {
			return err
		}
	}
	return err
}

func (r *run) attachOnce() error {
	host, err := r.byOwner()
	if err == nil {
		return r.confirm(host)
	}
	if errors.Is(err, errStale) {
		err = cmp.Or(r.delete(host, "its peer isn't in the container"), ErrNotFound)
	}
	if !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("looking for an attachment: %w", err)
	}
	mtu, err := r.mtu()
	if err != nil {
		return err
	}
	bridge, err := r.bridge(mtu)
	if err != nil {
		return err
	}
	if bridge, err = r.protect(bridge, nil); err != nil {
		return err
	}
	note, noted := lease.ReadNote(bridge.Alias)
	noted = noted && bridge.Group == lease.Group
	hostLink, err := r.pair(bridge, &note, mtu)
	if err != nil {
		return err
	}
	leased, err := r.lease(hostLink.Index, bridge, &note)
	if err != nil {
		return err
	}
	if err := r.secure(hostLink, leased, firewall.ParsePolicy(note.Policy).Isolated); err != nil {
		return err
	}
	if err := r.publish(hostLink.Index, bridge, leased); err != nil {
		return err
	}
	// Last, so that nothing comes in before the rules; and each change of a link that is up is
	// told to all that listen (netdev_state_change, net/core/dev.c), which takes the longer
	// the more ports there are.
	steps := []step{{change: SetUp{hostLink.Index, true}, why: "the host's end comes up, now that its rules are in place"}}
	if noted { // somebody else's bridge, or alias, is never written to
		// To publish may have let go of the lock: what others wrote meanwhile stays.
		if len(r.config.Publish) > 0 {
			if bridge, err = r.host.Link(Which{Index: bridge.Index}); err != nil {
				return err
			}
		}
		steps = append(steps, hint(r.host, bridge, note)...)
	}
	return r.do(r.host, steps...)
}

// hint notes where the next run starts to look, where there is room for it.
func hint(host Conn, bridge Link, note lease.Note) []step {
	now, noted := lease.ReadNote(bridge.Alias)
	now.Next, now.Number = note.Next, note.Number
	if !noted || len(now.String()) > lease.MaxNote {
		return nil
	}
	return []step{{
		change: SetAlias{bridge.Index, now.String()},
		why:    "where the next run starts to look",
		undo:   reverse(host, SetAlias{bridge.Index, bridge.Alias}),
	}}
}

// confirm ends a run for a container that is attached already: it changes nothing, but
// for rules that somebody took away.
func (r *run) confirm(host Link) error {
	if err := r.compare(host); err != nil || host.Master == 0 {
		return err
	}
	bridge, err := r.host.Link(Which{Index: host.Master})
	if err != nil {
		return againIfGone(err)
	}
	own, err := r.hostLinkElements(host)
	if err != nil {
		return err
	}
	// What is there counts, not defaults.
	addresses, err := r.host.Addresses(bridge.Index)
	if err != nil {
		return err
	}
	r.config = withSubnets(r.config, addresses)
	owner := lease.ReadOwner(host.Altnames)
	r.config.Publish = owner.Ports
	if owner.Unchecked {
		r.config.SpoofCheck = netsetgo.No
	}
	if bridge, err = r.protect(bridge, own); err != nil || bridge.Group != lease.Group {
		return err
	}
	return r.routeLocalnet(bridge, host.Index)
}

// compare refuses a container that is attached otherwise than asked.
func (r *run) compare(host Link) error {
	attachment, err := r.inspect(host)
	if err != nil {
		return err
	}
	if differences := attachment.Differences(r.asked); len(differences) > 0 {
		return fmt.Errorf("connecting %s: it is connected already, otherwise than asked: %s; take it down first (netsetgo down)",
			r.config.ContainerInterface, strings.Join(differences, "; "))
	}
	return nil
}
