// Package configurer does the two sides of the work, on the host and inside the
// container: the order of the changes, and how each is undone. What it asks of
// the kernel stands in kernel.go; it never speaks to the kernel itself, and knows
// nothing of flags or runtimes.
package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// Host makes bridge, pair and lease. It holds no state of its own.
type Host struct{ kernel Kernel }

var (
	_ netsetgo.Transactor = (*Host)(nil)
	_ netsetgo.Remover    = (*Host)(nil)
	_ netsetgo.Inspector  = (*Host)(nil)
)

// NewHostConfigurer returns the host's side.
func NewHostConfigurer(kernel Kernel) *Host { return &Host{kernel} }

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
var errAgain = errors.New("the container's interfaces kept changing")

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
	}
	return err
}

func (r *run) attachOnce() error {
	host, err := r.byOwner()
	if err == nil {
		return r.compare(host)
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
	note, noted := lease.ReadNote(bridge.Alias)
	noted = noted && bridge.Group == lease.Group
	pair, err := r.pair(bridge, &note, mtu)
	if err != nil {
		return err
	}
	if err := r.lease(pair, bridge, &note); err != nil {
		return err
	}
	if !noted {
		return nil // somebody else's bridge, or alias, is never written to
	}
	return r.do(r.host, step{
		change: SetAlias{bridge.Index, note.String()},
		undo:   reverse(r.host, SetAlias{bridge.Index, bridge.Alias}),
	})
}

// compare ends a run for a container that is attached already.
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

// mtu is that of the pair, and of a bridge that is made for it; 0 where only the
// bridge can tell.
func (r *run) mtu() (int, error) {
	if r.config.MTU != 0 {
		return r.config.MTU, nil
	}
	uplink, err := r.host.DefaultDevice()
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking for the host's default route: %w", err)
	}
	link, err := r.host.Link(Which{Index: uplink})
	if err != nil {
		return 0, fmt.Errorf("reading the MTU of the host's default route: %w", err)
	}
	// A loopback's MTU is one more than a pair's may be (ETH_MAX_MTU).
	return min(link.MTU, 65535), nil
}

// pair makes the pair of host end and peer, and returns the host end's index.
func (r *run) pair(bridge Link, note *lease.Note, mtu int) (int, error) {
	if mtu == 0 {
		mtu = bridge.MTU
	}
	addr := r.config.ContainerAddr()
	if !addr.IsValid() {
		// That it is free is seen only when it is leased; until then the MAC is a guess.
		for addr = range lease.Candidates(r.config.Gateway(), note.Next) {
			break
		}
	}
	change := AddPair{
		MAC: lease.HostMAC(addr), Master: bridge.Index, MTU: mtu, Group: lease.Group,
		Peer: r.config.ContainerInterface, PeerMAC: r.config.MAC, PeerNamespace: r.namespace,
		Index: new(int), PeerIndex: new(int),
	}
	if change.PeerMAC == nil {
		change.PeerMAC = lease.ContainerMAC(addr)
	}
	// Numbers in a growing circle behind the noted one: the first is nearly always
	// free, and of a hundred runs at once each finds another soon.
	const tries = 64
	number := note.Number
	for try := range tries {
		change.Name = r.config.VethNamePrefix + strconv.Itoa(number)
		err := r.do(r.host, step{change, r.undoPair(change)})
		switch {
		case err == nil:
			note.Number = (number + 1) % (lease.MaxNumber + 1)
			return *change.Index, r.do(r.host, step{change: SilenceIPv6{*change.Index}})
		case errors.Is(err, ErrFull):
			return 0, fmt.Errorf("connecting to bridge %s: it has as many ports as a bridge can have (1,023); use another -bridgeName: %w", bridge.Name, err)
		case !errors.Is(err, ErrExists):
			return 0, err
		}
		if err := r.clearName(); err != nil {
			return 0, fmt.Errorf("making %s in the container: %w", r.config.ContainerInterface, err)
		}
		number = (note.Number + 1 + rand.IntN(2<<min(try, 12))) % (lease.MaxNumber + 1)
	}
	return 0, fmt.Errorf("creating a host end: %d names such as %s are taken; use another -vethNamePrefix", tries, change.Name)
}

