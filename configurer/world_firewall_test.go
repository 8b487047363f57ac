package configurer_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
)

// ruleset is what nftables has of netsetgo's.
type ruleset map[firewall.Family]*table

type table struct {
	version string
	sets    map[string][]firewall.Element
	uses    map[string]int // of chains
	rules   []configurer.RuleAt
}

func (r ruleset) clone() ruleset {
	clone := ruleset{}
	for family, t := range r {
		sets := map[string][]firewall.Element{}
		for name, elements := range t.sets {
			sets[name] = slices.Clone(elements)
		}
		clone[family] = &table{t.version, sets, maps.Clone(t.uses), slices.Clone(t.rules)}
	}
	return clone
}

func isFirewall(change configurer.Change) bool {
	switch change.(type) {
	case configurer.AddTable, configurer.DeleteTable, configurer.AddSet, configurer.AddChain, configurer.AddRule,
		configurer.AddElements, configurer.DeleteElements:
		return true
	}
	return false
}

// transact makes changes of nftables, all or none.
func (s *space) transact(steps []configurer.Step) error {
	changed := s.rules.clone()
	for _, step := range steps {
		if err := changed.apply(step.Change); err != nil {
			return err
		}
	}
	s.rules = changed
	return nil
}

func (r ruleset) apply(change configurer.Change) error {
	switch change := change.(type) {
	case configurer.AddTable:
		if r[change.Family] != nil {
			return configurer.ErrExists
		}
		r[change.Family] = &table{version: change.Version, sets: map[string][]firewall.Element{}, uses: map[string]int{}}
	case configurer.DeleteTable:
		if r[change.Family] == nil {
			return configurer.ErrNotFound
		}
		delete(r, change.Family)
	case configurer.AddSet:
		return r.change(change.Set.Family, func(t *table) error { t.sets[change.Set.Name] = []firewall.Element{}; return nil })
	case configurer.AddChain:
		return r.change(change.Chain.Family, func(t *table) error { t.uses[change.Chain.Name] = 0; return nil })
	case configurer.AddRule:
		return r.change(change.Chain.Family, func(t *table) error { return t.addRule(change.Chain.Name, change.Rule) })
	case configurer.AddElements:
		return r.change(change.Set.Family, func(t *table) error { return t.addElements(change.Set.Name, change.Elements) })
	case configurer.DeleteElements:
		return r.change(change.Set.Family, func(t *table) error { return t.deleteElements(change.Set.Name, change.Elements) })
	}
	return nil
}

func (r ruleset) change(family firewall.Family, do func(*table) error) error {
	if r[family] == nil {
		return configurer.ErrNotFound
	}
	return do(r[family])
}

func (t *table) addRule(chain string, rule firewall.Rule) error {
	if _, there := t.uses[chain]; !there {
		return configurer.ErrNotFound
	}
	t.uses[chain]++
	if rule.Verdict.Do == firewall.Jump {
		t.uses[rule.Verdict.To]++
	}
	t.rules = append(t.rules, configurer.RuleAt{Chain: chain, Why: rule.Why})
	return nil
}

func (t *table) addElements(name string, elements []firewall.Element) error {
	if t.sets[name] == nil {
		return configurer.ErrNotFound
	}
	for _, element := range elements {
		at := slices.IndexFunc(t.sets[name], element.SameKey)
		switch {
		case at < 0:
			t.sets[name] = append(t.sets[name], element)
		case t.sets[name][at].String() != element.String():
			return configurer.ErrExists
		}
	}
	return nil
}

func (t *table) deleteElements(name string, elements []firewall.Element) error {
	for _, element := range elements {
		at := slices.IndexFunc(t.sets[name], element.SameKey)
		if at < 0 {
			return configurer.ErrNotFound
		}
		t.sets[name] = slices.Delete(t.sets[name], at, at+1)
	}
	return nil
}

