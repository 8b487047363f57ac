package configurer_test

import (
	"net"
	"net/netip"
	"slices"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurerfakes"
)

// connectFirewall lets a connection read rules, sysctls and what others block.
func (w *world) connectFirewall(conn *configurerfakes.FakeConn, s *space) {
	conn.TableCalls(func(planned firewall.Outline) (configurer.TableAt, error) {
		_, err := w.call("table %s", planned.Family)
		return s.rules.at(planned.Family), err
	})
	conn.RulesCalls(func(family firewall.Family) ([]configurer.RuleAt, error) {
		_, err := w.call("rules %s", family)
		if err != nil || s.rules[family] == nil {
			return nil, err
		}
		return slices.Clone(s.rules[family].rules), nil
	})
	conn.ElementsCalls(func(set firewall.Set) ([]firewall.Element, error) {
		if _, err := w.call("elements %s", set.Name); err != nil {
			return nil, err
		}
		return s.rules.elements(set), nil
	})
	conn.FindCalls(func(elements ...firewall.Element) ([]firewall.Element, error) {
		if _, err := w.call("find elements"); err != nil {
			return nil, err
		}
		return s.rules.find(elements), nil
	})
	conn.SysctlCalls(func(key string) (string, error) {
		if _, err := w.call("value of %s", key); err != nil {
			return "", err
		}
		return s.sysctl(key)
	})
	conn.BlocksCalls(func() ([]configurer.Block, error) {
		if _, err := w.call("blocks"); err != nil {
			return nil, err
		}
		return slices.Clone(w.blocks), nil
	})
	conn.ListenersCalls(func(protocol string) ([]configurer.Listener, error) {
		_, err := w.call("listeners by %s", protocol)
		return w.listeners[protocol], err
	})
	conn.ProgramCalls(func(listener configurer.Listener) string { return w.programs[listener.Inode] })
	conn.PortMACsCalls(func(port configurer.Link) ([]net.HardwareAddr, error) {
		if _, err := w.call("macs of port %s", port.Name); err != nil {
			return nil, err
		}
		if d := s.index(port.Index); d != nil {
			return slices.Clone(d.macs), nil
		}
		return nil, nil
	})
}

// uplinks are the links of default routes, each once, of IPv4 first.
func (w *world) uplinks(s *space) ([]configurer.Uplink, error) {
	if _, err := w.call("uplinks"); err != nil {
		return nil, err
	}
	var uplinks []configurer.Uplink
	for _, ipv6 := range []bool{false, true} {
		for _, route := range s.routes {
			found := configurer.Uplink{Link: route.Link, IPv6: ipv6}
			if route.Destination.Bits() == 0 && route.Destination.Addr().Is6() == ipv6 && !slices.Contains(uplinks, found) {
				uplinks = append(uplinks, found)
			}
		}
	}
	return uplinks, nil
}

// global are a link's addresses but those that links of IPv6 give themselves.
func (d *device) global() []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(d.addresses), func(address netip.Prefix) bool {
		return address.Addr().Is6() && address.Addr().IsLinkLocalUnicast()
	})
}

// subnetMetric is that of the route that comes with an address (IP6_RT_PRIO_ADDRCONF,
// linux/ipv6_route.h).
func subnetMetric(address netip.Prefix) int {
	if address.Addr().Is6() {
		return 256
	}
	return 0
}