// undoPair deletes the host end. Where the answer to its making was lost, the
// link is known by its name, and by a peer in the container.
func (r *run) undoPair(pair AddPair) func() error {
	return func() error {
		if *pair.Index != 0 {
			return reverse(r.host, DeleteLink{*pair.Index})()
		}
		host, err := r.host.Link(Which{Name: pair.Name})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		ours, err := r.peerIsHere(host)
		if err != nil || !ours || host.Group != lease.Group || len(host.Altnames) > 0 {
			return err
		}
		return reverse(r.host, DeleteLink{host.Index})()
	}
}

// clearName looks whether it is the peer's name that is taken. nil means that it
// isn't. A finished attachment, or what a killed run left and is now deleted, is
// errAgain.
func (r *run) clearName() error {
	host, err := r.unfinished()
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if errors.Is(err, errFinished) {
		return errAgain
	}
	if err != nil {
		return err
	}
	// It may be another run's, still at work: with the lock held alone, nobody is.
	if err := r.relock(true, r.config.Deadline); err != nil {
		return err
	}
	if again, err := r.unfinished(); err == nil && again.Index == host.Index {
		if err := r.do(r.host, step{change: DeleteLink{host.Index}}); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if err := r.relock(false, r.config.Deadline); err != nil {
		return err
	}
	return errAgain
}

var errFinished = errors.New("the attachment is finished")

// unfinished finds, by the container's interface, the host end that a killed run
// left: ErrNotFound where there is no such interface, errFinished where it has an
// owner, errForeign where it isn't ours.
func (r *run) unfinished() (Link, error) {
	peer, err := r.container.Link(Which{Name: r.config.ContainerInterface})
	if err != nil {
		return Link{}, err
	}
	host, err := r.hostEnd(peer)
	if err == nil && lease.ReadOwner(host.Altnames).Complete() {
		err = errFinished
	}
	return host, err
}

// lease gives the host end the name of an address that nobody else has.
func (r *run) lease(pair int, bridge Link, note *lease.Note) error {
	gateway := r.config.Gateway()
	if addr := r.config.ContainerAddr(); addr.IsValid() {
		note.Next = lease.After(gateway, addr)
		return r.claim(pair, lease.AddressName(bridge.Name, addr), "leasing address "+addr.String())
	}
	for {
		for addr := range lease.Candidates(gateway, note.Next) {
			err := r.do(r.host, step{change: AddAltname{pair, lease.AddressName(bridge.Name, addr)}})
			if errors.Is(err, ErrExists) {
				continue
			}
			note.Next = lease.After(gateway, addr)
			return err
		}
		// Full: unless some of those who hold an address are about to go.
		if dying, err := r.anyDying(bridge, gateway); err != nil || !dying {
			return errors.Join(err, fmt.Errorf("leasing an address: all of %s are taken; "+
				"use a wider -bridgeAddress with another -bridgeName", gateway.Masked()))
		}
		if err := r.wait(); err != nil {
			return fmt.Errorf("waiting for an address of %s: %w", gateway.Masked(), err)
		}
	}
}

func (r *run) anyDying(bridge Link, gateway netip.Prefix) (bool, error) {
	for addr := range lease.Candidates(gateway, netip.Addr{}) {
		holder, err := r.host.Link(Which{Altname: lease.AddressName(bridge.Name, addr)})
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if dying, err := r.dying(holder); dying || err != nil {
			return dying, err
		}
	}
	return false, nil
}

// claim gives a host end a name that only one may have. Who has it and is just
// dying, as in a restart, is waited for; who lives is named.
func (r *run) claim(pair int, name, doing string) error {
	for {
		err := r.do(r.host, step{change: AddAltname{pair, name}})
		if !errors.Is(err, ErrExists) {
			return err
		}
		holder, err := r.host.Link(Which{Altname: name})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%s: looking who holds it: %w", doing, err)
		}
		if err == nil {
			dying, err := r.dying(holder)
			if err != nil {
				return fmt.Errorf("%s: looking who holds it: %w", doing, err)
			}
			if !dying {
				return fmt.Errorf("%s: %s holds it, by host link %s", doing, lease.ReadOwner(holder.Altnames), holder.Name)
			}
		}
		if err := r.wait(); err != nil {
			return fmt.Errorf("%s: its holder is ending: %w", doing, err)
		}
	}
}

