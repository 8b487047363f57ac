package kernel_test

import (
	"net/netip"
	"os"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
)

// rulesThere makes both tables by nft(8): as the golden file of package firewall has them.
var rulesThere = func() string {
	text, err := os.ReadFile("../firewall/testdata/tables.nft")
	if err != nil {
		return "exit 1"
	}
	return "nft -f - <<'END'\n" + string(text) + "END\n"
}()

// flows are entries of conntrack, of both families, two protocols and several ports.
const flows = `
	entry() { conntrack -I --timeout 3600 -p $1 -s $2 -d $3 --sport 1000 --dport $4 -r $3 -q $2 --reply-port-src $5 --reply-port-dst 1000 $6 >/dev/null; }
	for ends in "192.0.2.9 192.0.2.1" "192.0.2.9 192.0.2.2" "2001:db8::9 2001:db8::1" "2001:db8::9 2001:db8::2"; do
		entry udp $ends 53 5353
		entry udp $ends 54 53
		entry tcp $ends 53 53 "--state ESTABLISHED"
	done
`

func setNamed(name string) firewall.Set {
	for _, table := range firewall.Tables() {
		for _, set := range table.Sets {
			if set.Name == name {
				return set
			}
		}
	}
	panic("no set " + name) // the spec names one that the plan hasn't
}

func chainNamed(family firewall.Family, name string) firewall.Chain {
	for _, table := range firewall.Tables() {
		for _, chain := range table.Chains {
			if chain.Family == family && chain.Name == name {
				return chain
			}
		}
	}
	panic("no chain " + name) // the spec names one that the plan hasn't
}

// changing is a change that is the same wherever it is made.
func changing(change configurer.Change) func(place) configurer.Change {
	return func(place) configurer.Change { return change }
}

func elementsOf(list ...firewall.Element) func(place) configurer.Change {
	return changing(configurer.AddElements{Set: list[0].Set, Elements: list})
}

func noElements(list ...firewall.Element) func(place) configurer.Change {
	return changing(configurer.DeleteElements{Set: list[0].Set, Elements: list})
}

// onePort is the element of port 8080 of the host.
func onePort(to string) firewall.Element {
	return firewall.Ports(netsetgo.Publish{HostPort: 8080, ContainerPort: 80}, []netip.Addr{addr(to)})[0]
}

// ofFirewall are the pastings of rules and of flows.
var ofFirewall = []pasting{
	{"a table", "", changing(configurer.AddTable{Family: firewall.Inet, Version: "12"})},
	{"a table for bridges", "", changing(configurer.AddTable{Family: firewall.Bridge, Version: "12"})},
	{"no table any more, nor what is in it", rulesThere, changing(configurer.DeleteTable{Family: firewall.Inet})},
	{"no table for bridges any more", rulesThere, changing(configurer.DeleteTable{Family: firewall.Bridge})},
	{"a set", "nft add table inet netsetgo", changing(configurer.AddSet{Set: setNamed("bridges")})},
	{"a set of two", "nft add table inet netsetgo", changing(configurer.AddSet{Set: setNamed("uplinks")})},
	{"a set of a field that has no type", "nft add table bridge netsetgo", changing(configurer.AddSet{Set: setNamed("targets6")})},
	{"a map", "nft add table inet netsetgo", changing(configurer.AddSet{Set: setNamed("addressports6")})},
	{"a chain with a hook", "nft add table inet netsetgo", changing(configurer.AddChain{Chain: chainNamed(firewall.Inet, "raw")})},
	{"a chain without one", "nft add table inet netsetgo", changing(configurer.AddChain{Chain: chainNamed(firewall.Inet, "publish")})},
	{"a rule behind others", rulesThere, changing(configurer.AddRule{
		Chain: chainNamed(firewall.Inet, "forward"), Rule: firewall.Rule{
			Matches: chainNamed(firewall.Inet, "raw").Rules[0].Matches, Verdict: firewall.Verdict{Do: firewall.Accept}, Why: "it's a $(new) one; & more",
		},
	})},
	{"elements", rulesThere, elementsOf(
		firewall.Policy{}.Elements("brg0")[0], firewall.Policy{}.Elements("br.0-x")[0], firewall.Policy{}.Elements("up")[0])},
	{
		"elements of which one is there", rulesThere + "nft add element inet netsetgo bridges '{ \"brg0\" }'",
		elementsOf(firewall.Policy{}.Elements("brg0")[0], firewall.Policy{}.Elements("br1")[0]),
	},
	{"an element of a map", rulesThere, elementsOf(onePort("fd10::2"))},
	{
		"no element any more", rulesThere + "nft add element inet netsetgo bridges '{ \"brg0\", \"br1\" }'",
		noElements(firewall.Policy{}.Elements("brg0")[0]),
	},
	{
		"no element of a map any more, whatever its data are", rulesThere + "nft add element inet netsetgo ports4 '{ tcp . 8080 : 10.0.0.2 . 80, udp . 8080 : 10.0.0.2 . 80 }'",
		noElements(onePort("10.0.0.3")),
	},
	{"no flows to a port of UDP any more", flows, changing(configurer.ForgetFlows{Port: 53})},
	{"no flows to a port of UDP over IPv6 any more", flows, changing(configurer.ForgetFlows{Port: 53, IPv6: true})},
}
