package main_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

var _ = Describe("up where nothing is free, with the kernel", Label("root"), func() {
	var host *testnet.Host

	BeforeEach(func() { host = testnet.NewHost() })

	// hostState is without the sysctls, of which a thousand links have 200,000.
	hostState := func() string {
		GinkgoHelper()
		return host.Sh("ip -oneline link; ip -oneline address; ip route show table all; bridge fdb")
	}

	// refused says that a container can't be connected, soon, and that nothing changed.
	refused := func(container *testnet.Container, flags ...string) string {
		GinkgoHelper()
		onHost, inside := hostState(), container.State()
		const patience = 5 * time.Second
		run := host.Command(append([]string{binary, "-timeout", (patience * testnet.Slow).String(), "-pid", strconv.Itoa(container.Pid)}, flags...)...)
		begin := time.Now()
		message := fails(testnet.Finish(run, ""), 1)
		Expect(time.Since(begin)).To(BeNumerically("<", patience*testnet.Slow), "it didn't wait")
		Expect(run.ProcessState.UserTime() + run.ProcessState.SystemTime()).To(BeNumerically("<", 500*time.Millisecond*testnet.Slow))
		Expect(testnet.Changes(onHost, hostState())).To(BeEmpty())
		stays(&container.Process, inside)
		return message
	}

	DescribeTable("says at once that a subnet is full", func(gateway string, room int, subnet string) {
		used := map[string]bool{}
		for range room {
			container := host.NewContainer()
			up(host, container, "-bridgeAddress", gateway)
			used[address(container, "veth1")] = true
		}
		Expect(used).To(HaveLen(room))
		Expect(refused(host.NewContainer(), "-bridgeAddress", gateway)).To(And(
			ContainSubstring("all of "+subnet+" are taken"), ContainSubstring("-bridgeAddress")))
	},
		Entry("of a single container", "10.10.10.2/30", 1, "10.10.10.0/30"),
		Entry("of five", "10.10.10.4/29", 5, "10.10.10.0/29"),
	)

	It("takes the address of a container that was just killed", func() {
		old, container := host.NewContainer(), host.NewContainer()
		up(host, old, "-bridgeAddress", "10.10.10.1/30")
		settle(host)
		old.Kill()
		up(host, container, "-bridgeAddress", "10.10.10.1/30")
		Expect(container.Pings("10.10.10.1")).To(BeTrue())
	})

	It("takes an address that was given back", func() {
		old, container := host.NewContainer(), host.NewContainer()
		up(host, old, "-bridgeAddress", "10.10.10.1/30")
		refused(container, "-bridgeAddress", "10.10.10.1/30")
		down(host, old)
		up(host, container, "-bridgeAddress", "10.10.10.1/30")
		Expect(address(container, "veth1")).To(Equal("10.10.10.2"))
	})

	It("says at once that a bridge has all the ports that it can have", func() {
		container := host.NewContainer()
		up(host, container, "-bridgeAddress", "10.10.0.1/16")
		fill(host, "brg0", 1022)
		next := host.NewContainer()
		Expect(refused(next, "-bridgeAddress", "10.10.0.1/16")).To(And(
			ContainSubstring("brg0"), ContainSubstring("1,023"), ContainSubstring("-bridgeName")))
		Expect(container.Pings("10.10.0.1")).To(BeTrue())

		host.Must("ip", "link", "delete", "a0")
		up(host, next, "-bridgeAddress", "10.10.0.1/16")
		Expect(next.Pings("10.10.0.1")).To(BeTrue())
	})

	It("says at once that a subnet is full where a thousand addresses are looked at", func() {
		container := host.NewContainer()
		up(host, container, "-bridgeAddress", "10.10.0.1/22")
		var batch strings.Builder
		batch.WriteString("link add name a type veth peer name b\n")
		for i := 3; i < 1023; i++ { // 10.10.0.2 is leased
			link := []string{"lo", "a", "b"}[i%3] // the names of one link take 64 KiB at most
			fmt.Fprintf(&batch, "link property add dev %s altname %s\n", link, lease.AddressName("brg0", netip.AddrFrom4([4]byte{10, 10, byte(i >> 8), byte(i)})))
		}
		Expect(host.RunWith(batch.String(), "ip", "-batch", "-").Code).To(Equal(0))
		Expect(refused(host.NewContainer(), "-bridgeAddress", "10.10.0.1/22")).To(ContainSubstring("all of 10.10.0.0/22 are taken"))
	})
})

// fill gives a bridge an even number of ports.
func fill(host *testnet.Host, bridge string, ports int) {
	GinkgoHelper()
	var batch strings.Builder
	for i := range ports / 2 {
		fmt.Fprintf(&batch, "link add a%d master %s type veth peer name b%[1]d\nlink set b%[1]d master %[2]s\n", i, bridge)
	}
	Expect(host.RunWith(batch.String(), "ip", "-batch", "-").Code).To(Equal(0))
}