// bridge finds the bridge or makes it, and returns it as it is then.
func (r *run) bridge(mtu int) (Link, error) {
	name := r.config.BridgeName
	link, err := r.host.Link(Which{Name: name})
	if errors.Is(err, ErrNotFound) {
		link, err = r.makeBridge(mtu)
	}
	if err != nil {
		return Link{}, fmt.Errorf("looking for bridge %s: %w", name, err)
	}
	if link.Kind != "bridge" || link.Name != name {
		return Link{}, fmt.Errorf("connecting to bridge %s: that is a name of %s; choose another -bridgeName", name, describe(link))
	}
	gateway := r.config.Gateway()
	addresses, err := r.host.Addresses(link.Index)
	if err != nil {
		return Link{}, fmt.Errorf("reading the addresses of bridge %s: %w", name, err)
	}
	hasAddress := slices.Contains(addresses, gateway)
	if link.Group == lease.Group && (hasAddress || len(addresses) == 0) {
		if hasAddress && link.Up {
			return link, nil
		}
		return r.finishBridge(link, hasAddress, mtu)
	}
	if !hasAddress {
		return Link{}, fmt.Errorf("connecting to bridge %s: it hasn't the address %s, but %s; "+
			"choose another -bridgeAddress or -bridgeName, or add it: ip address add %s dev %s",
			name, gateway, list(addresses), gateway, name)
	}
	if !link.Up {
		return Link{}, fmt.Errorf("connecting to bridge %s: it is down, and not netsetgo's; bring it up: ip link set %s up", name, name)
	}
	return link, nil
}

func describe(link Link) string {
	return fmt.Sprintf("the %s %q", cmp.Or(link.Kind, "device"), link.Name)
}

func list(addresses []netip.Prefix) string {
	if len(addresses) == 0 {
		return "none"
	}
	return fmt.Sprint(addresses)
}

// makeBridge makes the link alone; what else a bridge needs is done where a
// killed run's is finished too. Another run may be quicker, and is as welcome.
func (r *run) makeBridge(mtu int) (Link, error) {
	change := AddBridge{
		Name: r.config.BridgeName, MAC: lease.ContainerMAC(r.config.Gateway().Addr()),
		Group: lease.Group, Index: new(int),
	}
	err := r.do(r.host, step{change, r.unlessUsed(change.Name, func(bridge Link) []Change {
		return []Change{DeleteLink{bridge.Index}}
	})})
	if err != nil && !errors.Is(err, ErrExists) {
		return Link{}, err
	}
	return r.host.Link(Which{Name: change.Name})
}

// finishBridge gives a bridge of ours what is missing. Another run may do the
// same at the same time.
func (r *run) finishBridge(bridge Link, hasAddress bool, mtu int) (Link, error) {
	gateway := r.config.Gateway()
	steps := []step{{change: SilenceIPv6{bridge.Index}}}
	if mtu != 0 && mtu != bridge.MTU {
		steps = append(steps, step{change: SetMTU{bridge.Index, mtu}})
	}
	if err := r.do(r.host, steps...); err != nil {
		return Link{}, err
	}
	if !hasAddress {
		err := r.do(r.host, step{AddAddress{bridge.Index, gateway}, r.unlessUsed(bridge.Name, func(bridge Link) []Change {
			return []Change{DeleteAddress{bridge.Index, gateway}}
		})})
		if err != nil && !errors.Is(err, ErrExists) {
			return Link{}, err
		}
	}
	err := r.do(r.host, step{SetUp{bridge.Index, true}, r.unlessUsed(bridge.Name, func(bridge Link) []Change {
		return []Change{SetUp{bridge.Index, false}}
	})})
	if err != nil {
		return Link{}, err
	}
	return r.host.Link(Which{Index: bridge.Index})
}

// unlessUsed undoes something of a bridge of ours: with the lock held alone, and
// only while it has no port.
func (r *run) unlessUsed(name string, undo func(bridge Link) []Change) func() error {
	return func() error {
		if err := r.relock(true, time.Now().Add(undoTimeout)); err != nil {
			return err
		}
		bridge, err := r.host.Link(Which{Name: name})
		if errors.Is(err, ErrNotFound) || err == nil && bridge.Group != lease.Group {
			return nil
		}
		if err != nil {
			return err
		}
		if ports, err := r.host.Ports(bridge.Index); err != nil || len(ports) > 0 {
			return err
		}
		return reverse(r.host, undo(bridge)...)()
	}
}
