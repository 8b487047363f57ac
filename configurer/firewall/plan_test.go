package firewall_test

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/netsetgo/netsetgo/configurer/firewall"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// golden is what netsetgo has in nftables of every host, as a file for nft -f.
const golden = "testdata/tables.nft"

// render writes tables as nft(8) reads them.
func render(tables []firewall.Table) string {
	var text strings.Builder
	for _, table := range tables {
		fmt.Fprintf(&text, "table %s %s {\n\tcomment %q;\n", table.Family, firewall.Name, firewall.Version)
		for _, set := range table.Sets {
			kind := "set"
			if set.Data != nil {
				kind = "map"
			}
			fmt.Fprintf(&text, "\t%s %s { %s; }\n", kind, set.Name, set)
		}
		for _, chain := range table.Chains {
			fmt.Fprintf(&text, "\tchain %s {\n", chain.Name)
			if chain.Type != "" {
				fmt.Fprintf(&text, "\t\ttype %s hook %s priority %d; policy accept;\n", chain.Type, chain.Hook, chain.Priority)
			}
			for _, rule := range chain.Rules {
				fmt.Fprintf(&text, "\t\t%s comment %q\n", rule, rule.Why)
			}
			text.WriteString("\t}\n")
		}
		text.WriteString("}\n")
	}
	return text.String()
}

var _ = Describe("the tables", Label("unit"), func() {
	// UPDATE_GOLDEN=1 writes the file anew; what changed is for somebody to read.
	It("are those of the golden file", func() {
		text := render(firewall.Tables())
		if os.Getenv("UPDATE_GOLDEN") != "" {
			Expect(os.WriteFile(golden, []byte(text), 0o644)).To(Succeed())
		}
		want, err := os.ReadFile(golden)
		Expect(err).NotTo(HaveOccurred())
		Expect(text).To(Equal(string(want)))
	})

	It("have what their rules name, of their own family", func() {
		for _, table := range firewall.Tables() {
			sets, chains := map[string]firewall.Set{}, map[string]bool{}
			for _, set := range table.Sets {
				Expect(set.Family).To(Equal(table.Family), set.Name)
				Expect(sets).NotTo(HaveKey(set.Name))
				sets[set.Name] = set
			}
			for _, chain := range table.Chains {
				Expect(chain.Family).To(Equal(table.Family), chain.Name)
				chains[chain.Name] = true
			}
			used := map[string]bool{}
			for _, rule := range rules(table) {
				for _, match := range rule.Matches {
					if match.Set == "" {
						Expect(match.Value).NotTo(BeNil(), "%s", rule)
						continue
					}
					Expect(sets).To(HaveKey(match.Set), "%s", rule)
					Expect(sets[match.Set].Key).To(HaveLen(len(match.Fields)), "%s", rule)
					used[match.Set] = true
				}
				switch rule.Verdict.Do {
				case firewall.Jump:
					Expect(chains).To(HaveKey(rule.Verdict.To), "%s", rule)
				case firewall.DNAT:
					Expect(sets[rule.Verdict.Map].Key).To(HaveLen(len(rule.Verdict.Fields)), "%s", rule)
					Expect(sets[rule.Verdict.Map].Data).To(HaveLen(2), "%s", rule)
					used[rule.Verdict.Map] = true
				}
			}
			// Two mark addresses and one marks links, and are looked at by netsetgo alone.
			for name := range sets {
				Expect(used[name]).To(Equal(!strings.HasPrefix(name, "published") && name != "exempt"), name)
			}
		}
	})

	// A comment has its length in one byte of user data, and nft(8) reads no more than 128.
	It("say of each rule why it is there, in a comment that nft(8) can read", func() {
		for _, table := range firewall.Tables() {
			for _, rule := range rules(table) {
				Expect(rule.Why).To(MatchRegexp(`^[^"\\]{1,127}$`), "%s", rule)
			}
		}
	})

	It("count their rules, and the jumps to their chains", func() {
		jump := firewall.Rule{Verdict: firewall.Verdict{Do: firewall.Jump, To: "a"}}
		drop := firewall.Rule{Verdict: firewall.Verdict{Do: firewall.Drop}}
		table := firewall.Table{Chains: []firewall.Chain{
			{Name: "a", Rules: []firewall.Rule{drop, drop}}, {Name: "b", Rules: []firewall.Rule{jump, drop, jump}}, {Name: "c"},
		}}
		Expect(table.Outline()).To(Equal(firewall.Outline{Uses: map[string]int{"a": 2 + 2, "b": 3, "c": 0}}))
	})

	It("have outlines that are written down", func() {
		var outlines []firewall.Outline
		for _, table := range firewall.Tables() {
			outlines = append(outlines, table.Outline())
		}
		Expect(firewall.Outlines()).To(Equal(outlines))
	})

	It("are made anew each time: nobody changes them for others", func() {
		tables := firewall.Tables()
		tables[0].Chains[0].Rules[0].Why = "changed"
		tables[1].Chains[0].Rules = nil
		Expect(render(firewall.Tables())).NotTo(Equal(render(tables)))
	})
})

func rules(table firewall.Table) []firewall.Rule {
	var all []firewall.Rule
	for _, chain := range table.Chains {
		all = slices.Concat(all, chain.Rules)
	}
	return all
}
