package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// publish lets the ports that are asked for lead to the container.
func (r *run) publish(hostLink int, bridge Link, addrs []netip.Addr) error {
	if r.noRules {
		return nil // where none can be
	}
	if err := r.sweepAddresses(addrs); err != nil {
		return fmt.Errorf("looking for ports of others that lead to %s: %w", addrs, err)
	}
	if err := r.checkListeners(addrs); err != nil {
		return err
	}
	// In one order, so that of two runs whose ports cross one gets all.
	ports := slices.SortedFunc(slices.Values(r.config.Publish), func(a, b netsetgo.Publish) int {
		return cmp.Or(cmp.Compare(a.WithDefaults().Protocol, b.WithDefaults().Protocol), cmp.Compare(a.HostPort, b.HostPort), a.HostIP.Compare(b.HostIP))
	})
	for _, port := range ports {
		if err := r.publishOne(hostLink, port, addrs); err != nil {
			return err
		}
	}
	if len(r.config.Publish) == 0 {
		return nil
	}
	if err := r.checkShared(hostLink, addrs); err != nil {
		return err
	}
	if err := r.routeLocalnet(bridge, hostLink); err != nil {
		return err
	}
	return r.forgetFlows(r.config.Publish, addrs)
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
		steps[i].undo = r.undoElements(hostLink, add.change.(AddElements))
	}
	for began := time.Now(); ; {
		over := r.graceOver(began)
		err := r.do(r.host, steps...)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrExists) {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if over {
			return r.takenPort(doing, wanted)
		}
		// Its holder may be gone, or just ending.
		if err := r.sweepAndWait(hostLink); err != nil {
			return fmt.Errorf("%s: looking whose it is: %w", doing, err)
		}
	}
}

// sweepAndWait takes away what containers left that are gone, and gives others time. To do so
// it may let go of the lock: then another run for the same container takes what this one made
// so far for what a killed one left.
func (r *run) sweepAndWait(hostLink int) error {
	if err := cmp.Or(r.sweepStale(), r.relock(false, r.config.Deadline), r.wait()); err != nil {
		return err
	}
	_, err := r.host.Link(Which{Index: hostLink})
	return againIfGone(err)
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
	bridges, err := r.ourBridges()
	if holder, err2 := r.holderOf(bridges, addr); err == nil && err2 == nil {
		who = lease.ReadOwner(holder.Altnames).String() + ", by host link " + holder.Name + ","
	}
	return fmt.Errorf("%s: %s has it, for %s; choose another port, or take that one down first", doing, who, addr)
}

// checkShared refuses a port of all the host's addresses that somebody has of one of
// them, and the other way round. Both have it when this is asked, so that of two runs at
// once at least one sees the other.
func (r *run) checkShared(hostLink int, addrs []netip.Addr) error {
	for began := time.Now(); ; {
		over := r.graceOver(began)
		port, holder, err := r.sharedWith(addrs)
		if err != nil || !holder.IsValid() {
			return err
		}
		doing := "publishing port " + port.String()
		if over {
			return r.taken(doing, holder)
		}
		// That of one address would be asked first, though its container is gone.
		if err := r.sweepAndWait(hostLink); err != nil {
			return fmt.Errorf("%s: looking whose it is: %w", doing, err)
		}
	}
}

// sharedWith is a port that is asked for, and where it leads already: asked for of all the
// host's addresses while somebody has it of one of them, or the other way round.
func (r *run) sharedWith(addrs []netip.Addr) (port netsetgo.Publish, holder netip.Addr, err error) {
	others := map[string][]firewall.Element{}
	for _, set := range firewall.PortMaps() {
		elements, err := r.host.Elements(set)
		if err != nil {
			return port, holder, fmt.Errorf("looking at all published ports: %w", err)
		}
		for _, element := range elements {
			others[element.HostPort()] = append(others[element.HostPort()], element)
		}
	}
	for _, port := range r.config.Publish {
		for _, mine := range firewall.Ports(port, addrs) {
			for _, other := range others[mine.HostPort()] {
				if holder, _ := other.ContainerAddress(); mine.SharesPort(other) {
					return port, holder, nil
				}
			}
		}
	}
	return port, holder, nil
}

// routeLocalnet lets packets from 127.0.0.1 leave by the bridge: what comes in by it for
// 127.0.0.1 is dropped by the rules.
func (r *run) routeLocalnet(bridge Link, hostLink int) error {
	if bridge.Settings.RouteLocalnet || !r.asksLocalnet(r.config.Publish) {
		return nil
	}
	key := sysctl4(bridge.Name, "route_localnet")
	return r.do(r.host, step{SetSysctl{key, "1"}, "published ports are the host's 127.0.0.1's as well", r.unlessPublished(bridge.Name, hostLink, SetSysctl{key, "0"})})
}

// asksLocalnet says whether some published ports are those of 127.0.0.1 as well.
func (r *run) asksLocalnet(ports []netsetgo.Publish) bool {
	return r.config.Subnet != nil && slices.ContainsFunc(ports, func(port netsetgo.Publish) bool {
		return !port.HostIP.IsValid() || port.HostIP.Is4() && (port.HostIP.IsUnspecified() || port.HostIP.IsLoopback())
	})
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

// unpublish takes away what a host link has in the rules, until that goes itself. What goes
// with it needn't.
func (r *run) unpublish(hostLink Link) error {
	owner := lease.ReadOwner(hostLink.Altnames)
	if len(owner.Addresses) == 0 {
		return nil
	}
	elements, err := r.hostLinkElements(hostLink)
	if err != nil {
		return err
	}
	steps, err := r.deletions(elements, "it is for the container alone")
	if err != nil {
		return err
	}
	for i, step := range steps {
		steps[i].undo = r.whileThere(hostLink.Index, AddElements(step.change.(DeleteElements)))
	}
	if len(steps) > 0 {
		if err := r.do(r.host, steps...); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return r.forgetFlows(owner.Ports, owner.Addresses)
}

// whileThere undoes something of a host link with the lock held alone, and only while the link
// is there: so long, what it has leased is nobody else's.
func (r *run) whileThere(hostLink int, undo Change) func() error {
	return func() error {
		if err := r.relock(true, r.config.Deadline); err != nil {
			return err
		}
		_, err := r.host.Link(Which{Index: hostLink})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return reverse(r.host, undo)()
	}
}
