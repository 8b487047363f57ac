package configurer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// Container configures the peer that Host put into the container, and then
// writes the owner on the host link. It holds no state of its own.
type Container struct{ kernel Kernel }

var _ netsetgo.Transactor = (*Container)(nil)

// NewContainerConfigurer returns the container's side.
func NewContainerConfigurer(kernel Kernel) *Container { return &Container{kernel} }

// Apply implements netsetgo.Configurer.
func (c *Container) Apply(netConfig netsetgo.NetworkConfig, pid int) error {
	return apply(c, netConfig, pid)
}

// Begin implements netsetgo.Transactor.
func (c *Container) Begin(netConfig netsetgo.NetworkConfig, pid int) (netsetgo.Transaction, error) {
	r, err := start(c.kernel, netConfig, pid)
	if err != nil {
		return nil, err
	}
	if err := r.attachContainer(); err != nil {
		return nil, errors.Join(err, r.Rollback())
	}
	return r, nil
}

// loopback is the index of lo in every namespace (LOOPBACK_IFINDEX,
// net/net_namespace.h).
const loopback = 1

// attachContainer is the container's side of `up`.
func (r *run) attachContainer() error {
	if _, err := r.byOwner(); !errors.Is(err, ErrNotFound) {
		return err // nil where the attachment is finished: Host has compared it
	}
	name := r.config.ContainerInterface
	peer, err := r.container.Link(Which{Name: name})
	if err != nil {
		return fmt.Errorf("looking for %s in the container: %w", name, err)
	}
	host, err := r.hostLink(peer)
	if err != nil {
		return fmt.Errorf("looking for the host link of %s: %w", name, err)
	}
	owner := lease.ReadOwner(host.Altnames)
	addresses, ok := r.leases(owner)
	if !ok || !host.Up {
		return fmt.Errorf("reading the leases of %s from host link %s: they aren't there, or of other addresses, or it isn't up; run the host's side first", name, host.Name)
	}
	if err := r.checkDefaultRoute(); err != nil {
		return err
	}
	steps, err := r.containerSteps(peer, addresses)
	if err != nil {
		return err
	}
	err = r.do(r.container, steps...)
	if errors.Is(err, ErrExists) {
		err = fmt.Errorf("%w; leave that -route out, or take the one away that is there", err)
	}
	if err != nil {
		return fmt.Errorf("configuring %s in the container: %w", name, err)
	}
	return r.own(host, peer)
}

// leases returns the addresses that an owner has of each family, with the length of
// its subnet. It says whether they are there, and are those that were asked for.
func (r *run) leases(owner lease.Owner) (addresses []netip.Prefix, ok bool) {
	for _, family := range r.config.Families() {
		i := slices.IndexFunc(owner.Addresses, family.Gateway.Contains)
		if i < 0 || family.Address.IsValid() && owner.Addresses[i] != family.Address {
			return nil, false
		}
		addresses = append(addresses, netip.PrefixFrom(owner.Addresses[i], family.Gateway.Bits()))
	}
	return addresses, true
}

// checkDefaultRoute refuses to add a second default route of a family, whatever its
// metric: one of the two would take the other's traffic.
func (r *run) checkDefaultRoute() error {
	if r.config.DefaultRoute != netsetgo.Yes {
		return nil
	}
	routes, err := r.container.Routes()
	if err != nil {
		return fmt.Errorf("reading the routes of the container: %w", err)
	}
	for _, family := range r.config.Families() {
		for _, route := range routes {
			if route.Destination.Bits() == 0 && route.Destination.Addr().Is4() == family.Gateway.Addr().Is4() {
				return errors.New("adding a default route to the container: there is one already; use -defaultRoute=false")
			}
		}
	}
	return nil
}

// containerSteps are all changes inside the container, by index: its processes
// can give any name to any link.
func (r *run) containerSteps(peer Link, addresses []netip.Prefix) ([]step, error) {
	var steps []step
	lo, err := r.container.Link(Which{Index: loopback})
	if err != nil {
		return nil, fmt.Errorf("looking at lo in the container: %w", err)
	}
	if !lo.Up {
		before, err := r.container.Addresses(loopback)
		if err != nil {
			return nil, fmt.Errorf("reading the addresses of lo in the container: %w", err)
		}
		steps = append(steps, step{SetUp{loopback, true}, "a container expects its own 127.0.0.1", r.undoLoopback(before)})
	}
	steps = append(steps, silence(peer.Index, peer.MTU)...)
	mac := r.mac(addressesOf(addresses))
	if !slices.Equal(mac, peer.MAC) {
		steps = append(steps, step{SetMAC{peer.Index, mac}, "the MAC that goes with the address", reverse(r.container, SetMAC{peer.Index, peer.MAC})})
	}
	steps = append(steps, step{SetUp{peer.Index, true}, "the container's end comes up", reverse(r.container, SetUp{peer.Index, false})})
	for _, each := range addresses {
		address := AddAddress{peer.Index, each}
		steps = append(steps, step{address, "the address that was leased", reverse(r.container, DeleteAddress(address))})
	}
	for _, each := range r.config.AllRoutes() {
		route := Route{Route: each, Link: peer.Index}
		why := "asked for by -route"
		if each.Destination.Bits() == 0 {
			why = "all other addresses are beyond the bridge"
		}
		steps = append(steps, step{AddRoute{route}, why, reverse(r.container, DeleteRoute{route})})
	}
	return steps, nil
}

