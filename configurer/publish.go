package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// publish lets the ports that are asked for lead to the container.
func (r *run) publish(hostLink int, bridge Link, addrs []netip.Addr) error {
	if bridge.Group != lease.Group {
		return nil // where none can be
	}
	if err := r.sweepAddresses(addrs); err != nil {
		return fmt.Errorf("looking for ports of others that lead to %s: %w", addrs, err)
	}
	for _, port := range r.config.Publish {
		if err := r.publishOne(hostLink, port, addrs); err != nil {
			return err
		}
	}
	if len(r.config.Publish) == 0 {
		return nil
	}
	if err := r.routeLocalnet(bridge, hostLink); err != nil {
		return err
	}
	return r.forgetFlows(r.config.Publish, addrs)
}

// sweepAddresses takes away ports that lead to addresses which have just been leased:
// those of a container that is gone.
func (r *run) sweepAddresses(addrs []netip.Addr) error {
	marks := make([]firewall.Element, len(addrs))
	for i, addr := range addrs {
		marks[i] = firewall.Published(addr)
	}
	found, err := r.host.Find(marks...)
	if err != nil || len(found) == 0 {
		return err
	}
	return r.sweepPorts(func(addr netip.Addr) (bool, error) { return slices.Contains(addrs, addr), nil })
}

// sweepPorts takes away all published ports that lead to some addresses.
func (r *run) sweepPorts(gone func(netip.Addr) (bool, error)) error {
	stale, err := r.stalePorts(gone)
	if err != nil {
		return err
	}
	return r.deleteStale(stale)
}

// deleteStale takes elements away, and makes the kernel forget the flows that went by them.
func (r *run) deleteStale(stale []firewall.Element) error {
	if err := r.deleteElements(stale, "its container is gone"); err != nil {
		return err
	}
	var steps []step
	for _, element := range stale {
		if port, ok := element.UDPPort(); ok {
			addr, _ := element.ContainerAddress()
			steps = append(steps, step{change: ForgetFlows{addr.Is6(), port}, why: "they went to a container that is gone"})
		}
	}
	if len(steps) == 0 {
		return nil
	}
	return r.do(r.host, steps...)
}

// sweepStale takes away what containers left that are gone: with the lock held alone, for
// another run could lease such an address just now, and publish the same port of it.
func (r *run) sweepStale() error {
	stale, err := r.stale()
	if err != nil || len(stale) == 0 {
		return err
	}
	if err := r.relock(true, r.config.Deadline); err != nil {
		return err
	}
	if stale, err = r.stale(); err != nil {
		return err
	}
	return r.deleteStale(stale)
}

// stale are elements of containers that are gone. Who may send isn't among them: no MAC
// ever stands for other addresses, so that those wait for who has it next.
func (r *run) stale() ([]firewall.Element, error) {
	stale, err := r.stalePorts(r.isGone)
	if err != nil {
		return nil, err
	}
	for _, set := range firewall.LinkSets() {
		elements, err := r.host.Elements(set)
		if err != nil {
			return nil, err
		}
		for _, element := range elements {
			_, err := r.host.Link(Which{Index: element.LinkIndex()})
			if errors.Is(err, ErrNotFound) {
				stale = append(stale, element)
			} else if err != nil {
				return nil, err
			}
		}
	}
	return stale, nil
}

func (r *run) stalePorts(gone func(netip.Addr) (bool, error)) ([]firewall.Element, error) {
	var stale []firewall.Element
	isGone := map[netip.Addr]bool{}
	for _, set := range firewall.PortMaps() {
		elements, err := r.host.Elements(set)
		if err != nil {
			return nil, err
		}
		for _, element := range elements {
			addr, _ := element.ContainerAddress()
			if _, known := isGone[addr]; !known {
				if isGone[addr], err = gone(addr); err != nil {
					return nil, err
				}
			}
			if isGone[addr] {
				stale = append(stale, element)
			}
		}
	}
	for _, addr := range slices.SortedFunc(maps.Keys(isGone), netip.Addr.Compare) {
		if isGone[addr] {
			stale = append(stale, firewall.Published(addr))
		}
	}
	return stale, nil
}

// deleteElements takes away those that are there.
func (r *run) deleteElements(elements []firewall.Element, why string) error {
	// To delete one twice in a transaction fails it.
	var once []firewall.Element
	for _, element := range elements {
		if !slices.ContainsFunc(once, element.SameKey) {
			once = append(once, element)
		}
	}
	if len(once) == 0 {
		return nil
	}
	found, err := r.host.Find(once...)
	if err != nil || len(found) == 0 {
		return err
	}
	var steps []step
	for _, add := range addElements(found, why) {
		steps = append(steps, step{change: DeleteElements(add.change.(AddElements)), why: why})
	}
	err = r.do(r.host, steps...)
	if errors.Is(err, ErrNotFound) {
		return nil // another run was as quick
	}
	return err
}

