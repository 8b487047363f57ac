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

var _ = Describe("down, with the kernel", Label("root"), func() {
	var (
		host      *testnet.Host
		container *testnet.Container
		before    string
	)

	BeforeEach(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
		host.Must("ip", "netns", "attach", "blue", strconv.Itoa(container.Pid))
		before = host.State()
	})

	// disconnect runs netsetgo with a command line or, where that is one, a state.
	disconnect := func(how string) testnet.Result {
		GinkgoHelper()
		how = strings.ReplaceAll(how, "PID", strconv.Itoa(container.Pid))
		arguments, state, _ := strings.Cut(how, "{")
		if state != "" {
			state = "{" + state
		}
		return host.RunWith(state, append([]string{binary}, strings.Fields(arguments)...)...)
	}
	lines := []TableEntry{
		Entry("by -pid", "down -pid PID"),
		Entry("by -netns and a name", "down -netns blue"),
		Entry("by -netns and a path", "down -netns /proc/PID/ns/net"),
		Entry("by -id", "down -id web"),
		Entry("by an OCI state that is stopped, with pid 0", `{"ociVersion":"1.0","id":"web","status":"stopped","pid":0,"bundle":"/b"}`),
		Entry("by an OCI state that is stopped, without a pid", `{"ociVersion":"1.0","id":"web","status":"stopped","bundle":"/b"}`),
		Entry("by an OCI state that is stopped, with the old pid", `{"ociVersion":"1.0","id":"web","status":"stopped","pid":PID,"bundle":"/b"}`),
		Entry("by the verb, and an OCI state that runs", `down {"ociVersion":"1.0","id":"web","status":"running","pid":PID,"bundle":"/b"}`),
		Entry("by the verb, and an OCI state that is stopped", `down {"ociVersion":"1.0","id":"web","status":"stopped","bundle":"/b"}`),
	}

	DescribeTable("disconnects a container, and does so twice", func(how string) {
		up(host, container, "-id", "web", "-route", "192.168.0.0/16")
		succeeds(disconnect(how))
		stays(&host.Process, before)
		Expect(links(&container.Process)).To(And(HaveLen(1), HaveKeyWithValue("lo", HaveField("Flags", ContainElement("UP")))))
		Expect(routes(container)).To(BeEmpty())

		inside := container.State()
		succeeds(disconnect(how))
		stays(&host.Process, before)
		stays(&container.Process, inside)

		up(host, container, "-id", "web")
		Expect(container.Pings("10.10.10.1")).To(BeTrue(), "and it can be connected again")
	}, lines)

	DescribeTable("leaves nothing of a container that is just gone", func(how string) {
		host.Must("ip", "netns", "delete", "blue")
		up(host, container, "-id", "web")
		settle(host)
		container.Kill()
		succeeds(disconnect(how))
		Expect(links(&host.Process)).To(HaveLen(1), "at once, not only when the kernel gets to it")
		stays(&host.Process, before)
	}, lines)

	DescribeTable("succeeds where there is nothing to disconnect", func(how string) {
		inside := container.State()
		succeeds(disconnect(how))
		stays(&host.Process, before)
		stays(&container.Process, inside)
	}, lines)

	It("touches no container but its own, and the last one out removes the bridge", func() {
		second, third := host.NewContainer(), host.NewContainer()
		for i, each := range []*testnet.Container{container, second, third} {
			up(host, each, "-id", fmt.Sprint("c", i))
		}
		ping := second.Command("ping", "-q", "-i0.02", "-W1", "-c40", "10.10.10.4")
		pings := make(chan testnet.Result)
		go func() {
			defer GinkgoRecover()
			defer close(pings)
			pings <- testnet.Finish(ping, "")
		}()
		down(host, container)
		var result testnet.Result
		Eventually(pings, 10*time.Second).Should(Receive(&result))
		Expect(result.Stdout).To(ContainSubstring(" 0% packet loss"))

		Expect(links(&host.Process)).To(And(HaveLen(4), HaveKey("brg0"), HaveKey("veth1"), HaveKey("veth2")))
		succeeds(execute(host, "down", "-id", "c1"))
		Expect(third.Pings("10.10.10.1")).To(BeTrue())
		Expect(links(&host.Process)).To(And(HaveLen(3), HaveKey("brg0"), HaveKey("veth2")))
		down(host, third)
		stays(&host.Process, before)
	})

	It("leaves what was on a bridge that somebody else made", func() {
		host.Sh(`
			ip link add brg0 address 02:00:00:00:00:99 mtu 1400 type bridge
			ip address add 192.0.2.1/24 dev brg0; ip address add 10.10.10.1/24 dev brg0
			ip link set brg0 alias mine; ip link property add dev brg0 altname also-mine
			ip link add port type veth peer name wire
			for link in brg0 port wire; do ip link set $link addrgenmode none; done
			ip link set port master brg0; ip link set port type bridge_slave learning off
			ip link set port up; ip link set wire up; ip link set brg0 up
		`)
		Eventually(func() string { return host.Must("ip", "link", "show", "brg0") }).Should(ContainSubstring("state UP"))
		before = host.State()
		up(host, container)
		Expect(container.Pings("10.10.10.1")).To(BeTrue())
		Expect(links(&host.Process)["brg0"].Alias).To(Equal("mine"))
		down(host, container)
		stays(&host.Process, before)
	})

	It("leaves bridges without a port that somebody else made", func() {
		host.Sh(`
			ip link add docker0 type bridge
			ip link add brg0 type bridge; ip address add 10.10.10.1/24 dev brg0; ip link set brg0 addrgenmode none; ip link set brg0 up
		`)
		up(host, container)
		down(host, container)
		left := links(&host.Process)
		Expect(left).To(And(HaveLen(3), HaveKey("docker0"), HaveKey("brg0")))
		Expect(left["brg0"].Flags).To(ContainElement("UP"))
		Expect(left["brg0"].prefixes()).To(ConsistOf("10.10.10.1/24"))
	})

	It("leaves its own bridge while somebody else has a port there", func() {
		up(host, container)
		host.Sh("ip link add port type veth peer name wire; ip link set port master brg0; ip address add 192.0.2.1/24 dev brg0")
		down(host, container)
		left := links(&host.Process)
		Expect(left).To(And(HaveLen(4), HaveKey("port"), HaveKey("wire")))
		Expect(left["brg0"].prefixes()).To(ConsistOf("10.10.10.1/24", "192.0.2.1/24"))
		host.Must("ip", "link", "delete", "port")
		down(host, container)
		stays(&host.Process, before)
	})

	It("takes one of two interfaces", func() {
		up(host, container, "-id", "web", "-containerInterface", "eth0")
		up(host, container, "-id", "web", "-containerInterface", "eth1",
			"-bridgeName", "br2", "-bridgeAddress", "10.20.0.1/16", "-defaultRoute=false")
		down(host, container, "-containerInterface", "eth0")
		Expect(links(&container.Process)).To(And(HaveLen(2), HaveKey("eth1")))
		Expect(links(&host.Process)).To(And(HaveLen(3), HaveKey("br2")))
		Expect(container.Pings("10.20.0.1")).To(BeTrue())

		down(host, container, "-containerInterface", "eth0")
		down(host, container)
		succeeds(execute(host, "down", "-id", "web"))
		Expect(links(&host.Process)).To(HaveLen(3), "no other one is taken instead")
		succeeds(execute(host, "down", "-id", "web", "-containerInterface", "eth1"))
		stays(&host.Process, before)
	})

	It("leaves an interface of that name that isn't netsetgo's", func() {
		container.Sh("ip link add veth1 type veth peer name other")
		host.Sh("ip link add veth0 type veth peer name other")
		before = host.State()
		inside := container.State()
		down(host, container)
		stays(&host.Process, before)
		stays(&container.Process, inside)
	})

	It("doesn't believe the pid of a container that has stopped", func() {
		other := host.NewContainer()
		up(host, other)
		succeeds(host.RunWith(ociState("web", "stopped", other.Pid), binary))
		Expect(other.Pings("10.10.10.1")).To(BeTrue())
	})
})
