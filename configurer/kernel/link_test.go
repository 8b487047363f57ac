package kernel_test

import (
	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("reading links", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("finds one by index, name and altname", func() {
		sh(`ip link add name b type bridge
			ip link set dev b address 02:00:00:00:00:09 mtu 1300 group 42 alias "some text" up
			ip link property add dev b altname long-name altname netsetgo:a:ac8d:b:10.0.0.1`)
		conn := connect(nil)
		found := link(conn, "b")
		Expect(found).To(Equal(configurer.Link{
			Index: found.Index, Name: "b", Kind: "bridge", Up: true, MTU: 1300, MAC: mac("02:00:00:00:00:09"),
			Group: 42, Alias: "some text", Altnames: []string{"long-name", "netsetgo:a:ac8d:b:10.0.0.1"},
			PeerNamespace: configurer.SameNamespace, Settings: configurer.Settings{AcceptRA: 1, HasIPv6: true, HasForce: testnet.ForwardsByLink()},
		}))
		Expect(sh("ip -oneline link show b")).To(HavePrefix("%d: b", found.Index))
		for _, which := range []configurer.Which{
			{Index: found.Index},
			{Name: "long-name"},
			{Name: "netsetgo:a:ac8d:b:10.0.0.1"},
			{Name: "b"},
			// The first field that isn't zero decides.
			{Index: found.Index, Name: "nothing"},
		} {
			Expect(conn.Link(which)).To(Equal(found), "%+v", which)
		}
	})

	It("finds both ends of a pair, each with the other's index and namespace", func() {
		container := newNamespace()
		conn, inside := connect(nil), connect(container)
		bridge := addBridge(conn, "b")
		index, peer := addPair(conn, bridge, "host", container, "eth0")
		here, there := link(conn, "host"), link(inside, "eth0")
		Expect(here).To(HaveField("Index", index))
		Expect(there).To(HaveField("Index", peer))
		Expect(here.Peer).To(Equal(peer))
		Expect(there.Peer).To(Equal(index))
		Expect(conn.NamespaceID(container)).To(Equal(here.PeerNamespace))
	})

	It("tells what isn't there", func() {
		conn := connect(nil)
		for _, which := range []configurer.Which{{Index: 999}, {Name: "nothing"}} {
			_, err := conn.Link(which)
			Expect(err).To(MatchErrorStrictly(configurer.ErrNotFound), "%+v", which)
		}
		Expect(conn.NamespaceLives(77)).To(BeFalse())
		_, err := conn.NamespaceID(newNamespace())
		Expect(err).To(MatchErrorStrictly(configurer.ErrNotFound), "a namespace that no link leads to has no number")
	})

	It("sees that a peer's namespace is dying", func() {
		container := newNamespace()
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		index, _ := addPair(conn, bridge, "host", container, "eth0")
		id := link(conn, "host").PeerNamespace
		Expect(conn.NamespaceLives(id)).To(BeTrue())
		Expect(container.Close()).To(Succeed())
		Eventually(func() (bool, error) { return conn.NamespaceLives(id) }).Should(BeFalse())
		Eventually(func() error {
			_, err := conn.Link(configurer.Which{Index: index})
			return err
		}).Should(MatchErrorStrictly(configurer.ErrNotFound))
	})

	It("sees a port's bridge", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		addPair(conn, bridge, "host", newNamespace(), "eth0")
		Expect(link(conn, "host").Master).To(Equal(bridge))
		Expect(link(conn, "b").Master).To(BeZero())
	})

	It("lists bridges, and the ports of one", func() {
		conn := connect(nil)
		Expect(conn.Links("bridge")).To(BeEmpty())
		sh(`ip link add b1 type bridge
			ip link add b2 type bridge
			ip link add p1 type veth peer name p2
			ip link add p3 type veth peer name p4
			ip link set p1 master b1
			ip link set p2 master b1
			ip link set p3 master b2`)
		Expect(names(conn.Links("bridge"))).To(ConsistOf("b1", "b2"))
		Expect(names(conn.Links("nosuchkind"))).To(BeEmpty(), "though the kernel then lists all")
		Expect(names(conn.Ports(link(conn, "b1").Index))).To(ConsistOf("p1", "p2"))
		Expect(names(conn.Ports(link(conn, "b2").Index))).To(ConsistOf("p3"))
		Expect(names(conn.Ports(link(conn, "p4").Index))).To(BeEmpty())
	})

	It("lists more ports than fit into one datagram", func() {
		conn := connect(nil)
		sh(`ip link add name b type bridge
			for i in $(seq 60); do
				echo "link add a$i type veth peer name b$i"
				echo "link set a$i master b"; echo "link set b$i master b"
			done | ip -batch -`)
		Expect(conn.Ports(link(conn, "b").Index)).To(HaveLen(120))
	})
})

