package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/netsetgo/netsetgo/configurer/lease"
)

// bridge finds the bridge or makes it, and returns it as it is then.
func (r *run) bridge(mtu int) (Link, error) {
	name := r.config.BridgeName
	link, err := r.host.Link(Which{Name: name})
	if errors.Is(err, ErrNotFound) {
		link, err = r.makeBridge()
	}
	if err != nil {
		return Link{}, fmt.Errorf("looking for bridge %s: %w", name, err)
	}
	if link.Kind != kindBridge || link.Name != name {
		return Link{}, fmt.Errorf("connecting to bridge %s: that is a name of %s; choose another -bridgeName", name, describe(link))
	}
	addresses, err := r.host.Addresses(link.Index)
	if err != nil {
		return Link{}, fmt.Errorf("reading the addresses of bridge %s: %w", name, err)
	}
	ours := link.Group == lease.Group
	var lacking []netip.Prefix
	for _, family := range r.config.Families() {
		gateway := family.Gateway
		if slices.Contains(addresses, gateway) {
			continue
		}
		if !ours || slices.ContainsFunc(addresses, func(other netip.Prefix) bool { return other.Addr().Is4() == gateway.Addr().Is4() }) {
			return Link{}, fmt.Errorf("connecting to bridge %s: it hasn't the address %s, but %s; "+
				"choose another -bridgeAddress or -bridgeName, or add it: ip address add %s dev %s",
				name, gateway, list(addresses), gateway, name)
		}
		lacking = append(lacking, gateway)
	}
	switch {
	case len(lacking) == 0 && link.Up:
		return link, nil
	case !ours:
		return Link{}, fmt.Errorf("connecting to bridge %s: it is down, and not netsetgo's; bring it up: ip link set %s up", name, name)
	}
	return r.finishBridge(link, lacking, mtu)
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
func (r *run) makeBridge() (Link, error) {
	change := AddBridge{
		Name: r.config.BridgeName, MAC: lease.ContainerMAC(r.config.Families()[0].Gateway.Addr()),
		Group: lease.Group, Index: new(int),
	}
	err := r.do(r.host, step{change, "the containers' bridge; the group is netsetgo's mark", r.unlessUsed(change.Name, r.retire)})
	if err != nil && !errors.Is(err, ErrExists) {
		return Link{}, err
	}
	return r.host.Link(Which{Name: change.Name})
}

// finishBridge gives a bridge of ours what it lacks. Another run may do the
// same at the same time.
func (r *run) finishBridge(bridge Link, lacking []netip.Prefix, mtu int) (Link, error) {
	for _, gateway := range lacking {
		if err := r.checkSubnet(gateway); err != nil {
			return Link{}, err
		}
	}
	steps := silence(bridge.Index, bridge.MTU)
	if bridge.Settings.HasIPv6 && bridge.Settings.AcceptRA != 0 && !bridge.Up {
		key := sysctl6(bridge.Name, "accept_ra")
		before := SetSysctl{key, strconv.Itoa(bridge.Settings.AcceptRA)}
		steps = append(steps, step{SetSysctl{key, "0"}, "no container tells the host a route", r.unlessUsed(bridge.Name, func(Link) error {
			return reverse(r.host, before)()
		})})
	}
	if mtu != 0 && mtu != bridge.MTU {
		steps = append(steps, step{SetMTU{bridge.Index, mtu}, "what its ports will have", r.unlessUsed(bridge.Name, func(now Link) error {
			return reverse(r.host, SetMTU{now.Index, bridge.MTU})()
		})})
	}
	if err := r.do(r.host, steps...); err != nil {
		return Link{}, err
	}
	// Its own on the link first: with the gateway, the bridge counts as having all.
	if slices.ContainsFunc(lacking, func(gateway netip.Prefix) bool { return gateway.Addr().Is6() }) {
		lacking = append([]netip.Prefix{routerAddress}, lacking...)
	}
	for _, gateway := range lacking {
		err := r.do(r.host, step{AddAddress{bridge.Index, gateway}, "the containers' gateway", r.unlessUsed(bridge.Name, func(bridge Link) error {
			return reverse(r.host, DeleteAddress{bridge.Index, gateway})()
		})})
		if err != nil && !errors.Is(err, ErrExists) {
			return Link{}, err
		}
	}
	if !bridge.Up {
		err := r.do(r.host, step{SetUp{bridge.Index, true}, "the bridge begins to forward", r.unlessUsed(bridge.Name, func(bridge Link) error {
			return reverse(r.host, SetUp{bridge.Index, false})()
		})})
		if err != nil {
			return Link{}, err
		}
	}
	return r.host.Link(Which{Index: bridge.Index})
}

// routerAddress is the bridge's own on its link, beside one of IPv6: what the host forwards
// it asks for from there (ndisc_solicit, net/ipv6/ndisc.c).
var routerAddress = netip.MustParsePrefix("fe80::1/64")

// unlessUsed undoes something of a bridge of ours: with the lock held alone, and
// only while it has no port.
func (r *run) unlessUsed(name string, undo func(bridge Link) error) func() error {
	return func() error {
		if r.bridgeStays {
			return nil // and has been told
		}
		err := r.relock(true, r.config.Deadline)
		if errors.Is(err, ErrBusy) {
			r.bridgeStays = true
			return fmt.Errorf("bridge %s stays until the next down: the lock is %w", name, ErrBusy)
		}
		if err != nil {
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
		return undo(bridge)
	}
}

// checkSubnet refuses a subnet in which the host has an address already, or that it
// reaches by another link: what is sent to the containers would go there. A wider
// network around it is nobody's loss, unless it is that of other containers.
func (r *run) checkSubnet(gateway netip.Prefix) error {
	doing := fmt.Sprintf("giving bridge %s its address %s", r.config.BridgeName, gateway)
	route, err := r.host.RouteTo(gateway.Addr())
	if err == nil {
		link, err := r.host.Link(Which{Index: route.Link})
		switch {
		case err != nil:
			return fmt.Errorf("%s: looking what reaches it: %w", doing, err)
		case link.Name == r.config.BridgeName:
			return nil // by another run, a moment ago
		case route.Destination.Bits() >= gateway.Bits() || link.Group == lease.Group:
			return fmt.Errorf("%s: the host reaches %s by %s %q; choose another -bridgeAddress",
				doing, route.Destination, cmp.Or(link.Kind, "device"), link.Name)
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%s: looking whether it is in use: %w", doing, err)
	}
	addresses, err := r.host.Addresses(0)
	if err != nil {
		return fmt.Errorf("%s: reading the addresses of the host: %w", doing, err)
	}
	for _, address := range addresses {
		if address != gateway && gateway.Masked().Contains(address.Addr()) {
			return fmt.Errorf("%s: the host has %s, which is in that subnet; choose another -bridgeAddress", doing, address)
		}
	}
	return nil
}
