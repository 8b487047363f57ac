package kernel_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/kernel"
)

// Answers that no kernel gives to what is asked, or that none did so far.
var _ = Describe("an answer of the kernel's", Label("unit"), func() {
	seven := binary.NativeEndian.AppendUint32(nil, 7)
	// answers is a kernel that answers each question alike.
	answers := func(messages ...[]byte) configurer.Conn {
		return kernel.Answered(func(sent []byte) [][]byte {
			return [][]byte{framed(slices.Concat(messages...), numbersOf(sent))}
		})
	}
	dumped := func(messages ...[]byte) configurer.Conn {
		return answers(append(messages, message(2, 2, make([]byte, 4)))...)
	}

	It("may end with an attribute that isn't padded", func() {
		name := attr(unix.IFLA_IFNAME, []byte("veth0\x00"))[:10]
		Expect(link(answers(message(0, 0, make([]byte, unix.SizeofIfInfomsg), name)), "veth0").Name).To(Equal("veth0"))
	})

	It("may have addresses that aren't of IP", func() {
		phonet := message(0, 2, []byte{unix.AF_PHONET, 6, 0, 0}, seven, attr(unix.IFA_LOCAL, []byte{1}))
		ip := message(0, 2, []byte{unix.AF_INET, 24, 0, 0}, seven, attr(unix.IFA_LOCAL, []byte{10, 10, 10, 1}))
		Expect(dumped(phonet, ip).Addresses(7)).To(Equal([]netip.Prefix{prefix("10.10.10.1/24")}))
	})

	DescribeTable("is an error where something is missing", func(ask func(configurer.Conn) error, message []byte) {
		Expect(ask(dumped(message))).To(MatchError(io.ErrUnexpectedEOF))
	},
		Entry("the address", func(c configurer.Conn) error { _, err := c.Addresses(7); return err },
			message(0, 2, []byte{unix.AF_INET, 24, 0, 0}, seven)),
		Entry("half of an address", func(c configurer.Conn) error { _, err := c.Addresses(7); return err },
			message(0, 2, []byte{unix.AF_INET, 24, 0, 0}, seven, attr(unix.IFA_LOCAL, []byte{10, 10}))),
		Entry("half of a route's destination", func(c configurer.Conn) error { _, err := c.Routes(); return err },
			message(0, 2, []byte{unix.AF_INET, 24}, make([]byte, 10), attr(unix.RTA_DST, []byte{10, 10}))),
		Entry("the MAC of a port", func(c configurer.Conn) error { _, err := c.PortMACs(configurer.Link{Index: 7}); return err },
			message(0, 2, make([]byte, 4), seven, []byte{unix.NUD_NOARP, 0, 0, 0})),
		Entry("the header of statistics", func(c configurer.Conn) error { _, err := c.Counters(); return err },
			message(0, 2, seven)),
		Entry("the table", func(c configurer.Conn) error { _, err := c.Table(firewall.Outlines()[0]); return err },
			nil),
	)

	// Each chain jumps twice to the next: there are more ways than can be gone.
	It("may have chains to which many ways lead", func() {
		big := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
		forward := message(0, 2, []byte{unix.NFPROTO_IPV4, 0, 0, 0}, attr(unix.NFTA_CHAIN_TABLE, []byte("t\x00")), attr(unix.NFTA_CHAIN_NAME, []byte("c0\x00")),
			attr(unix.NFTA_CHAIN_HOOK, attr(unix.NFTA_HOOK_HOOKNUM, big(2))), attr(unix.NFTA_CHAIN_POLICY, big(0)), attr(unix.NFTA_CHAIN_TYPE, []byte("filter\x00")))
		var rules [][]byte
		for i := range 64 {
			jump := attr(unix.NFTA_EXPR_DATA, attr(unix.NFTA_IMMEDIATE_DATA, attr(unix.NFTA_DATA_VERDICT,
				attr(unix.NFTA_VERDICT_CODE, big(^uint32(2))), attr(unix.NFTA_VERDICT_CHAIN, fmt.Appendf(nil, "c%d\x00", i+1)))))
			rule := message(0, 2, []byte{unix.NFPROTO_IPV4, 0, 0, 0}, attr(unix.NFTA_RULE_TABLE, []byte("t\x00")), attr(unix.NFTA_RULE_CHAIN, fmt.Appendf(nil, "c%d\x00", i)),
				attr(unix.NFTA_RULE_EXPRESSIONS, attr(1, attr(unix.NFTA_EXPR_NAME, []byte("immediate\x00")), jump)))
			rules = append(rules, rule, rule)
		}
		done := make(chan []configurer.Block)
		go func() {
			defer GinkgoRecover()
			blocks, err := dumped(append(rules, forward)...).Blocks()
			Expect(err).NotTo(HaveOccurred())
			done <- blocks
		}()
		Eventually(done).Should(Receive(HaveLen(1)))
	})
})
