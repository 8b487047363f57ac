package main_test

import (
	"fmt"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("a program written against the original's API, with the kernel", Label("root"), Ordered, ContinueOnFailure, func() {
	var (
		program   string
		host      *testnet.Host
		container *testnet.Container
	)

	BeforeAll(func() {
		var err error
		program, err = gexec.BuildWithEnvironment(
			"github.com/netsetgo/netsetgo/cmd/netsetgo/testdata/original", []string{"CGO_ENABLED=0"}, "-buildvcs=false")
		Expect(err).NotTo(HaveOccurred())
	})

	BeforeEach(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
	})

	It("connects a container by the address that it chose", func() {
		succeeds(host.Run(program, "--bridgeName=tower", "--containerAddress=10.10.10.2/24", fmt.Sprintf("--pid=%d", container.Pid)))
		byDefault(func(c *connected) { c.bridge = "tower" }).check(host, container)
		Expect(container.Pings("10.10.10.1")).To(BeTrue())
	})

	It("connects containers by the next free address", func() {
		next := host.NewContainer()
		before := host.State()
		succeeds(host.Run(program, "-pid", strconv.Itoa(container.Pid)))
		succeeds(host.Run(program, "-pid", strconv.Itoa(next.Pid)))
		byDefault(nil).check(host, container)
		Expect(container.Pings(address(next, "veth1"))).To(BeTrue())

		down(host, container)
		down(host, next)
		stays(&host.Process, before)
	})

	It("is told what is wrong, and leaves nothing", func() {
		onHost, inside := host.State(), container.State()
		result := host.Run(program, "-pid", strconv.Itoa(container.Pid), "-containerAddress", "10.10.11.2/24")
		Expect(result.Code).To(Equal(1))
		Expect(result.Stderr).To(And(HavePrefix("ERROR - "), ContainSubstring("10.10.11.2")))
		stays(&host.Process, onHost)
		stays(&container.Process, inside)
	})
})
