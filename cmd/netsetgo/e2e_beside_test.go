package main_test

import (
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// opens are the commands of warnings.
func opens(stderr string) []string {
	var commands []string
	for _, found := range regexp.MustCompile(`(?m)^netsetgo: warning: .* to open it: (.*)$`).FindAllStringSubmatch(stderr, -1) {
		commands = append(commands, found[1])
	}
	return commands
}

// docker is what Docker Engine 24 asks iptables for: its chains, a network, a published
// port, and the policy.
const docker = `
	for ipt in iptables ip6tables; do
		$ipt -t nat -N DOCKER
		$ipt -t filter -N DOCKER
		$ipt -N DOCKER-USER
		$ipt -N DOCKER-ISOLATION-STAGE-1
		$ipt -N DOCKER-ISOLATION-STAGE-2
		$ipt -A DOCKER-ISOLATION-STAGE-1 -j RETURN
		$ipt -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
		$ipt -I DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
		$ipt -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
		$ipt -A DOCKER-ISOLATION-STAGE-2 -j RETURN
		$ipt -I FORWARD -o docker0 -j DOCKER
		$ipt -I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		$ipt -I FORWARD -i docker0 ! -o docker0 -j ACCEPT
		$ipt -I FORWARD -i docker0 -o docker0 -j ACCEPT
		$ipt -I FORWARD -j DOCKER-ISOLATION-STAGE-1
		$ipt -A DOCKER-USER -j RETURN
		$ipt -I FORWARD -j DOCKER-USER
		$ipt -P FORWARD DROP
	done
	iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
	iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:80
	iptables -A DOCKER -d 172.17.0.2 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT
	iptables -C FORWARD -i docker0 ! -o docker0 -j ACCEPT
	for ipt in iptables ip6tables; do
		$ipt -S >/dev/null
		$ipt -t nat -L -n >/dev/null
		$ipt-save >/run/saved
		$ipt-restore </run/saved
	done
`

var _ = Describe("beside others' rules", Label("root"), func() {
	var w world
	BeforeEach(func() { w = newWorld("a1", "a2", "b1") })

	const passes = `
		a1 -> internet at internet as uplink
		lan -> uplink:8080 at a1:80 as lan
		a1 -> a2 at a2 as a1
		host -> a1 at a1 as brg0
		a1 -> brg0 at host as a1
		lan -> a1 never at a1
	`
	const kept = `
		a1 -> internet never at internet
		lan -> uplink:8080 never at a1:80
		host -> a1 at a1 as brg0
		a1 -> brg0 at host as a1
	`

	// ours are netsetgo's tables, and theirs all that others have.
	ours := func() string {
		return w.Host.Sh("nft list table inet netsetgo; nft list table bridge netsetgo")
	}
	theirs := func() string {
		return w.Host.Sh("nft list tables | grep -v netsetgo | while read table; do nft --stateless list $table; done")
	}

	DescribeTable("says with which command its bridge is opened, which opens it", func(block string, warnings int) {
		w.Host.Sh(block)
		before := theirs()
		first := w.run("a1", published("8080:80")...)
		Expect(first.Code).To(Equal(0), first.Stderr)
		w.up("a2") // it is told once
		Expect(theirs()).To(Equal(before))
		commands := opens(first.Stderr)
		Expect(commands).To(HaveLen(warnings), first.Stderr)
		w.Check(kept)
		for _, command := range commands {
			Expect(w.Host.Run("sh", "-c", command)).To(Equal(testnet.Result{}), command)
		}
		w.Check(passes)
		w.down("a1")
		w.down("a2")
		w.up("a1", published("8080:80")...)
		w.up("a2")
		w.Check(passes)
	},
		Entry("of iptables' policy", "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP", 2),
		Entry("of Docker's", docker, 2),
		Entry("of a chain of nft's", "nft 'add table inet other; add chain inet other through { type filter hook forward priority -10; policy drop; }'", 1),
		Entry("of both families' own", "for f in ip ip6; do nft add table $f other; nft \"add chain $f other through { type filter hook forward priority 10; policy drop; }\"; done", 2),
	)

	It("says it of the family that is concerned", func() {
		w.Host.Sh("ip6tables -P FORWARD DROP")
		commands := opens(w.run("a1").Stderr)
		Expect(commands).To(ConsistOf(HavePrefix("ip6tables ")))
		w.Check("a1 -> internet at internet as uplink 4\n a1 -> internet never at internet 6")
		w.Host.Must("sh", "-c", commands[0])
		w.Check("a1 -> internet at internet as uplink")
	})

	It("is no word where nothing is in the way", func() {
		w.Host.Sh("iptables -A FORWARD -i nobody -j DROP; iptables -P INPUT DROP; nft 'add table inet other; add chain inet other in { type filter hook input priority 0; policy drop; }'")
		w.up("a1")
		w.Check("a1 -> internet at internet as uplink 4")
	})

	It("keeps what Docker asks for from nothing, and all of its own", func() {
		w.up("a1", published("8080:80")...)
		w.up("a2")
		w.up("b1")
		before := ours()
		w.Check(passes)
		w.Host.Sh(docker)
		Expect(ours()).To(Equal(before))
		w.Check(kept)
		w.Host.Sh(`for ipt in iptables ip6tables; do $ipt -F; $ipt -t nat -F; $ipt -X; $ipt -t nat -X; $ipt -P FORWARD ACCEPT; done`)
		Expect(ours()).To(Equal(before))
		w.Check(passes)
	})

	It("is forwarded what others publish, by an uplink that netsetgo opened", func() {
		w.Host.Sh("iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 9090 -j DNAT --to-destination 172.16.5.2:7000; echo 1 >/proc/sys/net/ipv4/conf/eth1/forwarding")
		w.up("a1")
		w.Check("lan -> 192.0.2.1:9090 at other:7000 as lan tcp\n lan -> other never at other")
	})

	It("leaves theirs alone when it goes", func() {
		w.Host.Sh(docker)
		before := theirs()
		Expect(w.run("a1").Code).To(Equal(0))
		w.down("a1")
		Expect(theirs()).To(Equal(before))
		Expect(strings.Contains(w.Host.Must("nft", "list", "tables"), "netsetgo")).To(BeFalse())
	})
})
