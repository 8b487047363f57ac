package configurer_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/netsetgo/netsetgo/configurer"
)

// Refusals of the kernel on which nothing is decided.
var (
	errUnreachable = errors.New("network is unreachable")
	errInvalid     = errors.New("invalid argument")
)

// do makes changes in one go: the later ones are tried also after one has failed. Those
// of nftables that stand beside each other are one.
func (w *world) do(s *space, steps []configurer.Step) []error {
	errs := make([]error, 0, len(steps))
	for len(steps) > 0 {
		n := 1
		for isFirewall(steps[0].Change) && n < len(steps) && isFirewall(steps[n].Change) {
			n++
		}
		err := w.doOne(s, steps[:n])
		for range n {
			errs = append(errs, err)
		}
		steps = steps[n:]
	}
	return errs
}

func (w *world) doOne(s *space, steps []configurer.Step) error {
	var texts []string
	for _, step := range steps {
		if text := w.describe(s, step.Change); text != "" {
			texts = append(texts, text)
		}
	}
	apply := func(withAnswer bool) error {
		if isFirewall(steps[0].Change) {
			return s.transact(steps)
		}
		change := steps[0].Change
		if !withAnswer {
			change = withoutAnswer(change)
		}
		return w.apply(s, change)
	}
	made, err := w.call("%s", strings.Join(texts, "; "))
	switch {
	case err == nil:
		err = apply(true)
	case made:
		_ = apply(false) // how it ended, nobody learns
	}
	if err == nil {
		w.log = append(w.log, texts...)
		w.made += len(steps)
	}
	return err
}

// withoutAnswer is a change whose answer is lost: no index comes back.
func withoutAnswer(change configurer.Change) configurer.Change {
	switch change := change.(type) {
	case configurer.AddBridge:
		change.Index = new(int)
		return change
	case configurer.AddPair:
		change.Index, change.CanLock = new(int), new(bool)
		return change
	}
	return change
}

func (w *world) apply(s *space, change configurer.Change) error {
	switch change := change.(type) {
	case configurer.AddBridge:
		if s.named(change.Name) != nil {
			return configurer.ErrExists
		}
		*change.Index = s.add(configurer.Link{
			Name: change.Name, Kind: "bridge", MAC: change.MAC, Group: change.Group, MTU: 1500,
		}).Index
		return nil
	case configurer.AddPair:
		return w.addPair(s, change)
	case configurer.DeleteLink:
		return s.change(change.Link, func(d *device) error { s.remove(d); return nil })
	case configurer.SetUp:
		return s.change(change.Link, func(d *device) error { s.setUp(d, change.Up); return nil })
	case configurer.SetMTU:
		return s.change(change.Link, func(d *device) error { d.MTU = change.MTU; return nil })
	case configurer.SetMAC:
		return s.change(change.Link, func(d *device) error { d.MAC = change.MAC; return nil })
	case configurer.SetAlias:
		return s.change(change.Link, func(d *device) error { d.Alias = change.Alias; return nil })
	case configurer.SilenceIPv6:
		return s.change(change.Link, func(d *device) error { d.silent = true; return nil })
	case configurer.SetPort:
		return s.change(change.Link, func(d *device) error {
			can := d.Port.CanLock
			d.Port = change.Port
			d.Port.CanLock, d.Port.Locked = can, can && change.Port.Locked
			return nil
		})
	case configurer.AddPortMAC:
		return s.change(change.Link, func(d *device) error { return s.addPortMAC(d, change.MAC) })
	case configurer.SetSysctl:
		return s.setSysctl(change.Key, change.Value)
	case configurer.ForgetFlows:
		return nil // there may be none
	case configurer.AddAltname:
		return s.change(change.Link, func(d *device) error {
			if s.named(change.Name) != nil {
				return configurer.ErrExists
			}
			d.Altnames = append(d.Altnames, change.Name)
			return nil
		})
	case configurer.AddAddress:
		return s.change(change.Link, func(d *device) error {
			if slices.Contains(d.addresses, change.Address) {
				return configurer.ErrExists
			}
			d.addresses = append(d.addresses, change.Address)
			return nil
		})
	case configurer.DeleteAddress:
		return s.change(change.Link, func(d *device) error { return d.deleteAddress(change.Address) })
	case configurer.AddRoute:
		return s.change(change.Route.Link, func(d *device) error { return s.addRoute(d, change.Route) })
	case configurer.DeleteRoute:
		before := len(s.routes)
		s.routes = slices.DeleteFunc(s.routes, func(route configurer.Route) bool { return route == change.Route })
		if len(s.routes) == before {
			return configurer.ErrNotFound
		}
		return nil
	}
	panic(fmt.Sprintf("the fake kernel doesn't know %T", change))
}

func (s *space) change(index int, do func(*device) error) error {
	d := s.index(index)
	if d == nil {
		return configurer.ErrNotFound
	}
	return do(d)
}

