package trace_test

import (
	"errors"
	"net"
	"net/netip"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/trace"
	"github.com/netsetgo/netsetgo/configurerfakes"
)

var errBroken = errors.New("broken on purpose")

var _ = Describe("showing changes", Label("unit"), func() {
	var (
		kernel *configurerfakes.FakeKernel
		inner  *configurerfakes.FakeConn
		events []trace.Event
		traced configurer.Kernel
	)

	BeforeEach(func() {
		kernel, inner, events = &configurerfakes.FakeKernel{}, &configurerfakes.FakeConn{}, nil
		kernel.ConnectReturns(inner, nil)
		inner.DoCalls(func(steps ...configurer.Step) []error { return make([]error, len(steps)) })
		traced = trace.Kernel(kernel, func(event trace.Event) { events = append(events, event) })
	})

	connect := func(container *os.File) configurer.Conn {
		GinkgoHelper()
		conn, err := traced.Connect(container)
		Expect(err).NotTo(HaveOccurred())
		return conn
	}
	// shown is the command of a change to the link 7.
	shown := func(conn configurer.Conn) string {
		GinkgoHelper()
		Expect(conn.Do(configurer.Step{Change: configurer.SetUp{Link: 7, Up: true}})).To(Equal([]error{nil}))
		return events[len(events)-1].Command
	}

	It("reports each change once, in order, after it was tried, with its reason and its error", func() {
		inner.DoCalls(func(...configurer.Step) []error {
			Expect(events).To(BeEmpty(), "it isn't said before it is tried")
			return []error{nil, errBroken, configurer.ErrExists}
		})
		errs := connect(nil).Do(
			configurer.Step{Change: configurer.SetMTU{Link: 7, MTU: 1400}, Why: "one"},
			configurer.Step{Change: configurer.SetAlias{Link: 8, Alias: "a b"}, Why: "two"},
			configurer.Step{Change: configurer.DeleteLink{Link: 7}, Why: "three"},
		)
		Expect(errs).To(Equal([]error{nil, errBroken, configurer.ErrExists}))
		Expect(events).To(Equal([]trace.Event{
			{Command: "ip link set dev if7 mtu 1400", Why: "one"},
			{Command: "ip link set dev if8 alias 'a b'", Why: "two", Err: errBroken},
			{Command: "ip link delete dev if7", Why: "three", Err: configurer.ErrExists},
		}))
	})

	It("passes the very steps on, in one go", func() {
		steps := []configurer.Step{
			{Change: configurer.SetUp{Link: 7}, Why: "one"},
			{Change: configurer.AddBridge{Name: "brg0", Index: new(int)}, Why: "two"},
		}
		connect(nil).Do(steps...)
		Expect(inner.DoCallCount()).To(Equal(1))
		Expect(inner.DoArgsForCall(0)).To(Equal(steps))
	})

	DescribeTable("calls a link by the name that was seen", func(see func(conn configurer.Conn)) {
		inner.LinkReturns(configurer.Link{Index: 7, Name: "seen"}, nil)
		inner.LinksReturns([]configurer.Link{{Index: 6, Name: "other"}, {Index: 7, Name: "seen"}}, nil)
		inner.PortsReturns([]configurer.Link{{Index: 6, Name: "other"}, {Index: 7, Name: "seen"}}, nil)
		inner.DoCalls(func(steps ...configurer.Step) []error {
			switch change := steps[0].Change.(type) {
			case configurer.AddBridge:
				*change.Index = 7
			case configurer.AddPair:
				*change.Index = 7
			}
			return make([]error, len(steps))
		})
		conn := connect(nil)
		see(conn)
		Expect(shown(conn)).To(Equal("ip link set dev seen up"))
	},
		Entry("when it was looked for by name", func(conn configurer.Conn) { _, _ = conn.Link(configurer.Which{Name: "seen"}) }),
		Entry("when it was looked for by another name", func(conn configurer.Conn) { _, _ = conn.Link(configurer.Which{Name: "altname"}) }),
		Entry("when it was looked for by number", func(conn configurer.Conn) { _, _ = conn.Link(configurer.Which{Index: 7}) }),
		Entry("among the links of a kind", func(conn configurer.Conn) { _, _ = conn.Links("bridge") }),
		Entry("among the ports of a bridge", func(conn configurer.Conn) { _, _ = conn.Ports(3) }),
		Entry("when it was made, as a bridge", func(conn configurer.Conn) {
			conn.Do(configurer.Step{Change: configurer.AddBridge{Name: "seen", Index: new(int)}})
		}),
		Entry("when it was made, as a pair", func(conn configurer.Conn) {
			conn.Do(configurer.Step{Change: configurer.AddPair{Name: "seen", PeerNamespace: os.Stdin, Index: new(int), CanLock: new(bool)}})
		}),
	)

	It("calls a link as it is called now", func() {
		conn := connect(nil)
		for _, name := range []string{"before", "now"} {
			inner.LinkReturns(configurer.Link{Index: 7, Name: name}, nil)
			_, err := conn.Link(configurer.Which{Index: 7})
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(shown(conn)).To(Equal("ip link set dev now up"))
	})

	It("calls a link that it hasn't seen by its number, as ip takes it, and asks for nothing", func() {
		conn := connect(nil)
		Expect(shown(conn)).To(Equal("ip link set dev if7 up"))
		Expect(inner.Invocations()).To(HaveLen(1), "Do alone")
	})

	It("believes no answer that is an error", func() {
		inner.LinkReturns(configurer.Link{Index: 7, Name: "wrong"}, errBroken)
		conn := connect(nil)
		_, err := conn.Link(configurer.Which{Index: 7})
		Expect(err).To(MatchError(errBroken))
		Expect(shown(conn)).To(Equal("ip link set dev if7 up"))
	})

	It("doesn't mistake a link for that of another namespace with its number", func() {
		inner.LinkReturns(configurer.Link{Index: 7, Name: "host's"}, nil)
		_, err := connect(nil).Link(configurer.Which{Index: 7})
		Expect(err).NotTo(HaveOccurred())
		Expect(shown(connect(os.NewFile(1<<20, "/run/netns/blue")))).To(Equal("ip -netns blue link set dev if7 up"))
	})

	DescribeTable("shows a container's changes in its namespace", func(path, command string) {
		inner.LinkReturns(configurer.Link{Index: 7, Name: "eth0"}, nil)
		conn := connect(os.NewFile(1<<20, path))
		_, err := conn.Link(configurer.Which{Index: 7})
		Expect(err).NotTo(HaveOccurred())
		Expect(shown(conn)).To(Equal(command))
	},
		Entry("by name", "/run/netns/blue", "ip -netns blue link set dev eth0 up"),
		Entry("by path", "/proc/42/ns/net", "nsenter --net=/proc/42/ns/net ip link set dev eth0 up"),
	)

	Describe("everything else", func() {
		read := func(is any, err error) any {
			GinkgoHelper()
			Expect(err).To(MatchError(errBroken))
			return is
		}

		It("goes to the kernel as it is", func() {
			lock := &configurerfakes.FakeLock{}
			kernel.PinReturns(os.Stdin, errBroken)
			kernel.InodeReturns(42, errBroken)
			kernel.TryLockReturns(lock, errBroken)

			file, err := traced.Pin(7)
			Expect(err).To(MatchError(errBroken))
			Expect(file).To(BeIdenticalTo(os.Stdin))
			Expect(kernel.PinArgsForCall(0)).To(Equal(7))

			inode, err := traced.Inode(os.Stderr)
			Expect(err).To(MatchError(errBroken))
			Expect(inode).To(BeEquivalentTo(42))
			Expect(kernel.InodeArgsForCall(0)).To(BeIdenticalTo(os.Stderr))

			held := &configurerfakes.FakeLock{}
			given, err := traced.TryLock(held, true)
			Expect(err).To(MatchError(errBroken))
			Expect(given).To(BeIdenticalTo(lock))
			passed, exclusive := kernel.TryLockArgsForCall(0)
			Expect(passed).To(BeIdenticalTo(held))
			Expect(exclusive).To(BeTrue())
		})

		It("connects as it is asked to, or fails as the kernel does", func() {
			connect(os.Stdin)
			Expect(kernel.ConnectArgsForCall(0)).To(BeIdenticalTo(os.Stdin))
			connect(nil)
			Expect(kernel.ConnectArgsForCall(1)).To(BeNil())
			kernel.ConnectReturns(nil, errBroken)
			conn, err := traced.Connect(nil)
			Expect(err).To(MatchError(errBroken))
			Expect(conn).To(BeNil())
		})

		It("is read as it is of the firewall, with its error", func() {
			set := firewall.PortMaps()[0]
			elements := firewall.Sender(net.HardwareAddr{2, 0, 0, 0, 0, 1}, []netip.Addr{netip.MustParseAddr("10.10.10.2")})
			table := firewall.Outlines()[0]
			at := configurer.TableAt{There: true, Version: "7", Uses: map[string]int{"a": 3}}
			inner.TableReturns(at, errBroken)
			inner.RulesReturns([]configurer.RuleAt{{Chain: "a", Why: "b"}}, errBroken)
			inner.ElementsReturns(elements, errBroken)
			inner.FindReturns(elements, errBroken)
			inner.BlocksReturns([]configurer.Block{{Family: "ip", In: []string{"brg0"}}}, errBroken)
			inner.SysctlReturns("1", errBroken)
			inner.PortMACsReturns([]net.HardwareAddr{{2, 0, 0, 0, 0, 1}}, errBroken)
			conn := connect(nil)

			Expect(read(conn.Table(table))).To(Equal(at))
			Expect(inner.TableArgsForCall(0)).To(Equal(table))
			Expect(read(conn.Rules(firewall.Bridge))).To(Equal([]configurer.RuleAt{{Chain: "a", Why: "b"}}))
			Expect(inner.RulesArgsForCall(0)).To(Equal(firewall.Bridge))
			Expect(read(conn.Elements(set))).To(Equal(elements))
			Expect(inner.ElementsArgsForCall(0)).To(Equal(set))
			Expect(read(conn.Find(elements...))).To(Equal(elements))
			Expect(inner.FindArgsForCall(0)).To(Equal(elements))
			Expect(read(conn.Blocks())).To(Equal([]configurer.Block{{Family: "ip", In: []string{"brg0"}}}))
			Expect(read(conn.Sysctl("net/ipv4/ip_forward"))).To(Equal("1"))
			Expect(inner.SysctlArgsForCall(0)).To(Equal("net/ipv4/ip_forward"))
			Expect(read(conn.PortMACs(configurer.Link{Index: 7}))).To(Equal([]net.HardwareAddr{{2, 0, 0, 0, 0, 1}}))
			Expect(inner.PortMACsArgsForCall(0)).To(Equal(configurer.Link{Index: 7}))
			Expect(events).To(BeEmpty())
		})

		It("is read as it is, with its error", func() {
			link := configurer.Link{Index: 7, Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Altnames: []string{"a"}}
			address := netip.MustParsePrefix("10.0.0.1/8")
			way := configurer.Route{Route: netsetgo.Route{Destination: address.Masked()}, Link: 7}
			inner.LinkReturns(link, errBroken)
			inner.LinksReturns([]configurer.Link{link}, errBroken)
			inner.PortsReturns([]configurer.Link{link}, errBroken)
			inner.PeerReturns(link, errBroken)
			inner.CountersReturns(map[int]configurer.Counters{7: {Received: 9}}, errBroken)
			inner.AddressesReturns([]netip.Prefix{address}, errBroken)
			inner.RoutesReturns([]configurer.Route{way}, errBroken)
			inner.RouteToReturns(way, errBroken)
			inner.UplinksReturns([]configurer.Uplink{{Link: 7, IPv6: true}}, errBroken)
			inner.NamespaceIDReturns(7, errBroken)
			inner.NamespaceLivesReturns(true, errBroken)
			inner.CloseReturns(errBroken)
			conn := connect(nil)
			Expect(read(conn.Link(configurer.Which{Name: "eth0"}))).To(Equal(link))
			Expect(inner.LinkArgsForCall(0)).To(Equal(configurer.Which{Name: "eth0"}))
			Expect(read(conn.Links("veth"))).To(Equal([]configurer.Link{link}))
			Expect(inner.LinksArgsForCall(0)).To(Equal("veth"))
			Expect(read(conn.Ports(3))).To(Equal([]configurer.Link{link}))
			Expect(inner.PortsArgsForCall(0)).To(Equal(3))
			Expect(read(conn.Peer(link))).To(Equal(link))
			Expect(inner.PeerArgsForCall(0)).To(Equal(link))
			Expect(read(conn.Counters())).To(Equal(map[int]configurer.Counters{7: {Received: 9}}))
			Expect(read(conn.Addresses(3))).To(Equal([]netip.Prefix{address}))
			Expect(inner.AddressesArgsForCall(0)).To(Equal(3))
			Expect(read(conn.Routes())).To(Equal([]configurer.Route{way}))
			Expect(read(conn.RouteTo(address.Addr()))).To(Equal(way))
			Expect(inner.RouteToArgsForCall(0)).To(Equal(address.Addr()))
			Expect(read(conn.Uplinks())).To(Equal([]configurer.Uplink{{Link: 7, IPv6: true}}))
			Expect(read(conn.NamespaceID(os.Stdin))).To(Equal(7))
			Expect(inner.NamespaceIDArgsForCall(0)).To(BeIdenticalTo(os.Stdin))
			Expect(read(conn.NamespaceLives(5))).To(BeTrue())
			Expect(inner.NamespaceLivesArgsForCall(0)).To(Equal(5))
			Expect(conn.Close()).To(MatchError(errBroken))
			Expect(inner.CloseCallCount()).To(Equal(1))
			Expect(events).To(BeEmpty())
		})
	})
})
