package main_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

const (
	dualStack = " -bridgeAddress 10.10.10.1/24,fd10::1/64"
	// everyRule is a line with each flag of the firewall, none by its default.
	everyRule = "-pid PID -id web" + dualStack + " -nat=false -allowInbound -isolated -spoofCheck=false" +
		" -publish 8080:80 -publish 5000-5002:53/udp -publish 127.0.0.1:9000:9/sctp -publish [fd99::1]:7000-7001:7/udp"
	// uplinks are those of default routes of both families, by which nothing was forwarded.
	// The kernel joins an address's group, and sees that no link carries, a little later.
	uplinks = `
		ip link add name up4 address 02:00:00:00:00:94 type bridge; ip link add name up6 address 02:00:00:00:00:96 type bridge
		for link in up4 up6; do ip link set dev $link addrgenmode none; ip link set dev $link up; done
		ip address add 198.51.100.2/24 dev up4; ip route add default via 198.51.100.1
		ip address add 2001:db8::2/64 nodad dev up6; ip -6 route add default via 2001:db8::1
		timeout 5 sh -c 'until ip -6 maddress show dev up6 | grep -q ff02::1:ff00:2; do :; done'
		for link in up4 up6; do timeout 5 sh -c "until ip link show dev $link | grep -q NO-CARRIER; do :; done"; done`
)

// withAnotherBridge is of a container on a bridge of netsetgo's, with ports of its own.
func withAnotherBridge(s scene) {
	up(s.host, s.host.NewContainer(), "-vethNamePrefix", "other", "-bridgeName", "lab0", "-bridgeAddress", "10.20.0.1/24,fd20::1/64", "-publish", "9090:90", "-isolated")
}

// both prepare a scene, one behind the other.
func both(prepare ...func(scene)) func(scene) {
	return func(s scene) {
		for _, each := range prepare {
			each(s)
		}
	}
}

var _ = Describe("a dry run with rules, pasted into a shell", Label("root"), func() {
	DescribeTable("leaves what the run leaves, and down too", leavesTheSame,
		Entry("of two families", nil, "-pid PID"+dualStack, "-pid PID"),
		Entry("of IPv6 alone", nil, "-pid PID -bridgeAddress fd10::1/64 -containerAddress fd10::7 -route 2001:db8:7::/48", "-pid PID"),
		Entry("with ports of each kind", nil,
			"-pid PID"+dualStack+" -publish 8080:80 -publish 5000-5002:53/udp -publish 127.0.0.1:9000:9/sctp -publish [fd99::1]:7000-7001:7/udp", "-pid PID"),
		Entry("with many ports", nil, "-pid PID -publish 10000-10599:1000", "-pid PID"),
		Entry("by -nat=false", nil, "-pid PID -nat=false", "-pid PID"),
		Entry("by -allowInbound", nil, "-pid PID -allowInbound", "-pid PID"),
		Entry("by -isolated", nil, "-pid PID -isolated", "-pid PID"),
		Entry("by -spoofCheck=false", nil, "-pid PID -spoofCheck=false", "-pid PID"),
		Entry("by all of them", nil, everyRule, "-id web"),
		Entry("by all of them, as a hook", nil, strings.Replace(everyRule, "-pid PID -id web", "", 1)+" "+created, ociState("web", "stopped", 0)),
		Entry("with uplinks", onTheHost(uplinks), "-pid PID"+dualStack, "-pid PID"),
		Entry("with an uplink of one family alone", onTheHost(uplinks), "-pid PID -bridgeAddress fd10::1/64", "-pid PID"),
		Entry("with uplinks that forwarded before", onTheHost(uplinks+`
			echo 1 >/proc/sys/net/ipv4/conf/up4/forwarding
			cd /proc/sys/net/ipv6/conf
			if [ -e up6/force_forwarding ]; then echo 1 >up6/force_forwarding; else echo 1 >all/forwarding; fi`), "-pid PID"+dualStack, "-pid PID"),
		Entry("on a host that forwards", onTheHost(`echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding;`+uplinks),
			"-pid PID"+dualStack, "-pid PID"),
		Entry("beside another container of the bridge", func(s scene) {
			up(s.host, s.host.NewContainer(), strings.Fields(dualStack+" -publish 8080:80")...)
		}, "-pid PID"+dualStack+" -publish 8081:80", "-pid PID"),
		Entry("beside another bridge", withAnotherBridge, "-pid PID"+dualStack+" -publish 8080:80", "-pid PID"),
		Entry("beside another bridge, with uplinks that only that one knows", both(onTheHost(uplinks), withAnotherBridge), "-pid PID"+dualStack, "-pid PID"),
		Entry("beside another bridge, after somebody flushed the rules", both(withAnotherBridge, onTheHost("nft flush ruleset")), "-pid PID -publish 8080:80", "-pid PID"),
		Entry("after somebody took a rule away", both(withAnotherBridge, onTheHost("nft flush chain inet netsetgo forward")), "-pid PID", "-pid PID"),
		Entry("on somebody else's bridge", onTheHost(foreignBridge), "-pid PID -spoofCheck=false", "-pid PID"),
	)

	// The bridge that goes knew how the uplinks were; the other one knows it from then on.
	It("hands over what a bridge remembers, as down does", func() {
		prepare := both(onTheHost(uplinks), func(s scene) { up(s.host, s.container, strings.Fields(dualStack)...) }, withAnotherBridge)
		made, pasted := newScene(prepare), newScene(prepare)
		plan := pasted.plan("down -pid PID")
		was := `\d+/forwarding:0,\d+/force_forwarding:0`
		if !testnet.ForwardsByLink() {
			was = `\d+/forwarding:0,.*forwarding6:0`
		}
		Expect(plan).To(MatchRegexp(`ip link set dev lab0 alias 'netsetgo .* was=` + was + `'  # `))
		succeeds(made.run("down -pid PID"))
		pasted.paste(plan)
		areAlike(made, pasted)
	})
})

var _ = Describe("-v with rules", Label("root"), func() {
	DescribeTable("shows what the dry run before it said", func(prepare func(scene), line string) {
		s := newScene(prepare)
		plan := s.plan(line)
		flags, state := splitState(line)
		Expect(s.run(flags + " -v " + state)).To(Equal(testnet.Result{Stderr: plan}))
		Expect(s.run(flags + " -v " + state)).To(Equal(testnet.Result{Stderr: "# nothing to change for veth1\n"}))
	},
		Entry("of all flags", nil, everyRule),
		Entry("of all flags, as a hook", nil, strings.Replace(everyRule, "-pid PID -id web", "", 1)+" "+created),
		Entry("with uplinks", onTheHost(uplinks), "-pid PID"+dualStack),
		Entry("of down", func(s scene) { succeeds(s.run(everyRule)) }, "down -pid PID"),
		Entry("of down beside another bridge", both(withAnotherBridge, func(s scene) { succeeds(s.run(everyRule)) }), "down -id web"),
		Entry("of a run that puts the rules back", both(func(s scene) { succeeds(s.run(everyRule)) }, onTheHost("nft flush ruleset")), everyRule),
	)
})
