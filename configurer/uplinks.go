package configurer

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
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

// keyOf is the sysctl that a note remembers, of a link by its name.
func keyOf(was lease.Was, link string) string {
	switch was.Sysctl {
	case sysctlForwarding, sysctlExempt:
		return sysctl4(link, sysctlForwarding)
	case sysctlForwarding6:
		return sysctl6("all", "forwarding")
	}
	return sysctl6(link, was.Sysctl)
}

// elementsOf are those that go with what a note remembers.
func elementsOf(was lease.Was) []firewall.Element {
	switch was.Sysctl {
	case sysctlForwarding:
		return []firewall.Element{firewall.Uplink(was.Link, false)}
	case sysctlExempt:
		return []firewall.Element{firewall.Uplink(was.Link, false), firewall.Exempt(was.Link)}
	case sysctlForce:
		return []firewall.Element{firewall.Uplink(was.Link, true)}
	case sysctlForwarding6:
		return []firewall.Element{firewall.Router6()}
	}
	return nil
}

// carriers are the elements of bridges of others that what goes with a note would keep from
// carrying what passes from port to port: an uplink that is one or, where links don't forward
// for themselves, all.
func (r *run) carriers(was lease.Was) ([]firewall.Element, error) {
	var elements []firewall.Element
	switch was.Sysctl {
	case sysctlForwarding, sysctlExempt, sysctlForce:
		if r.remembered[was.Link].Kind == kindBridge {
			elements = append(elements, firewall.Carrier(was.Link))
		}
	case sysctlForwarding6:
		links, err := r.host.Links(kindBridge)
		if err != nil {
			return nil, err
		}
		for _, link := range links {
			if link.Group != lease.Group {
				r.remembered[link.Index] = link
				elements = append(elements, firewall.Carrier(link.Index))
			}
		}
	}
	return elements, nil
}

// linkOf is the name of the link that a note remembers something of; ok is false where the
// link is gone.
func (r *run) linkOf(was lease.Was) (name string, ok bool, err error) {
	if was.Link == 0 {
		return "", true, nil
	}
	link, err := r.host.Link(Which{Index: was.Link})
	if errors.Is(err, ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	r.remembered[was.Link] = link
	return link.Name, true, nil
}

// stillThere leaves out what a note remembers of links that are gone.
func (r *run) stillThere(all []lease.Was) ([]lease.Was, error) {
	var left []lease.Was
	for _, was := range all {
		_, ok, err := r.linkOf(was)
		if err != nil {
			return nil, err
		}
		if ok {
			left = append(left, was)
		}
	}
	return left, nil
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
		link, err := r.host.Link(Which{Index: uplink.Link})
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking at the link of a default route: %w", err)
		}
		r.remembered[link.Index] = link
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

// allWas are what all bridges of ours remember, of links that are there.
func (r *run) allWas() ([]lease.Was, error) {
	bridges, err := r.ourBridges()
	if err != nil {
		return nil, err
	}
	var all []lease.Was
	for _, bridge := range bridges {
		note, _ := lease.ReadNote(bridge.Alias)
		all = append(all, note.Was...)
	}
	return r.stillThere(all)
}

// fitsAnyNote says whether the last bridge of ours could remember all, whatever it is like:
// else none could go.
func fitsAnyNote(all []lease.Was) bool {
	longest := lease.Note{
		Next: netip.AddrFrom16([16]byte(bytes.Repeat([]byte{0xff}, 16))), Number: lease.MaxNumber,
		Policy: firewall.Policy{NAT: true, Isolated: true}.String(), Was: all,
	}
	return len(longest.String()) <= lease.MaxNote
}

// remember notes what no bridge remembers any more.
func (r *run) remember(bridge Link, note *lease.Note) error {
	known, err := r.allWas()
	if err != nil {
		return err
	}
	lost, err := r.lostWas(known)
	if err == nil {
		lost, err = r.stillThere(lost)
	}
	if err != nil || len(lost) == 0 || !fitsAnyNote(append(known, lost...)) {
		return err
	}
	note.Was = append(note.Was, lost...)
	return r.do(r.host, step{change: SetAlias{bridge.Index, note.String()}, why: "remembers how the uplinks were: what did is gone"})
}

// lostWas is what no bridge remembers: one that did was deleted by hand, or its alias was
// overwritten. That netsetgo opened something, the rules' elements still say.
func (r *run) lostWas(known []lease.Was) ([]lease.Was, error) {
	var lost []lease.Was
	for _, set := range firewall.OpenedSets() {
		elements, err := r.host.Elements(set)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoFirewall) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, element := range elements {
			remembers := func(was lease.Was) bool { return slices.ContainsFunc(elementsOf(was), element.SameKey) }
			if slices.ContainsFunc(known, remembers) {
				continue
			}
			was := lease.Was{Link: element.LinkIndex(), Sysctl: sysctlForwarding, Value: "0"}
			switch {
			case was.Link == 0:
				was.Sysctl = sysctlForwarding6
			case !remembers(was):
				was.Sysctl = sysctlForce
			default:
				exempt, err := r.host.Find(firewall.Exempt(was.Link))
				if err != nil {
					return nil, err
				}
				if len(exempt) > 0 {
					was.Sysctl = sysctlExempt
				}
			}
			lost = append(lost, was)
		}
	}
	return lost, nil
}

// openedByOthers says whether the host has become a router meanwhile, who opened what a note
// remembers as well.
func (r *run) openedByOthers(was lease.Was) (bool, error) {
	switch was.Sysctl {
	case sysctlForwarding:
		return r.isRouter()
	case sysctlForce:
		value, err := r.host.Sysctl(sysctl6("all", "forwarding"))
		return value == "1", err
	}
	return false, nil
}