func (r *run) publishOne(hostLink int, port netsetgo.Publish, addrs []netip.Addr) error {
	doing := "publishing port " + port.String()
	name := AddAltname{hostLink, lease.PortName(port)}
	if err := r.claim(name, "so that others see whose port it is", doing, "choose another port, or take that one down first"); err != nil {
		return err
	}
	wanted := firewall.Ports(port, addrs)
	steps := addElements(wanted, "packets to the host's port go to the container")
	for i, add := range steps {
		steps[i].undo = undoElements(r.host, add.change.(AddElements))
	}
	err := r.do(r.host, steps...)
	if errors.Is(err, ErrExists) {
		// Its holder may be gone.
		if err := cmp.Or(r.sweepStale(), r.relock(false, r.config.Deadline)); err != nil {
			return fmt.Errorf("%s: looking whose it is: %w", doing, err)
		}
		err = r.do(r.host, steps...)
	}
	if errors.Is(err, ErrExists) {
		return r.takenPort(doing, wanted)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return r.checkShared(doing, wanted)
}

// isGone says whether nobody has leased an address of a bridge of ours.
func (r *run) isGone(addr netip.Addr) (bool, error) {
	holder, err := r.holderOf(addr)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return r.dying(holder)
}

// holderOf is the host link that has leased an address of any bridge.
func (r *run) holderOf(addr netip.Addr) (Link, error) {
	route, err := r.host.RouteTo(addr)
	if err != nil {
		return Link{}, err
	}
	bridge, err := r.host.Link(Which{Index: route.Link})
	if err != nil {
		return Link{}, err
	}
	return r.ours(lease.AddressName(bridge.Name, addr))
}

// takenPort names who has a port.
func (r *run) takenPort(doing string, wanted []firewall.Element) error {
	found, err := r.host.Find(wanted...)
	if err != nil {
		return fmt.Errorf("%s: looking whose it is: %w", doing, err)
	}
	for _, element := range found {
		addr, _ := element.ContainerAddress()
		if element.Data != nil && !slices.ContainsFunc(wanted, func(mine firewall.Element) bool { return mine.String() == element.String() }) {
			return r.taken(doing, addr)
		}
	}
	return fmt.Errorf("%s: it was taken and given back just now; run netsetgo again", doing)
}

func (r *run) taken(doing string, addr netip.Addr) error {
	who := "somebody"
	if holder, err := r.holderOf(addr); err == nil {
		who = lease.ReadOwner(holder.Altnames).String() + ", by host link " + holder.Name + ","
	}
	return fmt.Errorf("%s: %s has it, for %s; choose another port, or take that one down first", doing, who, addr)
}

// checkShared refuses a port of all the host's addresses that somebody has of one of
// them, and the other way round. Both have it when this is asked, so that of two runs at
// once at least one sees the other.
func (r *run) checkShared(doing string, wanted []firewall.Element) error {
	var others []firewall.Element
	for _, set := range firewall.PortMaps() {
		elements, err := r.host.Elements(set)
		if err != nil {
			return fmt.Errorf("%s: looking at all published ports: %w", doing, err)
		}
		others = append(others, elements...)
	}
	for _, mine := range wanted {
		for _, other := range others {
			if !mine.SharesPort(other) {
				continue
			}
			addr, _ := other.ContainerAddress()
			gone, err := r.isGone(addr)
			if err != nil {
				return fmt.Errorf("%s: looking whose it is: %w", doing, err)
			}
			if !gone {
				return r.taken(doing, addr)
			}
		}
	}
	return nil
}

// routeLocalnet lets packets from 127.0.0.1 leave by the bridge: what comes in by it for
// 127.0.0.1 is dropped by the rules.
func (r *run) routeLocalnet(bridge Link, hostLink int) error {
	asks := slices.ContainsFunc(r.config.Publish, func(port netsetgo.Publish) bool {
		return !port.HostIP.IsValid() || port.HostIP.Is4() && (port.HostIP.IsUnspecified() || port.HostIP.IsLoopback())
	})
	if !asks || bridge.Settings.RouteLocalnet || r.config.Subnet == nil {
		return nil
	}
	key := sysctl4(bridge.Name, "route_localnet")
	return r.do(r.host, step{SetSysctl{key, "1"}, "published ports are the host's 127.0.0.1's as well", r.unlessPublished(bridge.Name, hostLink, SetSysctl{key, "0"})})
}

// unlessPublished undoes something of a bridge with the lock held alone, and only while
// no other host link on it has published any port.
func (r *run) unlessPublished(name string, hostLink int, undo Change) func() error {
	return func() error {
		if err := r.relock(true, r.config.Deadline); err != nil {
			return err
		}
		bridge, err := r.host.Link(Which{Name: name})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		ports, err := r.host.Ports(bridge.Index)
		if err != nil || slices.ContainsFunc(ports, func(port Link) bool {
			return port.Index != hostLink && len(lease.ReadOwner(port.Altnames).Ports) > 0
		}) {
			return err
		}
		return reverse(r.host, undo)()
	}
}

// forgetFlows makes the kernel forget where it sent packets to UDP ports so far: it would
// go on to send them there.
func (r *run) forgetFlows(ports []netsetgo.Publish, addrs []netip.Addr) error {
	var steps []step
	for _, port := range ports {
		port = port.WithDefaults()
		if port.Protocol != "udp" {
			continue
		}
		for _, addr := range addrs {
			if port.HostIP.IsValid() && port.HostIP.Is4() != addr.Is4() {
				continue
			}
			for i := range port.Count {
				steps = append(steps, step{change: ForgetFlows{addr.Is6(), port.HostPort + i}, why: "they went elsewhere so far"})
			}
		}
	}
	if len(steps) == 0 {
		return nil
	}
	return r.do(r.host, steps...)
}

// unpublish takes away what a host link has in the rules. What goes with it needn't.
func (r *run) unpublish(hostLink Link) error {
	owner := lease.ReadOwner(hostLink.Altnames)
	if len(owner.Addresses) == 0 {
		return nil
	}
	elements, err := r.hostLinkElements(hostLink)
	if err != nil {
		return err
	}
	return errors.Join(r.deleteElements(elements, "it is for the container alone"), r.forgetFlows(owner.Ports, owner.Addresses))
}
