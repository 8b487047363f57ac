package configurer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"

	"github.com/netsetgo/netsetgo/configurer/lease"
)

// mtu is that of the pair, and of a bridge that is made for it; 0 where only the
// bridge can tell.
func (r *run) mtu() (int, error) {
	if r.config.MTU != 0 {
		return r.config.MTU, nil
	}
	uplinks, err := r.findUplinks()
	if err != nil || len(uplinks) == 0 {
		return 0, err
	}
	link, err := r.readOnce(uplinks[0].Link)
	if err != nil {
		return 0, fmt.Errorf("reading the MTU of the host's default route: %w", err)
	}
	// A loopback's MTU is one more than a pair's may be (ETH_MAX_MTU).
	return min(link.MTU, 65535), nil
}

// findUplinks looks for the links of all default routes, once.
func (r *run) findUplinks() ([]Uplink, error) {
	if r.uplinks == nil {
		uplinks, err := r.host.Uplinks()
		if err != nil {
			return nil, fmt.Errorf("looking for the host's default routes: %w", err)
		}
		r.uplinks = append([]Uplink{}, uplinks...)
	}
	return r.uplinks, nil
}

// pair makes the pair of host link and peer, and returns of the host link its index and
// whether it can be locked.
func (r *run) pair(bridge Link, note *lease.Note, mtu int) (Link, error) {
	if mtu == 0 {
		mtu = bridge.MTU
	}
	addrs := r.guess(*note)
	change := AddPair{
		MAC: lease.HostMAC(addrs...), Master: bridge.Index, MTU: mtu, Group: lease.Group,
		Peer: r.config.ContainerInterface, PeerMAC: r.config.MAC, PeerNamespace: r.namespace,
		Index: new(int), CanLock: new(bool),
	}
	if change.PeerMAC == nil {
		change.PeerMAC = lease.ContainerMAC(addrs...)
	}
	// Numbers in a growing circle behind the noted one: the first is nearly always
	// free, and of a hundred runs at once each finds another soon.
	const tries = 64
	number := note.Number
	for try := range tries {
		change.Name = r.config.VethNamePrefix + strconv.Itoa(number)
		err := r.do(r.host, step{change, "both ends in their places, nothing is moved", r.undoPair(change)})
		switch {
		case err == nil:
			note.Number = (number + 1) % (lease.MaxNumber + 1)
			return Link{Index: *change.Index, Port: Port{CanLock: *change.CanLock}}, r.do(r.host, silence(*change.Index, mtu)...)
		case errors.Is(err, ErrFull):
			return Link{}, fmt.Errorf("connecting to bridge %s: it has as many ports as a bridge can have (1,023); use another -bridgeName: %w", bridge.Name, err)
		case !errors.Is(err, ErrExists):
			return Link{}, err
		}
		if err := r.clearName(); err != nil {
			return Link{}, fmt.Errorf("making %s in the container: %w", r.config.ContainerInterface, err)
		}
		number = (note.Number + 1 + rand.IntN(2<<min(try, 12))) % (lease.MaxNumber + 1)
	}
	return Link{}, fmt.Errorf("creating a host link: %d names such as %s are taken; use another -vethNamePrefix", tries, change.Name)
}

// guess returns the addresses that the container will probably have. That they are free
// is seen only when they are leased; until then the MACs are a guess.
func (r *run) guess(note lease.Note) []netip.Addr {
	var addrs []netip.Addr
	for i, family := range r.config.Families() {
		addr := family.Address
		if !addr.IsValid() {
			for addr = range lease.Candidates(family.Gateway, r.firstToTry(i, addrs, note)) {
				break
			}
		}
		addrs = append(addrs, addr)
	}
	return addrs
}

// silence keeps a link from IPv6, which a small one hasn't got: IPV6_MIN_MTU,
// linux/ipv6.h.
func silence(link, mtu int) []step {
	const least = 1280
	if mtu < least {
		return nil
	}
	return []step{{change: SilenceIPv6{link}, why: "no IPv6 addresses that nobody asked for"}}
}

// undoPair deletes the host link. Where the answer to its making was lost, the
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
	again, err := r.unfinished()
	if err == nil && again.Index == host.Index {
		err = r.clear(again)
	}
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, errFinished) && !errors.Is(err, errForeign) {
		return err
	}
	if err := r.relock(false, r.config.Deadline); err != nil {
		return err
	}
	return errAgain
}

// clear deletes a host link that a killed run left, and what the rules have of it: that would
// stay until somebody leases its addresses again, which may be never. It goes first, as nft(8)
// takes a link's name only while the link is there, and so would be shown in vain.
func (r *run) clear(host Link) error {
	const why = "what a killed run left"
	elements, err := r.hostLinkElements(host)
	if err != nil {
		return err
	}
	owner := lease.ReadOwner(host.Altnames)
	err = errors.Join(r.deleteElements(elements, why), r.forgetFlows(owner.Ports, owner.Addresses))
	if err != nil && !errors.Is(err, ErrNoFirewall) {
		return err
	}
	return r.delete(host, why)
}

var errFinished = errors.New("the attachment is finished")

// unfinished finds, by the container's interface, the host link that a killed run
// left: ErrNotFound where there is no such interface, errFinished where it has an
// owner, errForeign where it isn't ours.
func (r *run) unfinished() (Link, error) {
	peer, err := r.container.Link(Which{Name: r.config.ContainerInterface})
	if err != nil {
		return Link{}, err
	}
	host, err := r.hostLink(peer)
	if err == nil && lease.ReadOwner(host.Altnames).Complete() {
		err = errFinished
	}
	return host, err
}