// at is how a run sees a table.
func (r ruleset) at(family firewall.Family) configurer.TableAt {
	t := r[family]
	if t == nil {
		return configurer.TableAt{}
	}
	return configurer.TableAt{There: true, Version: t.version, Uses: maps.Clone(t.uses)}
}

func (r ruleset) elements(set firewall.Set) []firewall.Element {
	if r[set.Family] == nil {
		return nil
	}
	return slices.Clone(r[set.Family].sets[set.Name])
}

// find returns those of some elements that are there, as they are there.
func (r ruleset) find(elements []firewall.Element) []firewall.Element {
	var found []firewall.Element
	for _, element := range elements {
		there := r.elements(element.Set)
		if at := slices.IndexFunc(there, element.SameKey); at >= 0 {
			found = append(found, there[at])
		}
	}
	return found
}

// String prints the tables with what is in their sets; the rules only where they aren't
// those that netsetgo makes.
func (r ruleset) String() string {
	var text strings.Builder
	for _, planned := range firewall.Tables() {
		t := r[planned.Family]
		if t == nil {
			continue
		}
		fmt.Fprintf(&text, " table %s\n", planned.Family)
		if !t.whole(planned) {
			fmt.Fprintf(&text, "   not whole: %q %v %v\n", t.version, t.uses, t.rules)
		}
		for _, name := range slices.Sorted(maps.Keys(t.sets)) {
			var elements []string
			for _, element := range t.sets[name] {
				elements = append(elements, element.String())
			}
			if slices.Sort(elements); elements != nil {
				fmt.Fprintf(&text, "   %s { %s }\n", name, strings.Join(elements, ", "))
			}
		}
	}
	return text.String()
}

// whole says whether a table is the planned one, but for elements.
func (t *table) whole(planned firewall.Table) bool {
	whole := ruleset{planned.Family: &table{version: firewall.Version, sets: map[string][]firewall.Element{}, uses: map[string]int{}}}
	for _, set := range planned.Sets {
		_ = whole.apply(configurer.AddSet{Set: set})
	}
	for _, chain := range planned.Chains {
		_ = whole.apply(configurer.AddChain{Chain: chain})
	}
	for _, chain := range planned.Chains {
		for _, rule := range chain.Rules {
			_ = whole.apply(configurer.AddRule{Chain: chain, Rule: rule})
		}
	}
	expected := whole[planned.Family]
	return t.version == expected.version && slices.Equal(t.rules, expected.rules) && maps.Equal(t.uses, expected.uses) &&
		slices.Equal(slices.Sorted(maps.Keys(t.sets)), slices.Sorted(maps.Keys(expected.sets)))
}

// describeFirewall is a change as nft(8) would have it; what only builds a table is "":
// the table tells whether it is whole.
func describeFirewall(change configurer.Change) string {
	list := func(elements []firewall.Element) string {
		texts := make([]string, len(elements))
		for i, element := range elements {
			texts[i] = element.String()
		}
		return strings.Join(texts, ", ")
	}
	switch change := change.(type) {
	case configurer.AddTable:
		return fmt.Sprintf("nft add table %s", change.Family)
	case configurer.DeleteTable:
		return fmt.Sprintf("nft delete table %s", change.Family)
	case configurer.AddElements:
		return fmt.Sprintf("nft add element %s { %s }", change.Set.Name, list(change.Elements))
	case configurer.DeleteElements:
		return fmt.Sprintf("nft delete element %s { %s }", change.Set.Name, list(change.Elements))
	}
	return ""
}

// elementsOf puts elements into a set of what is routed, in the place of those there.
func (r ruleset) elementsOf(name string, elements []firewall.Element) {
	r[firewall.Inet].sets[name] = elements
}

// publishedTo are the elements of a port of an address.
func publishedTo(address string, p netsetgo.Publish) []firewall.Element {
	return firewall.Ports(p, []netip.Addr{netip.MustParseAddr(address)})[:1]
}
