package main_test

import (
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("where the rules can't be", Label("root"), func() {
	// As in a container, where /proc/sys can't be written to.
	const readOnly = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && "

	It("says that sysctls can't be written, and leaves nothing", func() {
		s := newScene(onTheHost(uplinks))
		before := s.state()
		for _, line := range []string{"", dualStack, " -nat=false", " -spoofCheck=false"} {
			command := "unshare --mount -- sh -c '" + readOnly + binary + " -pid " + strconv.Itoa(s.container.Pid) + line + "'"
			Expect(fails(s.host.Run("sh", "-c", command), 1)).To(MatchRegexp(
				`^netsetgo: setting sysctl net/\S+ to \d: read-only file system; /proc/sys has to be writable for netsetgo$`))
			Expect(testnet.Changes(before, s.state())).To(BeEmpty())
		}
	})

	It("needs none to be written where all is there", func() {
		s := newScene(nil)
		up(s.host, s.host.NewContainer(), strings.Fields(dualStack)...)
		command := "unshare --mount -- sh -c '" + readOnly + binary + " -pid " + strconv.Itoa(s.container.Pid) + dualStack + "'"
		succeeds(s.host.Run("sh", "-c", command))
		Expect(s.container.Pings("fd10::1")).To(BeTrue())
	})

	// CAP_NET_ADMIN may be held in another user namespace than the network's, too: then
	// the kernel refuses, and no look before can tell.
	DescribeTable("says what is missing, and leaves nothing", func(drop, says string) {
		s := newScene(nil)
		before := s.state()
		command := "setpriv --bounding-set=-" + drop + " --inh-caps=-" + drop + " " + binary + " -pid " + strconv.Itoa(s.container.Pid)
		Expect(fails(s.host.Run("sh", "-c", command), 1)).To(ContainSubstring(says))
		Expect(testnet.Changes(before, s.state())).To(BeEmpty())
	},
		Entry("CAP_NET_ADMIN", "net_admin", "this process lacks CAP_NET_ADMIN"),
		Entry("CAP_SYS_ADMIN", "sys_admin", "this process lacks CAP_SYS_ADMIN"),
	)

	// What a kernel says that has no nftables (net/netfilter/nfnetlink.c).
	It("says which flags do without nftables", func() {
		host := testnet.NewHost()
		container := host.NewContainer()
		before, inside := host.State(), container.State()
		seen := 0
		for n := 1; n < most; n++ {
			result, hit := interfere(host, "socket", fmt.Sprintf("error=EPROTONOSUPPORT:when=%d", n), "-pid", strconv.Itoa(container.Pid))
			if !hit {
				succeeds(result)
				break
			}
			if result.Code == 0 { // the container's side has one as well, which it doesn't need
				down(host, container)
				continue
			}
			if strings.Contains(result.Stderr, "nftables") {
				seen++
				Expect(fails(result, 1)).To(ContainSubstring("nftables"))
			}
			stays(&host.Process, before)
			stays(&container.Process, inside)
		}
		Expect(seen).To(Equal(1), "one socket is for the rules")
	})
})