func (w *world) addPair(s *space, change configurer.AddPair) error {
	other := w.files[change.PeerNamespace]
	switch {
	case s.named(change.Name) != nil || other.named(change.Peer) != nil:
		return configurer.ErrExists
	case s.index(change.Master) == nil || other.dying:
		return errInvalid
	case s.ports(change.Master) == maxPorts:
		return configurer.ErrFull
	}
	host := s.add(configurer.Link{
		Name: change.Name, Kind: "veth", MTU: change.MTU, MAC: change.MAC, Master: change.Master, Group: change.Group,
	})
	host.Port = configurer.Port{Learning: true, CanLock: !s.cantLock}
	host.peer = other.add(configurer.Link{Name: change.Peer, Kind: "veth", MTU: change.MTU, MAC: change.PeerMAC})
	host.peer.peer = host
	other.known = true
	*change.Index, *change.CanLock = host.Index, !s.cantLock
	return nil
}

// maxPorts is BR_MAX_PORTS less the one that is never given, net/bridge/br_private.h.
const maxPorts = 1023

func (s *space) ports(bridge int) int {
	ports := 0
	for _, d := range s.links {
		if d.Master == bridge {
			ports++
		}
	}
	return ports
}

// setUp takes away, with a link that goes down, its routes.
func (s *space) setUp(d *device, up bool) {
	if up {
		s.up(d.Index)
		return
	}
	d.Up = false
	s.routes = slices.DeleteFunc(s.routes, func(route configurer.Route) bool { return route.Link == d.Index })
}

func (d *device) deleteAddress(address netip.Prefix) error {
	at := slices.Index(d.addresses, address)
	if at < 0 {
		return configurer.ErrNotFound
	}
	d.addresses = slices.Delete(d.addresses, at, at+1)
	return nil
}

func (s *space) addRoute(d *device, route configurer.Route) error {
	reachable := slices.ContainsFunc(d.addresses, func(address netip.Prefix) bool { return address.Contains(route.Gateway) })
	if !d.Up || !reachable {
		return errUnreachable
	}
	for _, other := range s.routes {
		if other.Destination == route.Destination && other.Metric == route.Metric {
			return configurer.ErrExists
		}
	}
	s.routes = append(s.routes, route)
	return nil
}

// describe is a change as ip(8) would have it.
func (w *world) describe(s *space, change configurer.Change) string {
	ip := "ip"
	if s != w.host() {
		ip = "ip -n " + s.name
	}
	name := func(index int) string {
		if d := s.index(index); d != nil {
			return d.Name
		}
		return fmt.Sprintf("link%d", index)
	}
	switch change := change.(type) {
	case configurer.AddBridge:
		return fmt.Sprintf("%s link add %s address %s group %d type bridge", ip, change.Name, change.MAC, change.Group)
	case configurer.AddPair:
		return fmt.Sprintf("%s link add %s address %s mtu %d master %s group %d type veth peer %s address %s netns %s",
			ip, change.Name, change.MAC, change.MTU, name(change.Master), change.Group,
			change.Peer, change.PeerMAC, w.files[change.PeerNamespace].name)
	case configurer.DeleteLink:
		return fmt.Sprintf("%s link delete %s", ip, name(change.Link))
	case configurer.SetUp:
		return fmt.Sprintf("%s link set %s %s", ip, name(change.Link), map[bool]string{true: "up", false: "down"}[change.Up])
	case configurer.SetMTU:
		return fmt.Sprintf("%s link set %s mtu %d", ip, name(change.Link), change.MTU)
	case configurer.SetMAC:
		return fmt.Sprintf("%s link set %s address %s", ip, name(change.Link), change.MAC)
	case configurer.SetAlias:
		return fmt.Sprintf("%s link set %s alias %q", ip, name(change.Link), change.Alias)
	case configurer.SilenceIPv6:
		return fmt.Sprintf("%s link set %s addrgenmode none", ip, name(change.Link))
	case configurer.AddAltname:
		return fmt.Sprintf("%s link property add dev %s altname %s", ip, name(change.Link), change.Name)
	case configurer.AddAddress:
		return fmt.Sprintf("%s address add %s dev %s", ip, change.Address, name(change.Link))
	case configurer.DeleteAddress:
		return fmt.Sprintf("%s address delete %s dev %s", ip, change.Address, name(change.Link))
	case configurer.AddRoute:
		return fmt.Sprintf("%s route add %s", ip, change.Route)
	case configurer.DeleteRoute:
		return fmt.Sprintf("%s route delete %s", ip, change.Route)
	case configurer.SetSysctl:
		return fmt.Sprintf("sysctl -w %s=%s", change.Key, change.Value)
	case configurer.SetPort:
		on := map[bool]string{true: "on", false: "off"}
		return fmt.Sprintf("bridge link set dev %s learning %s locked %s isolated %s hairpin %s", name(change.Link),
			on[change.Port.Learning], on[change.Port.Locked], on[change.Port.Isolated], on[change.Port.Hairpin])
	case configurer.AddPortMAC:
		return fmt.Sprintf("bridge fdb replace %s dev %s master static", change.MAC, name(change.Link))
	case configurer.ForgetFlows:
		return fmt.Sprintf("conntrack -D -f %s -p udp --dport %d", map[bool]string{true: "ipv6", false: "ipv4"}[change.IPv6], change.Port)
	}
	if isFirewall(change) {
		return describeFirewall(change)
	}
	panic(fmt.Sprintf("the fake kernel doesn't know %T", change))
}
