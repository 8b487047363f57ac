package configurer

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// rulesThere says whether all rules are there, by their number: to read them all takes
// too long for each run, and is what check does.
func (r *run) rulesThere() (bool, error) {
	for _, outline := range firewall.Outlines() {
		there, err := r.host.Table(outline)
		if err != nil {
			return false, fmt.Errorf("looking for the rules of %s: %w", outline.Family, err)
		}
		if there.Version != firewall.Version || !maps.Equal(there.Uses, outline.Uses) {
			return false, nil
		}
	}
	return true, nil
}

// rulesHold says whether all rules are there, and of some elements those that are wanted.
func (r *run) rulesHold(wanted, unwanted []firewall.Element) (bool, error) {
	there, err := r.rulesThere()
	if !there || err != nil || len(wanted)+len(unwanted) == 0 {
		return there, err
	}
	found, err := r.host.Find(slices.Concat(wanted, unwanted)...)
	more := slices.ContainsFunc(found, func(element firewall.Element) bool { return slices.ContainsFunc(unwanted, element.SameKey) })
	return err == nil && len(found) == len(wanted) && !more, err
}

// mendRules makes the rules anew where any is missing, and else adds what is missing of
// some elements, and takes away what isn't wanted.
func (r *run) mendRules(wanted, unwanted []firewall.Element) error {
	whole, err := r.rulesThere()
	if err != nil {
		return err
	}
	if !whole {
		return r.makeRules()
	}
	found, err := r.host.Find(wanted...)
	if err != nil {
		return err
	}
	there := firewall.ByName(found)
	lacking := slices.DeleteFunc(slices.Clone(wanted), func(element firewall.Element) bool {
		_, ok := there[element.Name()]
		return ok
	})
	steps := append(addElements(lacking, "what the rules hold for"), forgetPorts(lacking, "they went elsewhere while it was missing")...)
	if err := r.do(r.host, steps...); err != nil {
		return err
	}
	return r.deleteElements(unwanted, "the bridge, or the host, is otherwise now")
}

// bridgeElements are those of a bridge of ours, and of what its note remembers of links that
// are there. Those that aren't wanted are of a bridge of its name that is gone, which was
// deleted by hand, say, and was open; or of an uplink that others opened as well.
func (r *run) bridgeElements(bridge Link, note lease.Note) (wanted, unwanted []firewall.Element, err error) {
	wanted = firewall.ParsePolicy(note.Policy).Elements(bridge.Name)
	all := firewall.Policy{NAT: true, Inbound: true, Isolated: true}.Elements(bridge.Name)
	unwanted = slices.DeleteFunc(all, func(element firewall.Element) bool { return slices.ContainsFunc(wanted, element.SameKey) })
	left, err := r.stillThere(note.Was)
	if err != nil {
		return nil, nil, err
	}
	for _, was := range left {
		others, err := r.openedByOthers(was)
		if err != nil {
			return nil, nil, err
		}
		if others {
			unwanted = append(unwanted, elementsOf(was)...)
		} else {
			carried, err := r.carriers(was)
			if err != nil {
				return nil, nil, err
			}
			wanted = append(wanted, elementsOf(was)...)
			for _, carrier := range carried { // of both families the same
				if !slices.ContainsFunc(wanted, carrier.SameKey) {
					wanted = append(wanted, carrier)
				}
			}
		}
	}
	return wanted, unwanted, nil
}

// makeRules makes both tables anew, with all that the links of this host say should be in
// them: the work of others too, should somebody have flushed the rules.
func (r *run) makeRules() error {
	var steps []step
	for _, table := range firewall.Tables() {
		at, err := r.host.Table(table.Outline())
		if err != nil {
			return err
		}
		if at.There {
			steps = append(steps, step{change: DeleteTable{table.Family}, why: "it isn't whole"})
		}
		steps = append(steps, step{change: AddTable{table.Family, firewall.Version}, why: "netsetgo's own rules"})
		for _, set := range table.Sets {
			steps = append(steps, step{change: AddSet{set}, why: "of what the rules hold for"})
		}
		for _, chain := range table.Chains {
			steps = append(steps, step{change: AddChain{chain}, why: "where the kernel enters the rules"})
		}
		for _, chain := range table.Chains {
			for _, rule := range chain.Rules {
				steps = append(steps, step{change: AddRule{chain, rule}, why: rule.Why})
			}
		}
	}
	elements, err := r.allElements()
	if err != nil {
		return err
	}
	steps = append(steps, addElements(elements, "what the links of this host ask for")...)
	return r.do(r.host, append(steps, forgetPorts(elements, "they went elsewhere while the rules were gone")...)...)
}

// addElements puts elements into their sets, one step for each set.
func addElements(elements []firewall.Element, why string) []step {
	var steps []step
	for _, element := range elements {
		if n := len(steps) - 1; n >= 0 {
			if last := steps[n].change.(AddElements); last.Set.Name == element.Set.Name && len(last.Elements) < maxElements {
				last.Elements = append(last.Elements, element)
				steps[n].change = last
				continue
			}
		}
		steps = append(steps, step{change: AddElements{element.Set, []firewall.Element{element}}, why: why})
	}
	return steps
}

// maxElements keeps one change readable, and its message small.
const maxElements = 256

// allElements are those that the bridges and host links of this host ask for, sorted by
// their sets.
func (r *run) allElements() ([]firewall.Element, error) {
	bridges, err := r.ourBridges()
	if err != nil {
		return nil, err
	}
	var elements []firewall.Element
	for _, bridge := range bridges {
		note, _ := lease.ReadNote(bridge.Alias)
		if note.Policy == "" {
			continue // its run is still at work
		}
		some, _, err := r.bridgeElements(bridge, note)
		if err != nil {
			return nil, err
		}
		elements = append(elements, some...)
	}
	hostLinks, err := r.host.Links(kindVeth)
	if err != nil {
		return nil, err
	}
	// What a killed run claimed, another may have: the finished first.
	slices.SortStableFunc(hostLinks, func(a, b Link) int { return cmp.Compare(unowned(a), unowned(b)) })
	for _, hostLink := range hostLinks {
		if hostLink.Group != lease.Group {
			continue
		}
		some, err := r.hostLinkElements(hostLink)
		if err != nil {
			return nil, err
		}
		elements = append(elements, some...)
	}
	elements = firewall.Unique(elements)
	slices.SortStableFunc(elements, func(a, b firewall.Element) int { return cmp.Compare(a.Set.Name, b.Set.Name) })
	return elements, nil
}

func unowned(hostLink Link) int {
	if lease.ReadOwner(hostLink.Altnames).Complete() {
		return 0
	}
	return 1
}

// hostLinkElements are those of a container, as its host link tells them.
func (r *run) hostLinkElements(hostLink Link) ([]firewall.Element, error) {
	owner := lease.ReadOwner(hostLink.Altnames)
	if len(owner.Addresses) == 0 {
		return nil, nil
	}
	var elements []firewall.Element
	var macs []net.HardwareAddr
	if owner.Unchecked {
		elements = append(elements, firewall.Unchecked(hostLink.Index))
	} else {
		var err error
		if macs, err = r.host.PortMACs(hostLink); err != nil {
			return nil, err
		}
	}
	for _, mac := range macs {
		elements = append(elements, firewall.Sender(mac, owner.Addresses)...)
		if !hostLink.Port.CanLock {
			elements = append(elements, firewall.Locked(hostLink.Index, mac)...)
		}
	}
	for _, port := range owner.Ports {
		elements = append(elements, firewall.Ports(port, owner.Addresses)...)
	}
	return elements, nil
}
