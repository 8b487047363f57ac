package configurer_test

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/netsetgo/netsetgo/configurer"
)

// newSettings are those of every new link, as on a host that was just booted.
var newSettings = configurer.Settings{AcceptRA: 1, HasIPv6: true, HasForce: true}

// switches are the sysctls of a link that are on or off, by the ends of their keys.
func switches(settings *configurer.Settings) map[string]*bool {
	all := map[string]*bool{
		"ipv4/forwarding": &settings.Forwarding, "ipv4/route_localnet": &settings.RouteLocalnet,
	}
	if settings.HasIPv6 {
		all["ipv6/forwarding"] = &settings.Forwarding6
	}
	if settings.HasForce {
		all["ipv6/force_forwarding"] = &settings.ForceForwarding
	}
	return all
}

// setting finds the link that a sysctl is of.
func (s *space) setting(key string) (d *device, name string) {
	parts := strings.Split(key, "/") // net/ipv4/conf/LINK/NAME
	if len(parts) != 5 || parts[2] != "conf" {
		return nil, ""
	}
	for _, d := range s.links {
		if d.Name == parts[3] {
			return d, parts[1] + "/" + parts[4]
		}
	}
	return nil, ""
}

// allForwarding6 is the sysctl of IPv6 that, before 6.17, says for all links whether the
// host forwards.
const allForwarding6 = "net/ipv6/conf/all/forwarding"

// routeAll makes a router of IPv6 of the host or none: one that it is made drops the routes
// that routers told (rt6_purge_dflt_routers, net/ipv6/route.c).
func (s *space) routeAll(on bool) {
	for _, d := range s.links {
		d.Settings.Forwarding6 = on
		told := func(route configurer.Route) bool { return route.Link == d.Index && isDefault6(route) }
		if on && d.Settings.AcceptRA == 1 {
			s.routes = slices.DeleteFunc(s.routes, told)
		}
	}
}

func isDefault6(route configurer.Route) bool {
	return route.Destination.Bits() == 0 && route.Destination.Addr().Is6()
}

func (s *space) setSysctl(key, value string) error {
	d, name := s.setting(key)
	if d == nil {
		if _, there := s.sysctls[key]; !there {
			return configurer.ErrNotFound
		}
		s.sysctls[key] = value
		if key == allForwarding6 {
			s.routeAll(value == "1")
		}
		return nil
	}
	if name == "ipv6/accept_ra" && d.Settings.HasIPv6 {
		var err error
		d.Settings.AcceptRA, err = strconv.Atoi(value)
		return err
	}
	at := switches(&d.Settings)[name]
	if at == nil {
		return configurer.ErrNotFound
	}
	*at = value == "1"
	return nil
}

func (s *space) sysctl(key string) (string, error) {
	d, name := s.setting(key)
	if key == "kernel/osrelease" {
		return map[bool]string{false: "6.18.0", true: "5.10.0"}[s.cantLock], nil
	}
	if d == nil {
		value, there := s.sysctls[key]
		if !there {
			return "", configurer.ErrNotFound
		}
		return value, nil
	}
	if name == "ipv6/accept_ra" {
		return strconv.Itoa(d.Settings.AcceptRA), nil
	}
	at := switches(&d.Settings)[name]
	if at == nil {
		return "", configurer.ErrNotFound
	}
	return strconv.Itoa(map[bool]int{true: 1}[*at]), nil
}

// describeSettings has what isn't as with a new link.
func (d *device) describeSettings() string {
	var words []string
	for key, at := range switches(&d.Settings) {
		if *at {
			words = append(words, strings.ReplaceAll(key, "ipv4/", "")+"=1")
		}
	}
	if d.Settings.AcceptRA != newSettings.AcceptRA {
		words = append(words, fmt.Sprintf("ipv6/accept_ra=%d", d.Settings.AcceptRA))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// describePort has what isn't as with a new port.
func (d *device) describePort() string {
	var words []string
	if !d.Port.Learning && d.Master != 0 {
		words = append(words, "learning=off")
	}
	for word, on := range map[string]bool{"locked": d.Port.Locked, "isolated": d.Port.Isolated, "hairpin": d.Port.Hairpin} {
		if on {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	for _, mac := range d.macs {
		words = append(words, "mac="+mac.String())
	}
	return strings.Join(words, ",")
}

// addPortMAC refuses a MAC that a bridge knows already.
func (s *space) addPortMAC(d *device, mac net.HardwareAddr) error {
	for _, port := range s.links {
		known := func(other net.HardwareAddr) bool { return slices.Equal(other, mac) }
		if port.Master == d.Master && slices.ContainsFunc(port.macs, known) {
			return configurer.ErrExists
		}
	}
	d.macs = append(d.macs, mac)
	return nil
}
