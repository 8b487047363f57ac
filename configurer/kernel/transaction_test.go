package kernel_test

import (
	"net/netip"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("changes of nftables", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	whole := func() []configurer.Change { return append(plan(firewall.Inet), plan(firewall.Bridge)...) }
	add := func(elements ...firewall.Element) configurer.Change {
		return configurer.AddElements{Set: elements[0].Set, Elements: elements}
	}
	remove := func(elements ...firewall.Element) configurer.Change {
		return configurer.DeleteElements{Set: elements[0].Set, Elements: elements}
	}

	DescribeTable("are made all or none, and each is told why", func(bad configurer.Change, why error) {
		conn := connect(nil)
		do(conn, plan(firewall.Inet)...)
		before := sh(list)
		changes := append(plan(firewall.Bridge), add(numbered(3)...), bad, add(firewall.Policy{}.Elements("brg0")[0]))
		errs := try(conn, changes...)
		Expect(errs).To(HaveLen(len(changes)))
		for _, err := range errs {
			Expect(err).To(MatchErrorStrictly(why))
		}
		Expect(sh(list)).To(Equal(before))
		By("being made by the same connection after")
		do(conn, append(plan(firewall.Bridge), add(numbered(3)...))...)
		Expect(conn.Elements(setNamed("unchecked"))).To(HaveLen(3))
	},
		Entry("of a table that is there", configurer.AddTable{Family: firewall.Inet}, configurer.ErrExists),
		Entry("of a set that is there", configurer.AddSet{Set: setNamed("bridges")}, configurer.ErrExists),
		Entry("of a chain that is there", configurer.AddChain{Chain: chainNamed(firewall.Inet, "raw")}, configurer.ErrExists),
		Entry("of an element that isn't there to be deleted", remove(onePort("10.10.10.2")), configurer.ErrNotFound),
		Entry("of a set that isn't there", configurer.AddElements{Set: firewall.Set{Family: firewall.Inet, Name: "none"}, Elements: numbered(1)}, configurer.ErrNotFound),
		Entry("of a rule for a chain that isn't there", configurer.AddRule{Chain: firewall.Chain{Family: firewall.Inet, Name: "none"}, Rule: chainNamed(firewall.Inet, "raw").Rules[0]}, configurer.ErrNotFound),
	)

	It("that stand beside others are a transaction of their own", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		errs := try(conn, append(
			append(plan(firewall.Inet), configurer.SetUp{Link: bridge, Up: true}, add(onePort("10.10.10.2"))),
			remove(onePort("10.10.10.2")), remove(onePort("10.10.10.2")), configurer.SetMTU{Link: bridge, MTU: 1300}, add(onePort("10.10.10.3")),
		)...)
		Expect(errs[:len(errs)-5]).To(HaveEach(BeNil()))
		Expect(errs[len(errs)-5:]).To(HaveExactElements(MatchError(configurer.ErrNotFound), MatchError(configurer.ErrNotFound), MatchError(configurer.ErrNotFound), BeNil(), BeNil()))
		Expect(conn.Elements(setNamed("ports4"))).To(HaveExactElements(onePort("10.10.10.3")))
		Expect(link(conn, "b")).To(And(HaveField("Up", true), HaveField("MTU", 1300)))
	})

	It("add what is there already, and refuse other data for its key", func() {
		conn := connect(nil)
		do(conn, whole()...)
		do(conn, add(examples()[0]), add(onePort("10.10.10.2")))
		do(conn, add(examples()[0]), add(onePort("10.10.10.2")))
		Expect(try(conn, add(onePort("10.10.10.3")))).To(HaveExactElements(MatchErrorStrictly(configurer.ErrExists)))
		Expect(conn.Elements(setNamed("ports4"))).To(HaveExactElements(onePort("10.10.10.2")))
		Expect(try(conn, add(firewall.Ports(publishing(9090), oneAddress)[0], onePort("10.10.10.3")))).To(HaveExactElements(MatchErrorStrictly(configurer.ErrExists)))
		Expect(conn.Elements(setNamed("ports4"))).To(HaveLen(1), "none of several")
	})

	It("delete elements whatever their data are, and tables with all that is in them", func() {
		conn := connect(nil)
		do(conn, whole()...)
		sh("nft add table inet other; nft add table ip netsetgo")
		do(conn, add(onePort("10.10.10.2")), add(numbered(3)...))
		do(conn, remove(onePort("10.10.10.3")))
		Expect(conn.Elements(setNamed("ports4"))).To(BeEmpty())
		Expect(try(conn, remove(onePort("10.10.10.2")))).To(HaveExactElements(MatchErrorStrictly(configurer.ErrNotFound)))
		do(conn, configurer.DeleteTable{Family: firewall.Inet}, configurer.DeleteTable{Family: firewall.Bridge})
		Expect(sh("nft list tables")).To(Equal("table inet other\ntable ip netsetgo\n"))
		Expect(try(conn, configurer.DeleteTable{Family: firewall.Inet})).To(HaveExactElements(MatchErrorStrictly(configurer.ErrNotFound)))
	})

	It("make a table anew in one transaction", func() {
		conn := connect(nil)
		do(conn, whole()...)
		do(conn, add(numbered(3)...))
		sh("nft flush chain inet netsetgo forward; nft add rule inet netsetgo raw drop")
		do(conn, append([]configurer.Change{configurer.DeleteTable{Family: firewall.Inet}}, plan(firewall.Inet)...)...)
		Expect(conn.Rules(firewall.Inet)).To(Equal(comments(firewall.Tables()[0])))
		Expect(conn.Elements(setNamed("unchecked"))).To(HaveLen(3), "those of the other table stay")
	})

	DescribeTable("may be more than 64 KiB", func(n, each int) {
		conn := connect(nil)
		all := numbered(n)
		changes := whole()
		for from := 0; from < n; from += each {
			changes = append(changes, add(all[from:min(n, from+each)]...))
		}
		do(conn, changes...)
		expectElements(conn, all)
		Expect(conn.Rules(firewall.Bridge)).To(Equal(comments(firewall.Tables()[1])))
		By("being none where the last of them fails")
		Expect(try(conn, add(onePort("10.10.10.2")), remove(all...), remove(firewall.Unchecked(n+1)))).To(HaveEach(MatchErrorStrictly(configurer.ErrNotFound)))
		expectElements(conn, all)
		Expect(conn.Elements(setNamed("ports4"))).To(BeEmpty())
	},
		Entry("in one change", 3000, 3000),
		Entry("in many changes", 3000, 1),
		Entry("in changes of a few hundred", 20000, 256),
	)
})

func publishing(port int) netsetgo.Publish {
	return netsetgo.Publish{HostPort: port, ContainerPort: 80}
}

var oneAddress = []netip.Addr{addr("10.10.10.2")}
