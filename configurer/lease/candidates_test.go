package lease_test

import (
	"net/netip"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/configurer/lease"
)

func candidates(gateway, next string) []string {
	var start netip.Addr
	if next != "" {
		start = netip.MustParseAddr(next)
	}
	var found []string
	for addr := range lease.Candidates(netip.MustParsePrefix(gateway), start) {
		found = append(found, addr.String())
	}
	return found
}

var _ = Describe("the addresses that are tried", Label("unit"), func() {
	DescribeTable("are all of a small subnet, once, around it", func(gateway, next string, expected ...string) {
		Expect(candidates(gateway, next)).To(Equal(expected))
	},
		Entry("/30", "10.1.1.1/30", "", "10.1.1.2"),
		Entry("/30, gateway last", "10.1.1.2/30", "", "10.1.1.1"),
		Entry("/30, again", "10.1.1.1/30", "10.1.1.2", "10.1.1.2"),
		Entry("/29", "10.1.1.1/29", "", "10.1.1.2", "10.1.1.3", "10.1.1.4", "10.1.1.5", "10.1.1.6"),
		Entry("/29, gateway in the middle", "10.1.1.3/29", "", "10.1.1.1", "10.1.1.2", "10.1.1.4", "10.1.1.5", "10.1.1.6"),
		Entry("from the next on, then round", "10.1.1.1/29", "10.1.1.5", "10.1.1.5", "10.1.1.6", "10.1.1.2", "10.1.1.3", "10.1.1.4"),
		Entry("from the last", "10.1.1.1/29", "10.1.1.6", "10.1.1.6", "10.1.1.2", "10.1.1.3", "10.1.1.4", "10.1.1.5"),
		Entry("from the gateway", "10.1.1.3/29", "10.1.1.3", "10.1.1.4", "10.1.1.5", "10.1.1.6", "10.1.1.1", "10.1.1.2"),
		Entry("in the middle of a byte", "10.1.1.9/29", "", "10.1.1.10", "10.1.1.11", "10.1.1.12", "10.1.1.13", "10.1.1.14"),
		Entry("at the end of all", "255.255.255.253/30", "", "255.255.255.254"),
	)

	DescribeTable("begin at the subnet's first where the next is none of it", func(next string) {
		Expect(candidates("10.1.1.1/29", next)).To(Equal(candidates("10.1.1.1/29", "")))
	},
		Entry("outside", "10.1.1.8"),
		Entry("outside, before", "10.1.0.255"),
		Entry("the network's own", "10.1.1.0"),
		Entry("broadcast", "10.1.1.7"),
		Entry("of another family", "fd00::3"),
		Entry("of another family, mapped", "::ffff:10.1.1.3"),
	)

	It("begin with .2 by default", func() {
		Expect(candidates("10.10.10.1/24", "")[0]).To(Equal("10.10.10.2"))
	})

	It("are all 253 of a /24", func() {
		all := candidates("10.10.10.1/24", "10.10.10.200")
		Expect(all).To(HaveLen(253))
		Expect(slices.Compact(slices.Sorted(slices.Values(all)))).To(HaveLen(253))
		Expect(all).NotTo(ContainElements("10.10.10.0"))
		Expect(all).NotTo(ContainElements("10.10.10.255"))
		Expect(all).NotTo(ContainElements("10.10.10.1"))
	})

	DescribeTable("are enough for every port that a bridge can have, and no more", func(gateway, next string) {
		// A bridge has 1,023 ports, so that 1,023 addresses are enough.
		all := candidates(gateway, next)
		Expect(len(all)).To(And(BeNumerically(">=", 1023), BeNumerically("<=", lease.Tries)))
		Expect(slices.Compact(slices.Sorted(slices.Values(all)))).To(HaveLen(len(all)))
	},
		Entry("/16", "10.1.0.1/16", ""),
		Entry("/16, round the end", "10.1.0.1/16", "10.1.255.200"),
		Entry("/1", "100.0.0.1/1", ""),
	)

	It("end when the caller has enough", func() {
		var seen []netip.Addr
		for addr := range lease.Candidates(netip.MustParsePrefix("10.1.1.1/29"), netip.Addr{}) {
			if seen = append(seen, addr); len(seen) == 2 {
				break
			}
		}
		Expect(seen).To(HaveLen(2))
	})

	DescribeTable("follow each other in a round", func(addr, after string) {
		Expect(lease.After(netip.MustParsePrefix("10.1.1.1/29"), netip.MustParseAddr(addr))).To(Equal(netip.MustParseAddr(after)))
	},
		Entry(nil, "10.1.1.2", "10.1.1.3"),
		Entry(nil, "10.1.1.6", "10.1.1.1"),
	)
})

var _ = Describe("a MAC", Label("unit"), func() {
	addr := netip.MustParseAddr("10.20.3.4")

	It("is derived from the address", func() {
		Expect(lease.ContainerMAC(addr).String()).To(Equal("6e:73:0a:14:03:04"))
		Expect(lease.HostMAC(addr).String()).To(Equal("fe:73:0a:14:03:04"))
	})

	It("is of one device, and locally administered", func() {
		for _, mac := range [][]byte{lease.ContainerMAC(addr), lease.HostMAC(addr)} {
			Expect(mac).To(HaveLen(6))
			Expect(mac[0]&1).To(BeZero(), "a group's")
			Expect(mac[0]&2).NotTo(BeZero(), "a vendor's")
		}
	})

	It("of a host link is higher than any of a container's", func() {
		low, high := netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255")
		Expect(lease.HostMAC(low).String() > lease.ContainerMAC(high).String()).To(BeTrue())
	})
})
