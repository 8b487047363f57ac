package configurer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/netsetgo/netsetgo"
)

// Listener is a socket of a program of the host that waits for others to send to its port.
type Listener struct {
	// Address is where it is bound, of IPv4 or IPv6; unspecified means all.
	Address netip.AddrPort
	// Only6 says that one of all IPv6 addresses isn't of all IPv4 ones as well.
	Only6 bool
	Inode uint64
}

// checkListeners refuses ports that programs of the host listen on: nobody would reach
// them any more.
func (r *run) checkListeners(addrs []netip.Addr) error {
	known := map[string][]Listener{}
	for _, port := range r.config.Publish {
		port = port.WithDefaults()
		doing := "publishing port " + port.String()
		if _, ok := known[port.Protocol]; !ok {
			listeners, err := r.host.Listeners(port.Protocol)
			if err != nil {
				return fmt.Errorf("%s: looking where the host's programs listen: %w", doing, err)
			}
			known[port.Protocol] = listeners
		}
		for _, listener := range known[port.Protocol] {
			if slices.ContainsFunc(addrs, func(addr netip.Addr) bool { return listener.loses(port, addr.Is4()) }) {
				return fmt.Errorf("%s: %s listens on %s; choose another port, or end that program first",
					doing, cmp.Or(r.host.Program(listener), "a program of the host"), listener.Address)
			}
		}
	}
	return nil
}

// loses says whether a listener wouldn't get all that is sent to it by a family any more, as
// bind(2) refuses to share a port.
func (l Listener) loses(port netsetgo.Publish, is4 bool) bool {
	own, asked := l.Address.Addr(), port.HostIP
	n := int(l.Address.Port()) - port.HostPort
	switch {
	case n < 0 || n >= port.Count, asked.IsValid() && asked.Is4() != is4:
		return false
	case own.IsUnspecified():
		return own.Is4() == is4 || is4 && !l.Only6
	case own.Is6() && (own.IsLoopback() || own.IsLinkLocalUnicast()):
		return false // of these, no port is published
	}
	return own.Is4() == is4 && (!asked.IsValid() || asked.IsUnspecified() || asked == own)
}
