package main_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("a run with rules that fails", Label("root"), func() {
	flags := strings.Fields(dualStack + " -publish 8080:80 -publish 5000-5001:53/udp")
	var host *testnet.Host
	var before string
	BeforeEach(func() {
		host = testnet.NewHost()
		host.Sh(uplinks)
		before = host.State()
	})

	// Every call of a kind in turn, until a run makes fewer of them. Beside another
	// container what is shared stays, and only the run's own goes.
	DescribeTable("leaves nothing of it, whichever call failed", func(call, interference string, least int, beside ...string) {
		if len(beside) > 0 {
			up(host, host.NewContainer(), beside...)
			before = host.State()
		}
		failed := 0
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("%s %d", call, n))
			container := host.NewContainer()
			containerBefore := container.State()
			result, hit := interfere(host, call, fmt.Sprintf("%s:when=%d", interference, n), append([]string{"-pid", strconv.Itoa(container.Pid)}, flags...)...)
			if result.Code == 0 {
				succeeds(result)
				Eventually(container.Pings).WithArguments("fd10::1").WithTimeout(5 * time.Second).Should(BeTrue())
				down(host, container)
				if len(beside) > 0 {
					before = host.State() // the next address to try is another
				}
			} else {
				failed++
				fails(result, 1)
				Expect(container.State()).To(Equal(containerBefore))
			}
			Expect(host.State()).To(Equal(before))
			container.Kill()
			if !hit {
				break
			}
		}
		Expect(failed).To(BeNumerically(">=", least))
	},
		Entry("a message that can't be sent", "sendto", "error=ENOBUFS", 20),
		Entry("an answer that is lost", "recvmsg", "error=ENOBUFS", 20),
		Entry("a sysctl that can't be written", "write", "error=EPERM", 5),
		Entry("a sysctl that can't be opened", "openat", "error=EACCES", 5),
		Entry("a socket that can't be opened", "socket", "error=EMFILE", 3),
		Entry("a message that can't be sent, beside another container", "sendto", "error=ENOBUFS", 10, "-bridgeAddress", "10.10.10.1/24,fd10::1/64"),
		Entry("a socket that can't be opened, beside another container", "socket", "error=EMFILE", 2, "-publish", "9090:90", "-bridgeAddress", "10.10.10.1/24,fd10::1/64"),
		Entry("an answer that is lost, beside another bridge", "recvmsg", "error=ENOBUFS", 10, "-vethNamePrefix", "other", "-bridgeName", "lab0", "-bridgeAddress", "10.20.0.1/24,fd20::1/64"),
	)

	It("and is killed leaves what the same run finishes, and down takes away", func() {
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("killed at message %d", n))
			container := host.NewContainer()
			arguments := append([]string{"-pid", strconv.Itoa(container.Pid)}, flags...)
			_, hit := interfere(host, "sendto", fmt.Sprintf("signal=KILL:when=%d", n), arguments...)
			up(host, container, flags...)
			Eventually(container.Pings).WithArguments("fd10::1").WithTimeout(5 * time.Second).Should(BeTrue())
			Expect(strings.Count(host.Must("nft", "list", "map", "inet", "netsetgo", "ports6"), " : fd10::")).To(Equal(3))
			down(host, container)
			Expect(host.State()).To(Equal(before))
			container.Kill()
			if !hit {
				break
			}
		}
	})

	It("and is killed leaves what goes with the container, and the next down sweeps", func() {
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("killed at message %d", n))
			container := host.NewContainer()
			_, hit := interfere(host, "sendto", fmt.Sprintf("signal=KILL:when=%d", n), append([]string{"-pid", strconv.Itoa(container.Pid)}, flags...)...)
			container.Kill()
			vanishes(host)
			succeeds(execute(host, "down", "-id", "any"))
			Expect(host.State()).To(Equal(before))
			if !hit {
				break
			}
		}
	})

	DescribeTable("with down leaves what the next down removes", func(interference string) {
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("message %d", n))
			container := host.NewContainer()
			up(host, container, append([]string{"-id", "web"}, flags...)...)
			_, hit := interfere(host, "sendto", fmt.Sprintf("%s:when=%d", interference, n), "down", "-id", "web")
			succeeds(execute(host, "down", "-id", "web"))
			Expect(host.State()).To(Equal(before))
			container.Kill()
			if !hit {
				break
			}
		}
	},
		Entry("by a kill", "signal=KILL"),
		Entry("by an error", "error=ENOBUFS"),
	)
})

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