// mac is that of the container's end.
func (r *run) mac(addrs []netip.Addr) net.HardwareAddr {
	if r.config.MAC != nil {
		return r.config.MAC
	}
	return lease.ContainerMAC(addrs...)
}

func addressesOf(prefixes []netip.Prefix) []netip.Addr {
	addrs := make([]netip.Addr, len(prefixes))
	for i, prefix := range prefixes {
		addrs[i] = prefix.Addr()
	}
	return addrs
}

// undoLoopback takes lo down, and away the addresses that the kernel gave it when
// it came up.
func (r *run) undoLoopback(before []netip.Prefix) func() error {
	return func() error {
		after, err := r.container.Addresses(loopback)
		if err != nil {
			return err
		}
		changes := []Change{SetUp{loopback, false}}
		for _, address := range after {
			if !slices.Contains(before, address) {
				changes = append(changes, DeleteAddress{loopback, address})
			}
		}
		return reverse(r.container, changes...)()
	}
}

// errSwapped is of a container that put a link of its own in the place of ours.
var errSwapped = errors.New("the container removed or replaced its interface meanwhile; run netsetgo again")

// own makes sure that what was configured is our peer still, and writes the
// names of the owner, the last of which says that the attachment is complete.
func (r *run) own(host, peer Link) error {
	name := r.config.ContainerInterface
	// The kernel settles a link's carrier later, and up to then packets are lost. So too the
	// bridge's, for its first port.
	for _, index := range []int{host.Index, host.Master} {
		link, err := r.settleLink(index)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("looking at the host link of %s: %w", name, err)
		}
		if err != nil || index == host.Index && (link.Peer != peer.Index || link.PeerNamespace != host.PeerNamespace) {
			return fmt.Errorf("configuring %s in the container: %w", name, errSwapped)
		}
	}
	if err := r.settleIPv6(lease.ReadOwner(host.Altnames)); err != nil {
		return err
	}
	if r.config.ID != "" {
		doing := fmt.Sprintf("taking the id %q for %s", r.config.ID, name)
		if err := r.claim(AddAltname{host.Index, lease.IDName(name, r.config.ID)}, "by which down finds it", doing, "choose another -id, or take that one down first"); err != nil {
			return err
		}
	}
	err := r.do(r.host, step{
		change: AddAltname{host.Index, lease.NamespaceName(name, r.inode)},
		why:    "whose it is; the last name: now it is complete",
	})
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("configuring %s in the container: %w", name, errSwapped)
	}
	return err
}

// settleLink reads a link when it carries: from Linux 6.8 on to be asked about settles that
// (rtnl_getlink, net/core/rtnetlink.c). A container that takes its end down isn't waited for long,
// nor is a bridge that listens to others first (STP).
func (r *run) settleLink(index int) (Link, error) {
	const longest = 200 * time.Millisecond
	for began := time.Now(); ; {
		link, err := r.host.Link(Which{Index: index})
		if err != nil || link.Running || time.Since(began) > longest {
			return link, err
		}
		if err := r.wait(); err != nil {
			return link, err
		}
	}
}

// settleIPv6 waits until the kernel has done what it does later with a new address of IPv6:
// to hear who looks for it, and to take packets that are for it, of which the route to
// itself is the last (addrconf_dad_work, net/ipv6/addrconf.c). Up to then the first packet
// is lost, and sent again a second later.
func (r *run) settleIPv6(owner lease.Owner) error {
	for _, family := range r.config.Families() {
		if family.Gateway.Addr().Is4() {
			continue
		}
		for _, addr := range owner.Addresses {
			if family.Gateway.Contains(addr) {
				if err := r.settleAddress(r.container, addr); err != nil {
					return err
				}
			}
		}
		if err := r.settleAddress(r.host, family.Gateway.Addr()); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) settleAddress(conn Conn, addr netip.Addr) error {
	const longest = time.Second // then something else is wrong with it
	for began := time.Now(); time.Since(began) < longest; {
		route, err := conn.RouteTo(addr)
		if err == nil && route.Destination.Bits() == addr.BitLen() {
			return nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("looking whether %s is ready: %w", addr, err)
		}
		if err := r.wait(); err != nil {
			return err
		}
	}
	return nil
}
