package kernel_test

import (
	"strings"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
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

	DescribeTable("takes those to one port of UDP, of one family, by a filter or one by one", func(changes []configurer.ForgetFlows, gone ...string) {
		for name, forget := range map[string]func(configurer.Conn, configurer.ForgetFlows) error{
			"by a filter": func(conn configurer.Conn, change configurer.ForgetFlows) error { return try(conn, change)[0] },
			"one by one":  kernel.ForgetEach, // as on older kernels
		} {
			By(name)
			conn := connect(nil)
			sh("conntrack -F 2>/dev/null")
			sh(flows)
			Expect(known()).To(ConsistOf(all), "or the spec shows nothing")
			for range 2 { // there may be none
				for _, change := range changes {
					Expect(forget(conn, change)).To(Succeed())
				}
				Expect(known()).To(ConsistOf(without(gone...)))
			}
		}
	},
		Entry("IPv4", []configurer.ForgetFlows{{Port: 53}}, "udp 192.0.2.1 53", "udp 192.0.2.2 53"),
		Entry("IPv6", []configurer.ForgetFlows{{Port: 53, IPv6: true}}, "udp 2001:db8::1 53", "udp 2001:db8::2 53"),
		Entry("several ports", Label("kernels"), []configurer.ForgetFlows{{Port: 53}, {Port: 54}}, "udp 192"),
		Entry("a port that has none", []configurer.ForgetFlows{{Port: 5353}}),
	)

	It("are some of many, one by one", func() {
		conn := connect(nil)
		sh(`for n in $(seq 1 300); do conntrack -I --timeout 3600 -p udp -s 192.0.2.9 -d 192.0.2.1 --sport $n --dport $((50 + n %% 3)) >/dev/null 2>&1; done`)
		Expect(known()).To(HaveLen(300))
		Expect(kernel.ForgetEach(conn, configurer.ForgetFlows{Port: 51})).To(Succeed())
		Expect(known()).To(And(HaveLen(200), Not(ContainElement(HaveSuffix("51")))))
	})

	It("succeeds where nothing was ever known", func() {
		do(connect(nil), configurer.ForgetFlows{Port: 53}, configurer.ForgetFlows{Port: 53, IPv6: true})
		Expect(kernel.ForgetEach(connect(nil), configurer.ForgetFlows{Port: 53})).To(Succeed())
	})
})