func names(links []configurer.Link, err error) ([]string, error) {
	found := make([]string, len(links))
	for i, link := range links {
		found[i] = link.Name
	}
	return found, err
}

var _ = Describe("what the kernel refuses", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("is ErrExists for a name that is taken, here or in the container", func() {
		container := newNamespace()
		in(container, "ip link add taken type bridge")
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		for _, change := range []configurer.Change{
			configurer.AddBridge{Name: "b", MAC: mac("02:00:00:00:00:01"), Group: 7, Index: new(int)},
			pair(bridge, "b", container, "eth0"),
			pair(bridge, "host", container, "taken"),
			configurer.AddAltname{Link: bridge, Name: "b"},
		} {
			Expect(try(conn, change)).To(ConsistOf(And(MatchErrorStrictly(configurer.ErrExists), MatchErrorStrictly(unix.EEXIST))), "%T", change)
		}
		Expect(names(conn.Ports(bridge))).To(BeEmpty())
	})

	It("is ErrExists for a second default route and a second address", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		address := configurer.AddAddress{Link: bridge, Address: prefix("10.0.0.1/24")}
		route := configurer.AddRoute{Route: routeBy(bridge, "0.0.0.0/0", "10.0.0.2", 0)}
		do(conn, configurer.SetUp{Link: bridge, Up: true}, address, route)
		for _, err := range try(conn, address, route) {
			Expect(err).To(MatchErrorStrictly(configurer.ErrExists))
		}
	})

	It("is ErrNotFound for what isn't there", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		do(conn, configurer.SetUp{Link: bridge, Up: true})
		for _, change := range []configurer.Change{
			configurer.DeleteLink{Link: 999},
			configurer.SetUp{Link: 999, Up: true},
			configurer.AddAltname{Link: 999, Name: "other"},
			configurer.AddAddress{Link: 999, Address: prefix("10.0.0.1/24")},
			configurer.DeleteAddress{Link: bridge, Address: prefix("10.0.0.1/24")},
			configurer.DeleteRoute{Route: routeBy(bridge, "10.9.0.0/16", "10.0.0.2", 0)},
		} {
			Expect(try(conn, change)).To(ConsistOf(MatchErrorStrictly(configurer.ErrNotFound)), "%#v", change)
		}
	})

	It("is ErrFull for the 1,024th port, of which nothing is left", func() {
		container := newNamespace()
		conn, inside := connect(nil), connect(container)
		sh(`ip link add name b type bridge
			for i in $(seq 512); do
				echo "link add a$i type veth peer name b$i"
				echo "link set a$i master b"
				if [ $i != 512 ]; then echo "link set b$i master b"; fi
			done | ip -batch -`)
		bridge := link(conn, "b").Index
		Expect(conn.Ports(bridge)).To(HaveLen(1023))
		change := pair(bridge, "host", container, "eth0")
		Expect(try(conn, change)).To(ConsistOf(MatchErrorStrictly(configurer.ErrFull)))
		for _, err := range []error{second(conn.Link(configurer.Which{Name: "host"})), second(inside.Link(configurer.Which{Name: "eth0"}))} {
			Expect(err).To(MatchErrorStrictly(configurer.ErrNotFound))
		}
	})

	It("keeps the errno and the kernel's own words", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		errs := try(conn, configurer.SetMTU{Link: bridge, MTU: 1 << 20})
		Expect(errs).To(HaveLen(1))
		Expect(errs[0]).To(MatchErrorStrictly(unix.EINVAL))
		Expect(errs[0]).To(MatchError("invalid argument (mtu greater than device maximum)"))
		var failure *kernel.Error
		Expect(errs[0]).To(BeAssignableToTypeOf(failure))
		errs = try(conn, configurer.AddRoute{Route: routeBy(bridge, "0.0.0.0/0", "10.0.0.2", 0)})
		Expect(errs[0]).To(MatchErrorStrictly(unix.ENETUNREACH))
		Expect(errs[0]).To(MatchError("network is unreachable (Nexthop has invalid gateway)"))
		Expect(errs[0]).NotTo(MatchErrorStrictly(configurer.ErrNotFound))
	})
})

func second[T any](_ T, err error) error { return err }
