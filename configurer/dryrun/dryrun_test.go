package dryrun_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/dryrun"
	"github.com/netsetgo/netsetgo/configurerfakes"
)

var errBroken = errors.New("broken on purpose")

// The rest is shown by whole runs, in configurer/world_dryrun_test.go.
var _ = Describe("a kernel for a dry run", Label("unit"), func() {
	var (
		kernel          *configurerfakes.FakeKernel
		host, container *configurerfakes.FakeConn
		dry             configurer.Kernel
		there           []configurer.Link
		release         string
		releaseFails    error
	)

	BeforeEach(func() {
		release, releaseFails = "6.18.0", nil
		kernel, host, container = &configurerfakes.FakeKernel{}, &configurerfakes.FakeConn{}, &configurerfakes.FakeConn{}
		kernel.ConnectCalls(func(namespace *os.File) (configurer.Conn, error) {
			if namespace != nil {
				return container, nil
			}
			return host, nil
		})
		kernel.InodeReturns(42, nil)
		lo := configurer.Link{Index: 1, Name: "lo", Settings: configurer.Settings{HasIPv6: true, HasForce: true}}
		there = []configurer.Link{
			{Index: 3, Name: "brg0", Kind: "bridge", MTU: 1500},
			{Index: 4, Name: "veth0", Kind: "veth", Master: 3, Altnames: []string{"old"}, Peer: 2, PeerNamespace: 5},
		}
		host.LinkCalls(func(which configurer.Which) (configurer.Link, error) {
			for _, link := range append([]configurer.Link{lo}, there...) {
				if link.Index == which.Index || which.Index == 0 && (link.Name == which.Name || slices.Contains(link.Altnames, which.Name)) {
					return link, nil
				}
			}
			return configurer.Link{}, configurer.ErrNotFound
		})
		container.LinkReturns(configurer.Link{}, configurer.ErrNotFound)
		host.LinksCalls(func(string) ([]configurer.Link, error) { return slices.Clone(there[:1]), nil })
		host.PortsCalls(func(int) ([]configurer.Link, error) { return slices.Clone(there[1:]), nil })
		host.NamespaceIDReturns(5, nil)
		host.SysctlStub = func(key string) (string, error) {
			switch {
			case key == "kernel/osrelease":
				return release, releaseFails
			case strings.HasSuffix(key, "accept_ra"):
				return "1", nil
			}
			return "0", nil
		}
		dry = dryrun.Kernel(kernel)
		DeferCleanup(func() {
			Expect(host.DoCallCount()+container.DoCallCount()).To(BeZero(), "no change reaches the kernel")
		})
	})

	connect := func(namespace *os.File) configurer.Conn {
		GinkgoHelper()
		conn, err := dry.Connect(namespace)
		Expect(err).NotTo(HaveOccurred())
		return conn
	}
	try := func(conn configurer.Conn, change configurer.Change) error {
		GinkgoHelper()
		errs := conn.Do(configurer.Step{Change: change, Why: "to try it"})
		Expect(errs).To(HaveLen(1))
		return errs[0]
	}
	pair := func(name string) configurer.AddPair {
		return configurer.AddPair{
			Name: name, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Master: 3, MTU: 1400, Group: 7,
			Peer: "eth0", PeerMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, PeerNamespace: os.Stdin, Index: new(int), CanLock: new(bool),
		}
	}

	It("refuses a kind of change that it doesn't know", func() {
		type unknown struct{ configurer.Change }
		Expect(try(connect(nil), unknown{})).To(MatchError(ContainSubstring("dryrun_test.unknown isn't known to -dryRun")))
	})

	It("answers each change of many, also after one that is refused", func() {
		conn := connect(nil)
		Expect(conn.Do(
			configurer.Step{Change: configurer.SetMTU{Link: 3, MTU: 1300}},
			configurer.Step{Change: configurer.AddBridge{Name: "veth0", Index: new(int)}},
			configurer.Step{Change: configurer.SetMTU{Link: 99, MTU: 1300}},
			configurer.Step{Change: configurer.SetUp{Link: 3, Up: true}},
		)).To(Equal([]error{nil, configurer.ErrExists, configurer.ErrNotFound, nil}))
		Expect(conn.Link(configurer.Which{Name: "brg0"})).To(And(HaveField("MTU", 1300), HaveField("Up", true)))
		Expect(conn.Link(configurer.Which{Index: 4, Name: "brg0"})).To(HaveField("Name", "veth0"), "the index counts")
	})

	DescribeTable("remembers what is changed of a link, also for who connects later", func(change configurer.Change, is func(*configurer.Link)) {
		Expect(try(connect(nil), change)).To(Succeed())
		expected := there[1]
		is(&expected)
		for _, which := range []configurer.Which{{Index: 4}, {Name: "veth0"}, {Name: "old"}} {
			Expect(connect(nil).Link(which)).To(Equal(expected))
		}
		Expect(connect(nil).Ports(3)).To(Equal([]configurer.Link{expected}))
		Expect(connect(nil).Links("bridge")).To(Equal(there[:1]))
		Expect(there[1].Altnames).To(Equal([]string{"old"}), "what is there stays")
	},
		Entry("MTU", configurer.SetMTU{Link: 4, MTU: 68}, func(link *configurer.Link) { link.MTU = 68 }),
		Entry("MAC", configurer.SetMAC{Link: 4, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}, func(link *configurer.Link) {
			link.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 9}
		}),
		Entry("alias", configurer.SetAlias{Link: 4, Alias: "a"}, func(link *configurer.Link) { link.Alias = "a" }),
		Entry("altname", configurer.AddAltname{Link: 4, Name: "new"}, func(link *configurer.Link) {
			link.Altnames = []string{"old", "new"}
		}),
	)

	DescribeTable("refuses a name that is taken", func(change func(name string) configurer.Change) {
		conn := connect(nil)
		Expect(try(conn, configurer.AddAltname{Link: 3, Name: "lately"})).To(Succeed())
		for _, name := range []string{"brg0", "veth0", "old", "lately"} {
			Expect(try(conn, change(name))).To(Equal(configurer.ErrExists), name)
		}
		Expect(try(conn, configurer.DeleteLink{Link: 4})).To(Succeed())
		Expect(try(conn, change("veth0"))).To(Succeed(), "it is free again")
	},
		Entry("for a bridge", func(name string) configurer.Change { return configurer.AddBridge{Name: name, Index: new(int)} }),
		Entry("for a second name", func(name string) configurer.Change { return configurer.AddAltname{Link: 3, Name: name} }),
	)

	It("makes a bridge", func() {
		change := configurer.AddBridge{Name: "tower", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Group: 7, Index: new(int)}
		conn := connect(nil)
		Expect(try(conn, change)).To(Succeed())
		Expect(*change.Index).To(BeNumerically("<", 0), "no real link has that index")
		made := configurer.Link{
			Index: *change.Index, Name: "tower", Kind: "bridge", MAC: change.MAC, Group: 7, MTU: 1500,
			PeerNamespace: configurer.SameNamespace,
			Settings:      configurer.Settings{AcceptRA: 1, HasIPv6: true, HasForce: true},
		}
		Expect(conn.Link(configurer.Which{Name: "tower"})).To(Equal(made))
		Expect(conn.Links("bridge")).To(Equal([]configurer.Link{there[0], made}))
		Expect(conn.Ports(made.Index)).To(BeEmpty())
		Expect(conn.Addresses(made.Index)).To(BeEmpty())
		asked := host.LinkCallCount()
		_, err := conn.Link(configurer.Which{Index: made.Index - 1})
		Expect(err).To(MatchError(configurer.ErrNotFound))
		Expect(host.LinkCallCount()-asked+host.PortsCallCount()+host.AddressesCallCount()).To(BeZero(),
			"the kernel isn't asked of what isn't there")
	})

	It("lets a port that comes up carry, and with it its bridge", func() {
		conn := connect(nil)
		port, bridge := there[1], there[0]
		Expect(try(conn, configurer.SetUp{Link: port.Index, Up: true})).To(Succeed())
		port.Up, port.Running, bridge.Running = true, true, true
		Expect(connect(nil).Link(configurer.Which{Index: port.Index})).To(Equal(port))
		Expect(connect(nil).Link(configurer.Which{Index: bridge.Index})).To(Equal(bridge))
		Expect(try(conn, configurer.SetUp{Link: port.Index, Up: false})).To(Succeed())
		port.Up, port.Running = false, false
		Expect(connect(nil).Link(configurer.Which{Index: port.Index})).To(Equal(port))
	})

	It("makes a pair, with its two ends in their places", func() {
		change := pair("veth1")
		conn := connect(nil)
		Expect(try(conn, change)).To(Succeed())
		hostLink, err := conn.Link(configurer.Which{Index: *change.Index})
		Expect(err).NotTo(HaveOccurred())
		Expect(hostLink.Peer).To(BeNumerically("<", 0))
		Expect(hostLink).To(Equal(configurer.Link{
			Index: *change.Index, Name: "veth1", Kind: "veth", MTU: 1400, MAC: change.MAC, Master: 3, Group: 7,
			Peer: hostLink.Peer, PeerNamespace: 5, Port: configurer.Port{Learning: true, CanLock: true},
		}))
		peer := configurer.Link{Index: hostLink.Peer, Name: "eth0", Kind: "veth", MTU: 1400, MAC: change.PeerMAC, Peer: hostLink.Index}
		Expect(connect(os.Stdin).Link(configurer.Which{Name: "eth0"})).To(Equal(peer))
		Expect(conn.Ports(3)).To(Equal([]configurer.Link{there[1], hostLink}))
		Expect(container.CloseCallCount()).To(Equal(1), "what was opened to make it is closed")
		Expect(try(conn, pair("veth2"))).To(Equal(configurer.ErrExists), "the peer's name is taken")

		Expect(try(conn, configurer.DeleteLink{Link: hostLink.Index})).To(Succeed())
		for _, end := range []configurer.Conn{conn, connect(os.Stdin)} {
			for _, name := range []string{"veth1", "eth0"} {
				_, err := end.Link(configurer.Which{Name: name})
				Expect(err).To(MatchError(configurer.ErrNotFound))
			}
		}
	})

	DescribeTable("knows by the kernel's version whether ports can be locked", func(version string, is bool) {
		release = version
		conn, change := connect(nil), pair("veth1")
		Expect(try(conn, change)).To(Succeed())
		hostLink, err := conn.Link(configurer.Which{Index: *change.Index})
		Expect(err).NotTo(HaveOccurred())
		Expect(hostLink.Port.CanLock).To(Equal(is))
	},
		Entry(nil, "4.19.0-27-amd64", false),
		Entry(nil, "5.10.0-46-cloud-amd64", false),
		Entry(nil, "5.17.15", false),
		Entry(nil, "5.18.0", true),
		Entry(nil, "6.1.0-56-cloud-amd64", true),
		Entry(nil, "10.0", true),
	)

	It("has no more ports than a bridge can have", func() {
		there = there[:1]
		for n := range 1022 {
			there = append(there, configurer.Link{Index: 10 + n, Name: "p", Master: 3})
		}
		Expect(try(connect(nil), pair("veth1"))).To(Succeed())
		other := pair("veth2")
		other.Peer = "eth1"
		Expect(try(connect(nil), other)).To(Equal(configurer.ErrFull))
	})

	It("gives a namespace that has no number one that no other has", func() {
		host.NamespaceIDReturns(0, configurer.ErrNotFound)
		conn, change := connect(nil), pair("veth1")
		Expect(try(conn, change)).To(Succeed())
		hostLink, err := conn.Link(configurer.Which{Name: "veth1"})
		Expect(err).NotTo(HaveOccurred())
		Expect(conn.NamespaceID(os.Stdin)).To(Equal(hostLink.PeerNamespace))
	})

	It("refuses a route that is there, whatever it leads by", func() {
		way := configurer.Route{Route: netsetgo.Route{Destination: netip.MustParsePrefix("192.168.0.0/16"), Metric: 7}, Link: 2}
		container.RoutesReturns([]configurer.Route{way}, nil)
		conn := connect(os.Stdin)
		other := way
		other.Link, other.Gateway = 9, netip.MustParseAddr("10.10.10.1")
		Expect(try(conn, configurer.AddRoute{Route: other})).To(Equal(configurer.ErrExists))
		other.Metric = 8
		Expect(try(conn, configurer.AddRoute{Route: other})).To(Succeed())
		other.Metric, other.Destination = 7, netip.MustParsePrefix("192.168.0.0/17")
		Expect(try(conn, configurer.AddRoute{Route: other})).To(Succeed())
	})

	It("lets everybody have the lock, and asks nobody", func() {
		for range 2 {
			lock, err := dry.TryLock(nil, true)
			Expect(err).NotTo(HaveOccurred())
			Expect(dry.TryLock(lock, false)).NotTo(BeNil())
			Expect(lock.Release()).To(Succeed())
		}
		Expect(kernel.TryLockCallCount()).To(BeZero())
	})

	It("closes what it opened where it can't go on", func() {
		kernel.InodeReturns(0, errBroken)
		_, err := dry.Connect(os.Stdin)
		Expect(err).To(MatchError(errBroken))
		Expect(container.CloseCallCount()).To(Equal(1))
		Expect(try(connect(nil), pair("veth1"))).To(MatchError(errBroken))
		Expect(container.CloseCallCount()).To(Equal(2))
	})

	DescribeTable("makes no pair where it can't look", func(fail func()) {
		fail()
		conn := connect(nil)
		Expect(try(conn, pair("veth1"))).To(MatchError(errBroken))
		host.LinkReturns(configurer.Link{}, configurer.ErrNotFound)
		_, err := conn.Link(configurer.Which{Name: "veth1"})
		Expect(err).To(MatchError(configurer.ErrNotFound))
	},
		Entry("for the name", func() { host.LinkReturns(configurer.Link{}, errBroken) }),
		Entry("for the peer's name", func() { container.LinkReturns(configurer.Link{}, errBroken) }),
		Entry("for the ports", func() { host.PortsCalls(func(int) ([]configurer.Link, error) { return nil, errBroken }) }),
		Entry("for the namespace", func() { host.NamespaceIDReturns(0, errBroken) }),
		Entry("for the kernel's version", func() { releaseFails = errBroken }),
	)

	It("makes no pair where the version of the kernel is none", func() {
		release = "Linux"
		Expect(try(connect(nil), pair("veth1"))).NotTo(Succeed())
	})

	It("adds no route where it can't look", func() {
		container.RoutesReturns(nil, errBroken)
		Expect(try(connect(os.Stdin), configurer.AddRoute{})).To(MatchError(errBroken))
	})
})
