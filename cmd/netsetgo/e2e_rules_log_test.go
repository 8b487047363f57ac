package main_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("-log with rules", Label("root"), func() {
	// As Docker leaves it: nothing that isn't Docker's is forwarded.
	const block = `nft add table ip filter; nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'`
	const opens = "iptables -I FORWARD -i brg0 -j ACCEPT; iptables -I FORWARD -o brg0 -j ACCEPT"
	const warning = "policy drop of chain FORWARD in table ip filter keeps bridge brg0 from the world; to open it: " + opens

	// lines are those of the log, of one kind.
	lines := func(host *testnet.Host, kind string) (found []logLine) {
		GinkgoHelper()
		for _, line := range logOf(host) {
			if line.Msg == kind {
				found = append(found, line)
			}
		}
		return found
	}

	It("has each change of all flags, as -v prints it", func() {
		s := newScene(onTheHost(uplinks))
		for _, line := range []string{everyRule, "down -pid PID -id web"} {
			s.host.Sh("rm -f " + logPath)
			result := s.run(line + " -v -log " + logPath)
			Expect(result.Code).To(Equal(0))
			Expect(asVerbose(logOf(s.host))).To(Equal(result.Stderr))
			for _, command := range []string{"ip ", "nft ", "sysctl ", "conntrack "} {
				Expect(lines(s.host, "change")).To(ContainElement(HaveField("Command", HavePrefix(command))))
			}
		}
	})

	It("has what somebody else keeps from the world, also as a hook, and once", func() {
		s := newScene(onTheHost(block))
		line := strings.Replace(created, "{", "-log "+logPath+` {`, 1)
		result := s.run(line)
		Expect(result).To(Equal(testnet.Result{Stderr: "netsetgo: warning: " + warning + "\n"}), "it is done all the same")
		found := lines(s.host, "warning")
		Expect(found).To(HaveLen(1))
		Expect(found[0]).To(And(HaveField("Level", "WARN"), HaveField("Text", warning), HaveField("Verb", "up"), HaveField("Container", "web")))
		succeeds(s.run(line))
		Expect(lines(s.host, "warning")).To(HaveLen(1), "who is told needn't be told again")
		Expect(s.host.Must("nft", "list", "table", "ip", "filter")).NotTo(ContainSubstring("brg0"), "it is theirs to open")
	})

	It("has no warning where they let the bridge through", func() {
		s := newScene(onTheHost(block + "; " + opens))
		succeeds(s.run("-pid PID -log " + logPath))
		Expect(lines(s.host, "warning")).To(BeEmpty())
	})

	It("isn't told of what keeps another family back", func() {
		s := newScene(onTheHost(strings.ReplaceAll(block, " ip ", " ip6 ")))
		succeeds(s.run("-pid PID"))
		succeeds(s.run("down -pid PID"))
		result := s.run("-pid PID" + dualStack)
		Expect(result.Code).To(Equal(0))
		Expect(result.Stderr).To(Equal("netsetgo: warning: policy drop of chain FORWARD in table ip6 filter keeps bridge brg0 from the world; to open it: " +
			strings.ReplaceAll(opens, "iptables", "ip6tables") + "\n"))
	})

	It("has it on a dry run too, beside the plan", func() {
		s := newScene(onTheHost(block))
		result := s.dry("-pid PID")
		Expect(result.Code).To(Equal(0))
		Expect(result.Stdout).To(HavePrefix("ip link add name brg0 "))
		Expect(result.Stderr).To(Equal("netsetgo: warning: " + warning + "\n"))
	})
})
