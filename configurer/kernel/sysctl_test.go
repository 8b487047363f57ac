package kernel_test

import (
	"strings"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("sysctls", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	DescribeTable("of a link are read with it", func(key string, set func(*configurer.Settings, int), values ...int) {
		if strings.HasSuffix(key, "force_forwarding") && !testnet.ForwardsByLink() {
			Skip("before Linux 6.17 there is no such sysctl")
		}
		conn := connect(nil)
		sh("ip link add name br.0-x type bridge; ip link add name b type bridge")
		base := link(conn, "br.0-x").Settings
		other := link(conn, "b").Settings
		for _, value := range values {
			sh("echo %d >/proc/sys/net/%s", value, strings.ReplaceAll(key, "LINK", "br.0-x"))
			want := base
			set(&want, value)
			Expect(link(conn, "br.0-x").Settings).To(Equal(want), "%d", value)
			Expect(conn.Links("bridge")).To(ConsistOf(HaveField("Settings", want), HaveField("Settings", other)))
		}
	},
		Entry("forwarding", "ipv4/conf/LINK/forwarding", func(s *configurer.Settings, v int) { s.Forwarding = v != 0 }, 1, 0, 1),
		Entry("route_localnet", "ipv4/conf/LINK/route_localnet", func(s *configurer.Settings, v int) { s.RouteLocalnet = v != 0 }, 1, 0, 1),
		Entry("forwarding of IPv6", "ipv6/conf/LINK/forwarding", func(s *configurer.Settings, v int) { s.Forwarding6 = v != 0 }, 1, 0, 1),
		Entry("force_forwarding", "ipv6/conf/LINK/force_forwarding", func(s *configurer.Settings, v int) { s.ForceForwarding = v != 0 }, 1, 0, 1),
		Entry("accept_ra", "ipv6/conf/LINK/accept_ra", func(s *configurer.Settings, v int) { s.AcceptRA = v }, 0, 1, 2),
	)

	It("of a link begin as the namespace has them by default", func() {
		conn := connect(nil)
		sh(`echo 1 >/proc/sys/net/ipv4/conf/default/forwarding; echo 2 >/proc/sys/net/ipv6/conf/default/accept_ra; ip link add name b type bridge`)
		Expect(link(conn, "b").Settings).To(And(
			HaveField("Forwarding", true), HaveField("AcceptRA", 2), HaveField("HasIPv6", true), HaveField("HasForce", testnet.ForwardsByLink()),
			HaveField("RouteLocalnet", false), HaveField("Forwarding6", false), HaveField("ForceForwarding", false),
		))
	})

	It("of IPv6 aren't there where the link has no IPv6", func() {
		conn := connect(nil)
		sh("ip link add name b mtu 1000 type bridge; echo 1 >/proc/sys/net/ipv4/conf/b/forwarding")
		Expect(link(conn, "b").Settings).To(Equal(configurer.Settings{Forwarding: true}))
		Expect(second(conn.Sysctl("net/ipv6/conf/b/accept_ra"))).To(MatchErrorStrictly(configurer.ErrNotFound))
	})

	It("are read and written by their keys, whatever the link's name is", func() {
		conn := connect(nil)
		sh("ip link add name br.0-x type bridge")
		const key = "net/ipv4/conf/br.0-x/forwarding"
		for _, value := range []string{"1", "0", "1"} {
			do(conn, configurer.SetSysctl{Key: key, Value: value})
			Expect(sh("cat /proc/sys/" + key)).To(Equal(value + "\n"))
			Expect(conn.Sysctl(key)).To(Equal(value))
		}
		do(conn, configurer.SetSysctl{Key: "net/ipv6/conf/br.0-x/accept_ra", Value: "2"})
		Expect(conn.Sysctl("net/ipv6/conf/br.0-x/accept_ra")).To(Equal("2"))
	})

	It("are those of the caller's namespace alone", func() {
		conn := connect(nil)
		container := newNamespace()
		do(conn, configurer.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1"})
		Expect(conn.Sysctl("net/ipv4/ip_forward")).To(Equal("1"))
		Expect(in(container, "cat /proc/sys/net/ipv4/ip_forward")).To(Equal("0\n"))
	})

	It("that aren't there are not found", func() {
		conn := connect(nil)
		const key = "net/ipv4/conf/none/forwarding"
		_, err := conn.Sysctl(key)
		Expect(err).To(And(MatchErrorStrictly(configurer.ErrNotFound), MatchError(ContainSubstring(key))))
		Expect(try(conn, configurer.SetSysctl{Key: key, Value: "1"})).To(HaveExactElements(MatchErrorStrictly(configurer.ErrNotFound)))
	})

	It("aren't written with a value that the kernel doesn't take, nor where /proc/sys is for reading only", func() {
		conn := connect(nil)
		sh("ip link add name b type bridge")
		const key = "net/ipv4/conf/b/forwarding"
		Expect(try(conn, configurer.SetSysctl{Key: key, Value: "no number"})).To(HaveExactElements(MatchError(ContainSubstring("invalid argument"))))
		sh("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys")
		Expect(try(conn, configurer.SetSysctl{Key: key, Value: "1"})).To(HaveExactElements(MatchError(ContainSubstring("/proc/sys has to be writable"))))
		Expect(conn.Sysctl(key)).To(Equal("0"))
	})

	It("are written one by one: one that fails has an error, the others are written", func() {
		conn := connect(nil)
		sh("ip link add name b type bridge")
		before := descriptors()
		errs := try(conn,
			configurer.SetSysctl{Key: "net/ipv4/conf/b/forwarding", Value: "1"},
			configurer.SetSysctl{Key: "net/ipv4/conf/none/forwarding", Value: "1"},
			configurer.SetSysctl{Key: "net/ipv4/conf/b/route_localnet", Value: "1"},
		)
		Expect(errs).To(HaveExactElements(BeNil(), HaveOccurred(), BeNil()))
		Expect(link(conn, "b").Settings).To(And(HaveField("Forwarding", true), HaveField("RouteLocalnet", true)))
		Expect(descriptors()).To(Equal(before))
	})
})
