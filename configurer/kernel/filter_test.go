package kernel_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// tablesByNft makes both tables by nft(8), without elements.
func tablesByNft() {
	GinkgoHelper()
	sh("%s", rulesThere)
}

// numbered are elements of one set, from 1 on.
func numbered(n int) []firewall.Element {
	var elements []firewall.Element
	for i := range n {
		elements = append(elements, firewall.Unchecked(i+1))
	}
	return elements
}

// byNft adds elements as nft(8) reads them.
func byNft(elements ...firewall.Element) {
	GinkgoHelper()
	var lines strings.Builder
	for _, element := range elements {
		fmt.Fprintf(&lines, "add element %s netsetgo %s { %s }\n", element.Set.Family, element.Set.Name, element)
	}
	Expect(os.WriteFile("/run/elements.nft", []byte(lines.String()), 0o600)).To(Succeed()) // too long for a shell's argument
	sh("nft -f /run/elements.nft")
}

// texts are many elements, sorted, which are compared sooner than in any order.
func texts(elements []firewall.Element, err error) []string {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	all := make([]string, len(elements))
	for i, element := range elements {
		all[i] = element.String()
	}
	slices.Sort(all)
	return all
}

// expectElements compares with all of a large set. The kernel makes a set's table larger
// after the elements were added, and meanwhile a dump of several messages may have some
// twice and others not (rhashtable_walk_start_check, lib/rhashtable.c).
func expectElements(conn configurer.Conn, all []firewall.Element) {
	GinkgoHelper()
	Eventually(func() []string { return texts(conn.Elements(all[0].Set)) }).Should(Equal(texts(all, nil)))
}

