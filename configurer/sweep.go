package configurer

import (
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

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
	const why = "what it was for is gone"
	steps, err := r.deletions(stale, why)
	if err != nil {
		return err
	}
	r.flows = append(r.flows, forgetPorts(stale, "they went to a container that is gone")...)
	if err := r.andForget(steps); err != nil && !errors.Is(err, ErrNotFound) { // another run may be as quick
		return err
	}
	return nil
}

// andForget makes changes and, with them, the kernel forget the flows that are to be. What
// failed of that is still to be done: what told of it is gone.
func (r *run) andForget(steps []step) error {
	if steps = append(steps, r.flows...); len(steps) == 0 {
		return nil
	}
	err := r.do(r.host, steps...)
	if err == nil || errors.Is(err, ErrNotFound) {
		r.flows = nil
	}
	return err
}

// forgetPorts makes the kernel forget the flows to published ports of UDP.
func forgetPorts(elements []firewall.Element, why string) []step {
	var steps []step
	for _, element := range elements {
		if port, ok := element.UDPPort(); ok {
			addr, _ := element.ContainerAddress()
			steps = append(steps, step{change: ForgetFlows{addr.Is6(), port}, why: why})
		}
	}
	return steps
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

// stale are elements of containers, links and bridges that are gone. Who may send from a
// derived MAC isn't among them: it never stands for other addresses, so that those wait for
// who has it next.
func (r *run) stale() ([]firewall.Element, error) {
	bridges, err := r.host.Links(kindBridge)
	if err != nil {
		return nil, err
	}
	stale, err := r.staleBridges()
	if err != nil {
		return nil, err
	}
	gone := func(addr netip.Addr) (bool, error) { return r.isGone(bridges, addr) }
	ports, err := r.stalePorts(gone)
	if err != nil {
		return nil, err
	}
	lost, err := r.staleUplinks()
	if err != nil {
		return nil, err
	}
	stale = slices.Concat(stale, ports, lost)
	for _, set := range firewall.SenderSets() {
		elements, err := r.host.Elements(set)
		if err != nil {
			return nil, err
		}
		for _, element := range elements {
			if lease.IsDerived(element.Sender()) {
				continue
			}
			addr, _ := element.ContainerAddress()
			isGone, err := gone(addr)
			if err != nil {
				return nil, err
			}
			if isGone {
				stale = append(stale, element)
			}
		}
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

// staleBridges are elements of bridges of ours that were deleted by hand: another's could get
// the name. The bridges are read behind the elements, which those of a new one follow.
func (r *run) staleBridges() ([]firewall.Element, error) {
	elements, err := r.host.Elements(firewall.Bridges())
	if err != nil || len(elements) == 0 {
		return nil, err
	}
	bridges, err := r.host.Links(kindBridge)
	if err != nil {
		return nil, err
	}
	var stale []firewall.Element
	for _, element := range elements {
		name := element.Bridge()
		if slices.ContainsFunc(bridges, func(bridge Link) bool { return bridge.Name == name && wasOurs(bridge) }) {
			continue
		}
		found, err := r.host.Find(firewall.Policy{NAT: true, Inbound: true, Isolated: true}.Elements(name)...)
		if err != nil {
			return nil, err
		}
		slices.Reverse(found) // that by which the others are found last
		stale = append(stale, found...)
	}
	return stale, nil
}

// staleUplinks are elements of what netsetgo opened, of which no bridge remembers what it was,
// and that others opened as well: they would close it.
func (r *run) staleUplinks() ([]firewall.Element, error) {
	known, err := r.allWas()
	if err != nil {
		return nil, err
	}
	lost, err := r.lostWas(known)
	if err != nil {
		return nil, err
	}
	var stale []firewall.Element
	for _, was := range lost {
		others, err := r.openedByOthers(was)
		if err != nil {
			return nil, err
		}
		if others {
			stale = append(stale, elementsOf(was)...)
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

// deleteElements takes away those that are there as they are told.
func (r *run) deleteElements(elements []firewall.Element, why string) error {
	steps, err := r.deletions(elements, why)
	if err != nil || len(steps) == 0 {
		return err
	}
	if err = r.do(r.host, steps...); errors.Is(err, ErrNotFound) {
		return nil // another run was as quick
	}
	return err
}

// deletions are of those elements that are there as they are told.
func (r *run) deletions(elements []firewall.Element, why string) ([]step, error) {
	// To delete one twice in a transaction fails it.
	once := firewall.Unique(elements)
	if len(once) == 0 {
		return nil, nil
	}
	found, err := r.host.Find(once...)
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, add := range addElements(these(found, once), why) {
		steps = append(steps, step{change: DeleteElements(add.change.(AddElements)), why: why})
	}
	return steps, nil
}

// isGone says whether nobody has leased an address of some bridges.
func (r *run) isGone(bridges []Link, addr netip.Addr) (bool, error) {
	holder, err := r.holderOf(bridges, addr)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return r.dying(holder)
}

// holderOf is the host link that has leased an address of any of some bridges. Routes don't
// tell whose it is: they may lead elsewhere, and those of a bridge that is down lead nowhere.
func (r *run) holderOf(bridges []Link, addr netip.Addr) (Link, error) {
	for _, bridge := range bridges {
		holder, err := r.ours(lease.AddressName(bridge.Name, addr))
		if !errors.Is(err, ErrNotFound) {
			return holder, err
		}
	}
	return Link{}, ErrNotFound
}
