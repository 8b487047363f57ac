package kernel_test

import (
	"strings"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// known are the flows that the kernel knows of, shortened to what tells them apart.
func known() []string {
	GinkgoHelper()
	text := sh(`for family in ipv4 ipv6; do
		conntrack -L -f $family 2>/dev/null | sed -nE 's/^(tcp|udp) .*(192\.0\.2\.9|2001:db8::9) dst=([^ ]*) .*dport=(5[0-9]) \[.*/\1 \3 \4/p'
	done`)
	return strings.Split(strings.TrimSpace(text), "\n")
}

var _ = Describe("forgetting flows", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	all := []string{
		"udp 192.0.2.1 53", "udp 192.0.2.1 54", "tcp 192.0.2.1 53", "udp 192.0.2.2 53", "udp 192.0.2.2 54", "tcp 192.0.2.2 53",
		"udp 2001:db8::1 53", "udp 2001:db8::1 54", "tcp 2001:db8::1 53", "udp 2001:db8::2 53", "udp 2001:db8::2 54", "tcp 2001:db8::2 53",
	}
	without := func(gone ...string) []string {
		var rest []string
		for _, flow := range all {
			stays := true
			for _, part := range gone {
				stays = stays && !strings.Contains(flow, part)
			}
			if stays {
				rest = append(rest, flow)
			}
		}
		return rest
	}

	DescribeTable("takes those to one port of UDP, of one family", func(changes []configurer.Change, gone ...string) {
		conn := connect(nil)
		sh(flows)
		Expect(known()).To(ConsistOf(all), "or the spec shows nothing")
		do(conn, changes...)
		Expect(known()).To(ConsistOf(without(gone...)))
		do(conn, changes...)
		Expect(known()).To(ConsistOf(without(gone...)))
	},
		Entry("IPv4", []configurer.Change{configurer.ForgetFlows{Port: 53}}, "udp 192.0.2.1 53", "udp 192.0.2.2 53"),
		Entry("IPv6", []configurer.Change{configurer.ForgetFlows{Port: 53, IPv6: true}}, "udp 2001:db8::1 53", "udp 2001:db8::2 53"),
		Entry("several ports", []configurer.Change{configurer.ForgetFlows{Port: 53}, configurer.ForgetFlows{Port: 54}}, "udp 192"),
		Entry("a port that has none", []configurer.Change{configurer.ForgetFlows{Port: 5353}}),
	)

	It("succeeds where nothing was ever known", func() {
		do(connect(nil), configurer.ForgetFlows{Port: 53}, configurer.ForgetFlows{Port: 53, IPv6: true})
	})
})