var _ = Describe("reading what nft(8) made", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("finds rules by their comments, in their order", func() {
		conn := connect(nil)
		tablesByNft()
		for _, table := range firewall.Tables() {
			Expect(conn.Rules(table.Family)).To(Equal(comments(table)))
		}
		By("seeing what somebody added or took away")
		sh(`nft add chain inet netsetgo empty
			nft add rule inet netsetgo raw counter
			nft insert rule inet netsetgo raw counter comment '"first"'
			nft flush chain inet netsetgo forward`)
		rules, err := conn.Rules(firewall.Inet)
		Expect(err).NotTo(HaveOccurred())
		var raw []string
		for _, rule := range rules {
			Expect(rule.Chain).NotTo(Equal("forward"))
			if rule.Chain == "raw" {
				raw = append(raw, rule.Why)
			}
		}
		Expect(raw).To(Equal([]string{"first", "the host's own addresses are its own", "also as senders", ""}))
	})

	It("finds no rules where there are none, and none of others", func() {
		conn := connect(nil)
		Expect(conn.Rules(firewall.Inet)).To(BeEmpty())
		sh(`for family in ip ip6; do
				nft add table $family netsetgo
				nft add chain $family netsetgo a
				nft add rule $family netsetgo a accept comment '"of another family"'
			done
			nft add table inet other
			nft add chain inet other a
			nft add rule inet other a accept comment '"of another table"'`)
		for _, table := range firewall.Tables() {
			Expect(conn.Rules(table.Family)).To(BeEmpty())
			Expect(conn.Table(table.Outline())).To(HaveField("There", false))
		}
		tablesByNft()
		sh("nft flush table inet netsetgo")
		Expect(conn.Rules(firewall.Inet)).To(BeEmpty())
		Expect(conn.Rules(firewall.Bridge)).NotTo(BeEmpty())
	})

	It("tells of a table how many rules its chains have, and its version", func() {
		conn := connect(nil)
		tablesByNft()
		for _, table := range firewall.Tables() {
			Expect(conn.Table(table.Outline())).To(Equal(configurer.TableAt{There: true, Version: firewall.Version, Uses: table.Outline().Uses}))
		}
		table := firewall.Tables()[0]
		By("seeing one rule less, and one more")
		sh("nft delete rule inet netsetgo raw handle $(nft -a list chain inet netsetgo raw | sed -n 's/.*senders.*handle //p')")
		uses := table.Outline().Uses
		uses["raw"]--
		Expect(conn.Table(table.Outline())).To(HaveField("Uses", uses))
		sh("nft add rule inet netsetgo output counter")
		uses["output"]++
		Expect(conn.Table(table.Outline())).To(HaveField("Uses", uses))
		By("seeing a chain less")
		sh("nft flush chain inet netsetgo raw; nft delete chain inet netsetgo raw")
		delete(uses, "raw")
		Expect(conn.Table(table.Outline())).To(HaveField("Uses", uses))
		By("seeing rules flushed, or all of it")
		sh("nft flush table inet netsetgo")
		Expect(conn.Table(table.Outline())).To(And(HaveField("There", true), HaveField("Uses", HaveKeyWithValue("forward", 0))))
		sh("nft flush ruleset")
		Expect(conn.Table(table.Outline())).To(And(HaveField("There", false), HaveField("Uses", BeEmpty())))
	})

	It("tells another version from its own, and none", func() {
		conn := connect(nil)
		sh(`nft add table inet netsetgo '{ comment "0.9 of yesterday"; }'; nft add table bridge netsetgo`)
		Expect(conn.Table(firewall.Outlines()[0])).To(And(HaveField("There", true), HaveField("Version", "0.9 of yesterday")))
		Expect(conn.Table(firewall.Outlines()[1])).To(And(HaveField("There", true), HaveField("Version", "")))
	})

	It("finds elements of each set, and of maps with their data", func() {
		conn := connect(nil)
		tablesByNft()
		bySet := map[string][]firewall.Element{}
		seen := map[string]bool{} // several ports mark one address
		for _, element := range examples() {
			if text := element.Set.Name + element.String(); !seen[text] {
				seen[text] = true
				bySet[element.Set.Name] = append(bySet[element.Set.Name], element)
			}
		}
		for _, element := range examples() {
			Expect(conn.Elements(element.Set)).To(BeEmpty())
			Expect(conn.Find(element)).To(BeEmpty())
		}
		byNft(examples()...)
		for _, want := range bySet {
			Expect(conn.Elements(want[0].Set)).To(ConsistOf(want))
			Expect(conn.Find(want...)).To(Equal(want))
		}
		Expect(conn.Find(examples()...)).To(Equal(examples()), "of many sets at once, in their order")
	})

	It("finds what a map has, whatever is asked for", func() {
		conn := connect(nil)
		tablesByNft()
		has, asked := onePort("10.10.10.2"), onePort("10.10.10.3")
		byNft(has)
		Expect(conn.Find(asked)).To(HaveExactElements(has))
	})

	It("finds nothing in sets and tables that aren't there", func() {
		conn := connect(nil)
		for range 2 {
			Expect(conn.Elements(setNamed("bridges"))).To(BeEmpty())
			Expect(conn.Find(examples()...)).To(BeEmpty())
			sh("nft add table inet netsetgo")
		}
	})

	It("finds many, and those that are there among many", func() {
		conn := connect(nil)
		tablesByNft()
		all := numbered(3000)
		byNft(all...)
		expectElements(conn, all)
		var asked, want []firewall.Element
		for i := range 200 {
			asked = append(asked, firewall.Unchecked(2900+i))
		}
		want = all[2899:]
		Expect(conn.Find(asked...)).To(Equal(want))
		Expect(conn.Find()).To(BeEmpty())
	})

	It("finds what was there all the time, while others add and delete", func() {
		conn := connect(nil)
		tablesByNft()
		stay := numbered(400)
		byNft(stay...)
		other := connect(nil)
		// Its socket is opened when it is first used, where the thread is then.
		Expect(other.Rules(firewall.Inet)).NotTo(BeEmpty())
		come := []firewall.Element{}
		for i := range 50 {
			come = append(come, firewall.Unchecked(10000+i))
		}
		var work sync.WaitGroup
		var failed []error
		work.Go(func() {
			for range 200 {
				for _, change := range []configurer.Change{
					configurer.AddElements{Set: come[0].Set, Elements: come}, configurer.DeleteElements{Set: come[0].Set, Elements: come},
				} {
					if err := try(other, change)[0]; err != nil {
						failed = append(failed, err)
					}
				}
			}
		})
		for range 100 {
			// Of the others there may be some: the kernel takes no lock for a dump.
			there := texts(conn.Elements(stay[0].Set))
			lacking := slices.DeleteFunc(texts(stay, nil), func(text string) bool { _, ok := slices.BinarySearch(there, text); return ok })
			Expect(lacking).To(BeEmpty())
		}
		work.Wait()
		Expect(failed).To(BeEmpty())
	})
})
