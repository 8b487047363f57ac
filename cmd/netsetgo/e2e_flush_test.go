package main_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("rules that somebody flushed", Label("root"), func() {
	// promises are what rules keep of the containers that are there all the time.
	promises := `
		a1 -> internet at internet as uplink
		b1 -> internet at internet as uplink
		b1 -> a1 never at a1
		lan -> a1 never at a1
		lan -> b1 at b1 as lan
		lan -> other never at other
		lan -> uplink:8080 at a1:80 as lan
		lan -> uplink:8081 at b1:81 as lan
		host -> loopback:8080 at a1:80 as brg0
		host -> loopback:8082 at b1:82 as brg1
	`
	var w world
	BeforeEach(func() {
		w = newWorld("a1", "a2", "a3", "b1")
		w.up("a1", published("8080:80")...)
		w.up("a3", "-spoofCheck=false")
		w.up("b1", append(published("192.0.2.1:8081:81", "[2001:db8:1::1]:8081:81", "127.0.0.1:8082:82"), "-allowInbound")...)
	})

	DescribeTable("are there again after the next up", func(flush string, next func()) {
		w.Check(promises)
		w.Host.Sh(flush)
		w.Check("lan -> a1 at a1 as lan\n b1 -> a1 at a1 as b1") // nobody keeps them
		next()
		w.Check(promises)
		f := &forger{own: testnet.MAC(w.mac("a1", "eth0"))}
		tap := w.Node("b1").Tap("eth0")
		neighbour := w.Node("a3").Tap("eth0")
		lie, truth := f.datagram(f.own, "10.10.10.77", 1, 2), f.datagram(f.own, v4("a1"), 1, 2)
		w.Node("a1").Wire("eth0").Send(lie)
		w.Node("a1").Wire("eth0").Send(truth)
		free := testnet.MAC(w.mac("a3", "eth0"))
		own := w.Node("a1").Tap("eth0")
		freely := f.datagram(free, "10.10.10.77", 1, 2)
		w.Node("a3").Wire("eth0").Send(freely)
		all := func(testnet.Packet) bool { return true }
		Eventually(func() bool { return frame{"", truth}.arrived(neighbour.Seen(all)) }).Should(BeTrue())
		Eventually(func() bool { return frame{"", freely}.arrived(own.Seen(all)) }).Should(BeTrue())
		Expect(frame{"", lie}.arrived(neighbour.Seen(all))).To(BeFalse())
		Expect(frame{"", lie}.arrived(tap.Seen(all))).To(BeFalse())
	},
		Entry("of another container", "nft flush ruleset", func() { w.up("a2") }),
		Entry("of a container that is connected", "nft flush ruleset", func() { w.up("a1", published("8080:80")...) }),
		Entry("of a container on another bridge", "nft flush ruleset", func() { w.up("b1") }),
		Entry("where one table is gone", "nft delete table inet netsetgo; nft delete table bridge netsetgo", func() { w.up("a2") }),
	)

	DescribeTable("are there again though only some were", func(flush, broken string) {
		w.Host.Sh(flush)
		w.Check(broken)
		w.up("a2")
		w.Check(promises)
	},
		Entry("of a chain", "nft flush chain inet netsetgo forward", "lan -> a1 at a1 as lan"),
		Entry("of a bridge", "nft 'delete element inet netsetgo bridges { \"brg0\" }'", "b1 -> a1 at a1"),
		Entry("of the masquerade", "nft flush chain inet netsetgo postrouting", "a1 -> lan at lan as a1"),
		Entry("of uplinks", `nft flush set inet netsetgo uplinks
			echo 1 >/proc/sys/net/ipv4/conf/eth1/forwarding
			if [ -e /proc/sys/net/ipv6/conf/eth1/force_forwarding ]; then
				echo 1 >/proc/sys/net/ipv6/conf/eth1/force_forwarding
			else
				nft flush set inet netsetgo routers
			fi`, "lan -> other at other as lan"),
	)

	It("don't keep the last down from leaving nothing", func() {
		w.Host.Must("nft", "flush", "ruleset")
		w.down("a1")
		w.down("a3")
		w.down("b1")
		Expect(w.Host.Must("nft", "list", "ruleset")).To(BeEmpty())
		forwarding6 := "eth0/force_forwarding"
		if !testnet.ForwardsByLink() {
			forwarding6 = "all/forwarding"
		}
		Expect(w.Host.Sh("cat /proc/sys/net/ipv4/conf/eth0/forwarding /proc/sys/net/ipv6/conf/" + forwarding6)).To(Equal("0\n0\n"))
	})
})

var _ = Describe("a hundred runs at once with NAT and ports", Label("root"), func() {
	It("connect all, and a hundred more leave nothing", Label("long"), func() {
		const containers = 100
		var names, ups, downs []string
		for i := range containers {
			names = append(names, fmt.Sprintf("c%d", i+1))
		}
		w := newWorld(names...)
		before := w.Host.State()
		out, in := "", ""
		for i, name := range names {
			ups = append(ups, binary+" "+strings.Join(flags(name), " ")+fmt.Sprintf(" -publish %d:80 -publish %d:80/udp", 8001+i, 8001+i))
			downs = append(downs, binary+" down -containerInterface eth0 -netns "+name)
			out += name + " -> internet at internet as uplink udp\n"
			in += fmt.Sprintf("lan -> uplink:%d at %s:80 as lan tcp\n", 8001+i, name)
		}
		for range 2 {
			atOnce(w.Host, ups)
			w.Check(out)
			w.Check(in)
			w.Check("lan -> c1 never at c1\n lan -> c100 never at c100")
			atOnce(w.Host, downs)
			w.isAsBefore(before)
		}
	})
})
