package configurer

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"

	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

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

// linkOf is the name of the link that a note remembers something of; ok is false where the
// link is gone.
func (r *run) linkOf(was lease.Was) (name string, ok bool, err error) {
	if was.Link == 0 {
		return "", true, nil
	}
	link, err := r.readOnce(was.Link)
	if errors.Is(err, ErrNotFound) {
		return "", false, nil
	}
	return link.Name, err == nil, err
}

// readOnce reads a link, unless it has been.
func (r *run) readOnce(index int) (Link, error) {
	if link, ok := r.remembered[index]; ok {
		return link, nil
	}
	link, err := r.host.Link(Which{Index: index})
	if err == nil {
		r.remembered[index] = link
	}
	return link, err
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
