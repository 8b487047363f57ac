package firewall

import (
	"fmt"
	"slices"
	"strings"
)

// Name is that of all tables of netsetgo.
const Name = "netsetgo"

// Family is that of a table, as nft(8) has it.
type Family string

// The families in which netsetgo has a table: what is routed, and what passes through
// bridges.
const (
	Inet   Family = "inet"
	Bridge Family = "bridge"
)

// Table is one table, whole.
type Table struct {
	Family Family
	Sets   []Set
	Chains []Chain
}

// Outline is a table by what the kernel counts of it.
type Outline struct {
	Family Family
	// Uses counts, for each chain, its rules and the jumps to it.
	Uses map[string]int
}

// Outline counts as the kernel does.
func (t Table) Outline() Outline {
	uses := map[string]int{}
	for _, chain := range t.Chains {
		uses[chain.Name] += len(chain.Rules)
		for _, rule := range chain.Rules {
			if rule.Verdict.Do == Jump {
				uses[rule.Verdict.To]++
			}
		}
	}
	return Outline{t.Family, uses}
}

// Set is a set, or a map where it has Data.
type Set struct {
	Family    Family
	Name      string
	Key, Data []Type
}

// Type is that of a value in a set, as nft(8) has it.
type Type string

// The types of what netsetgo keeps in sets. A target has none of its own: nft(8) names
// the expression that it is compared with (SETS, typeof).
const (
	TypeName     Type = "ifname"
	TypeIndex    Type = "iface_index"
	TypeAddress4 Type = "ipv4_addr"
	TypeAddress6 Type = "ipv6_addr"
	TypeMAC      Type = "ether_addr"
	TypeProtocol Type = "inet_proto"
	TypePort     Type = "inet_service"
	TypeFamily   Type = "nf_proto"
	TypeTarget   Type = "integer"
)

// Chain is a chain, with its rules in their order.
type Chain struct {
	Family Family
	Name   string
	// Type, Hook and Priority are of a chain that the kernel enters; it accepts what
	// its rules don't decide. Type is "" where only other chains jump there.
	Type, Hook string
	Priority   int
	Rules      []Rule
}

// Rule is decided where all its matches hold.
type Rule struct {
	Matches []Match
	Verdict Verdict
	// Why is the rule's comment, by which it is known again.
	Why string
}

// Match compares fields of a packet, put together, with a value or with those in a set.
type Match struct {
	Fields []Field
	Op     Op
	Set    string // "" where there is a Value
	Value  Value
}

// Op is how a field is compared: "" where it is to be equal, or one in a set.
type Op string

// The other ways.
const (
	Not     Op = "!="
	AtLeast Op = ">="
)

// Verdict is what becomes of a packet.
type Verdict struct {
	// Do is the statement: accept, drop, return, masquerade, jump or dnat.
	Do string
	// To is the chain of a jump, or the family of a dnat.
	To string
	// Fields of the packet, looked up in Map, are the new destination of a dnat.
	Fields []Field
	Map    string
}

// What a verdict may do.
const (
	Accept     = "accept"
	Drop       = "drop"
	Return     = "return"
	Masquerade = "masquerade"
	Jump       = "jump"
	DNAT       = "dnat"
)

// The families of a dnat.
const (
	IPv4 = "ip"
	IPv6 = "ip6"
)

// String is the match as nft(8) has it.
func (m Match) String() string {
	text := fields(m.Fields) + " "
	if m.Op != "" {
		text += string(m.Op) + " "
	}
	if m.Set != "" {
		return text + "@" + m.Set
	}
	return text + m.Value.String()
}

// String is the verdict as nft(8) has it.
func (v Verdict) String() string {
	switch v.Do {
	case Jump:
		return v.Do + " " + v.To
	case DNAT:
		return fmt.Sprintf("%s %s to %s map @%s", v.Do, v.To, fields(v.Fields), v.Map)
	}
	return v.Do
}

// String is the rule as nft(8) has it, without its comment.
func (r Rule) String() string {
	var words []string
	for _, match := range r.Matches {
		words = append(words, match.String())
	}
	return strings.Join(append(words, r.Verdict.String()), " ")
}

// String is what is in the set's braces, as nft(8) has it.
func (s Set) String() string {
	text := "type " + types(s.Key)
	if slices.Contains(s.Key, TypeTarget) {
		text = "typeof " + fields(targets)
	}
	if s.Data != nil {
		text += " : " + types(s.Data)
	}
	return text
}

// targets are the fields that are looked for in the only set of its type.
var targets = []Field{FromMAC, Target}

// Element is one of a set, or of a map where it has Data.
type Element struct {
	Set       Set
	Key, Data []Value
}

// String is the element as nft(8) has it.
func (e Element) String() string {
	text := values(e.Key)
	if e.Data != nil {
		text += " : " + values(e.Data)
	}
	return text
}

// SameKey says whether two elements can't both be in a set.
func (e Element) SameKey(other Element) bool {
	return e.Name() == other.Name()
}

// Name is what no two elements share.
func (e Element) Name() string { return e.Set.Name + " " + values(e.Key) }

// ByName are elements by their names: to compare each with each takes too long where there are
// a thousand ports.
func ByName(elements []Element) map[string]Element {
	named := make(map[string]Element, len(elements))
	for _, element := range elements {
		named[element.Name()] = element
	}
	return named
}

// Unique are elements without those whose name one before has.
func Unique(elements []Element) []Element {
	known := make(map[string]bool, len(elements))
	return slices.DeleteFunc(slices.Clone(elements), func(element Element) bool {
		name := element.Name()
		twice := known[name]
		known[name] = true
		return twice
	})
}

func fields(list []Field) string { return join(list) }
func types(list []Type) string   { return join(list) }

func join[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, word := range list {
		words[i] = string(word)
	}
	return strings.Join(words, " . ")
}

func values(list []Value) string {
	words := make([]string, len(list))
	for i, value := range list {
		words[i] = value.String()
	}
	return strings.Join(words, " . ")
}
