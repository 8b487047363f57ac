package main_test

import (
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("what is out of the ordinary", Label("root"), func() {
	var host *testnet.Host
	var container *testnet.Container
	BeforeEach(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
	})

	It("is a caller whose /proc is of another pid namespace", func() {
		host.Sh("ip netns add blue")
		succeeds(host.Run("unshare", "--pid", "--fork", binary, "-netns", "blue"))
		Expect(links(&host.Process)).To(And(HaveKey("brg0"), HaveKey("veth0")))
		Expect(host.Must("ip", "netns", "exec", "blue", "ping", "-c1", "-W1", "10.10.10.1")).NotTo(BeEmpty())
	})

	It("is a container with more names than fit into one answer", func() {
		other := host.NewContainer()
		up(host, container)
		up(host, other)
		var batch strings.Builder
		for i := range 496 {
			fmt.Fprintf(&batch, "link property add dev veth1 altname %s%03d\n", strings.Repeat("x", 124), i)
		}
		Expect(container.RunWith(batch.String(), "ip", "-batch", "-").Code).To(BeZero())
		result := execute(host, "-pid", strconv.Itoa(host.NewContainer().Pid), "-containerAddress", "10.10.10.2")
		Expect(fails(result, 1)).To(ContainSubstring("leasing address 10.10.10.2: interface"))
		down(host, other)
		down(host, container)
		Expect(links(&host.Process)).To(HaveLen(1))
	})

	It("is a container that moved its interface away", func() {
		up(host, container)
		nested := container.Command("unshare", "--net", "sh", "-c", "echo; exec sleep 60")
		out, err := nested.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(nested.Start()).To(Succeed())
		DeferCleanup(func() { _ = nested.Process.Kill(); _ = nested.Wait() })
		Expect(out.Read(make([]byte, 1))).To(Equal(1))
		container.Must("ip", "link", "set", "veth1", "netns", strconv.Itoa(nested.Process.Pid))

		up(host, container)
		Expect(container.Pings("10.10.10.1")).To(BeTrue())
		Expect(links(&host.Process)).To(HaveLen(3), "lo, the bridge and one host link")
		container.Must("ip", "link", "set", "veth1", "netns", strconv.Itoa(nested.Process.Pid))
		down(host, container)
		Expect(links(&host.Process)).To(HaveLen(1))
	})

	It("is a link of somebody else's with an owner's name", func() {
		host.Sh("ip link add other type bridge; ip link property add dev other altname " + ownerOf(container) +
			"; ip link property add dev other altname netsetgo:c:ef2b:veth1:web")
		before := host.State()
		down(host, container)
		succeeds(execute(host, "down", "-id", "web"))
		Expect(fails(execute(host, "-pid", strconv.Itoa(container.Pid)), 1)).To(ContainSubstring(ownerOf(container)))
		stays(&host.Process, before)
	})

	It("is a container that renamed its interface", func() {
		up(host, container)
		container.Sh("ip link set veth1 down; ip link set veth1 name mine up; ip route add default via 10.10.10.1 proto static")
		settleCarriers(&host.Process)
		before := host.State()
		up(host, container)
		Expect(host.State()).To(Equal(before))
		down(host, container)
		Expect(links(&host.Process)).To(HaveLen(1))
	})

	It("is a default route among the routes that are asked for", func() {
		flags := []string{"-defaultRoute=false", "-route", "0.0.0.0/0"}
		up(host, container, flags...)
		up(host, container, flags...)
	})

	It("is a reader of the result who has gone", func() {
		before := host.State()
		host.Sh(fmt.Sprintf("(sleep 0.2; %s -pid %d -output json 2>/run/err || echo $? >/run/code) | true", binary, container.Pid))
		Expect(host.Must("cat", "/run/code")).To(Equal("1\n"))
		Expect(host.Must("cat", "/run/err")).To(HavePrefix("netsetgo: printing the result: "))
		stays(&host.Process, before)
	})

	It("is a name of ip netns whose namespace is gone", func() {
		up(host, container, "-id", "web")
		host.Sh("touch /run/netns/left")
		succeeds(execute(host, "down", "-netns", "left", "-id", "web"))
		Expect(links(&host.Process)).To(HaveLen(1))
		Expect(fails(execute(host, "-netns", "left"), 1)).To(ContainSubstring("this file isn't a network namespace"))
	})
})
