package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// closedUplink is a sysctl that keeps the host from forwarding what comes in by the link of
// a default route.
type closedUplink struct {
	link string // "" where the sysctl is of all links
	was  lease.Was
	open string // the value that it is given
}

// The sysctls that a note remembers.
const (
	sysctlForwarding  = "forwarding"       // IPv4
	sysctlExempt      = "forwarding4"      // IPv4, of a link that a host which is a router made an exception of
	sysctlForce       = "force_forwarding" // IPv6, Linux 6.17 on
	sysctlForwarding6 = "forwarding6"      // IPv6, of all links: else a link's own has no say
	sysctlAcceptRA    = "accept_ra"
)

func sysctl4(link, name string) string { return "net/ipv4/conf/" + link + "/" + name }
func sysctl6(link, name string) string { return "net/ipv6/conf/" + link + "/" + name }

// carriers are the elements of bridges of others that what goes with a note would keep from
// carrying what passes from port to port: an uplink that is one or, where links don't forward
// for themselves, all.
func (r *run) carriers(was lease.Was) ([]firewall.Element, error) {
	var elements []firewall.Element
	switch was.Sysctl {
	case sysctlForwarding, sysctlExempt, sysctlForce:
		link, err := r.readOnce(was.Link)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if link.Kind == kindBridge {
			elements = append(elements, firewall.Carrier(was.Link))
		}
	case sysctlForwarding6:
		links, err := r.host.Links(kindBridge)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Index, b.Index) }) // the kernel has no order
		for _, link := range links {
			if link.Group != lease.Group {
				r.remembered[link.Index] = link
				elements = append(elements, firewall.Carrier(link.Index))
			}
		}
	}
	return elements, nil
}

// closedUplinks looks at the links of all default routes, of the families that are asked
// for.
func (r *run) closedUplinks() ([]closedUplink, error) {
	uplinks, err := r.findUplinks()
	if err != nil {
		return nil, err
	}
	var closed, forced []closedUplink
	var routers []Link // of IPv6, where no link forwards for itself
	for _, uplink := range uplinks {
		if !slices.ContainsFunc(r.config.Families(), func(family netsetgo.Family) bool { return family.Gateway.Addr().Is6() == uplink.IPv6 }) {
			continue
		}
		link, err := r.readOnce(uplink.Link)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking at the link of a default route: %w", err)
		}
		settings := link.Settings
		switch {
		case !uplink.IPv6 && !settings.Forwarding:
			was := lease.Was{Link: link.Index, Sysctl: sysctlForwarding, Value: "0"}
			if router, err := r.isRouter(); err != nil {
				return nil, err
			} else if router {
				was.Sysctl = sysctlExempt
			}
			closed = append(closed, closedUplink{link.Name, was, "1"})
		case uplink.IPv6 && settings.HasForce && !settings.ForceForwarding:
			forced = append(forced, closedUplink{link.Name, lease.Was{Link: link.Index, Sysctl: sysctlForce, Value: "0"}, "1"})
		case uplink.IPv6 && !settings.HasForce:
			routers = append(routers, link)
		}
	}
	if len(forced)+len(routers) == 0 {
		return closed, nil
	}
	// A host that is a router for all links forwards what comes in by these, too.
	value, err := r.host.Sysctl(sysctl6("all", "forwarding"))
	if err != nil {
		return closed, err
	}
	deaf := deafRouters(routers)
	switch {
	case value == "0":
		closed = append(append(closed, forced...), deaf...)
		if len(routers) > 0 {
			closed = append(closed, closedUplink{"", lease.Was{Sysctl: sysctlForwarding6, Value: "0"}, "1"})
		}
	case len(deaf) > 0:
		// Somebody may have set them anew, or the link has come since.
		if made, err := r.host.Find(firewall.Router6()); err != nil && !errors.Is(err, ErrNoFirewall) {
			return nil, err
		} else if len(made) > 0 {
			closed = append(closed, deaf...)
		}
	}
	return closed, nil
}

// isRouter says whether somebody lets the host forward IPv4 for all its links.
func (r *run) isRouter() (bool, error) {
	value, err := r.host.Sysctl("net/ipv4/ip_forward")
	return value == "1", err
}

// deafRouters are uplinks that wouldn't listen to routers, on kernels that forward IPv6 for
// all links or for none. To be a router drops the routes that routers told
// (rt6_purge_dflt_routers, net/ipv6/route.c), unless accept_ra says to keep them, before.
func deafRouters(uplinks []Link) []closedUplink {
	var deaf []closedUplink
	for _, uplink := range uplinks {
		if uplink.Settings.AcceptRA == 1 {
			deaf = append(deaf, closedUplink{uplink.Name, lease.Was{Link: uplink.Index, Sysctl: sysctlAcceptRA, Value: "1"}, "2"})
		}
	}
	return deaf
}

// openUplinks lets the host forward what comes in by its uplinks, to bridges only, and
// remembers how it was. A run that fails later leaves it: the containers that are on the
// bridge already need it as well, and where there is none, the bridge goes, and all with it.
func (r *run) openUplinks(bridge Link, note lease.Note) error {
	closed, err := r.closedUplinks()
	if err != nil || len(closed) == 0 {
		return err
	}
	known, err := r.allWas()
	if err != nil {
		return err
	}
	if note.Was, err = r.stillThere(note.Was); err != nil {
		return err
	}
	for _, uplink := range closed {
		same := func(was lease.Was) bool { return was.Link == uplink.was.Link && was.Sysctl == uplink.was.Sysctl }
		if !slices.ContainsFunc(known, same) {
			known, note.Was = append(known, uplink.was), append(note.Was, uplink.was)
		}
	}
	text := note.String()
	if !fitsAnyNote(known) {
		return fmt.Errorf("forwarding by uplinks: the note on bridge %s has no room to remember how %d of them were; switch forwarding on by hand, as in sysctl -w %s=1",
			bridge.Name, len(closed), keyOf(closed[0].was, closed[0].link))
	}
	// Alone: what isn't remembered isn't changed.
	if err := r.do(r.host, step{change: SetAlias{bridge.Index, text}, why: "remembers how the uplinks were, for the last one out"}); err != nil {
		return err
	}
	// One after another: each relies on those before.
	for _, uplink := range closed {
		carried, err := r.carriers(uplink.was)
		if err != nil {
			return fmt.Errorf("looking for bridges of others: %w", err)
		}
		steps := append(addElements(carried, "what passes through bridges of others isn't routed"),
			addElements(elementsOf(uplink.was), "what comes in by it goes to bridges only")...)
		if len(steps) > 0 {
			if err := r.do(r.host, steps...); err != nil {
				return err
			}
		}
		err = r.do(r.host, step{change: SetSysctl{keyOf(uplink.was, uplink.link), uplink.open}, why: "the host forwards what comes in by its uplinks"})
		if err != nil {
			return err
		}
	}
	return nil
}
