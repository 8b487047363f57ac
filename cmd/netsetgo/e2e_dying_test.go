package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// A namespace outlives its last process for the time that the kernel takes to free the
// netlink sockets of its processes, some 15 ms (call_rcu in netlink_release,
// net/netlink/af_netlink.c). Nothing tells it from one that lives, but that it ends.
var _ = Describe("a container that was killed while it had a netlink socket", Label("root"), func() {
	var (
		host            *testnet.Host
		container, next *testnet.Container
	)

	BeforeEach(func() {
		host = testnet.NewHost()
		container, next = host.NewContainer(), host.NewContainer()
	})

	// kill ends the container and, as the last process of its namespace, one that has a
	// netlink socket open.
	kill := func() {
		GinkgoHelper()
		monitor := container.Command("ip", "monitor", "link")
		Expect(monitor.Start()).To(Succeed())
		DeferCleanup(func() { _ = monitor.Process.Kill() })
		Eventually(func() ([]string, error) {
			var opened []string
			files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", monitor.Process.Pid))
			for _, file := range files {
				target, _ := os.Readlink(file)
				opened = append(opened, target)
			}
			return opened, err
		}, "10s", "1ms").Should(ContainElement(HavePrefix("socket:")))
		container.Kill()
		_ = monitor.Process.Kill()
		_ = monitor.Wait()
	}

	It("gives its id away at once", func() {
		up(host, container, "-id", "web")
		kill()
		up(host, next, "-id", "web")
		Expect(next.Pings("10.10.10.1")).To(BeTrue())
	})

	It("gives its address away at once", func() {
		up(host, container, "-containerAddress", "10.10.10.7")
		kill()
		up(host, next, "-containerAddress", "10.10.10.7")
		Expect(next.Pings("10.10.10.1")).To(BeTrue())
	})

	It("gives the last address of a subnet away at once", func() {
		up(host, container, "-bridgeAddress", "10.10.10.1/30")
		kill()
		up(host, next, "-bridgeAddress", "10.10.10.1/30")
		Expect(next.Pings("10.10.10.1")).To(BeTrue())
	})

	It("takes its bridge with it, beside one that was idle before", func() {
		up(host, container)
		host.Sh("ip link add idle0 group 7238503 type bridge")
		kill()
		down(host, container)
		Expect(links(&host.Process)).To(HaveLen(1))
	})

	DescribeTable("leaves nothing after down", func(target func() []string) {
		before := host.State()
		up(host, container, "-id", "web")
		kill()
		succeeds(execute(host, append([]string{"down"}, target()...)...))
		Expect(links(&host.Process)).To(HaveLen(1))
		stays(&host.Process, before)
	},
		Entry("by its id", func() []string { return []string{"-id", "web"} }),
		Entry("by its pid", func() []string { return []string{"-pid", strconv.Itoa(container.Pid)} }),
		Entry("by its namespace", func() []string { return []string{"-netns", "/proc/" + strconv.Itoa(container.Pid) + "/ns/net"} }),
	)
})
