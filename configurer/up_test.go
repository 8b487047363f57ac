package configurer_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

// everyOption is a configuration in which nothing is left to its default.
func everyOption() netsetgo.NetworkConfig {
	ip, subnet, err := net.ParseCIDR("10.20.0.1/16")
	Expect(err).NotTo(HaveOccurred())
	ip6, subnet6, err := net.ParseCIDR("fd20::1/64")
	Expect(err).NotTo(HaveOccurred())
	return netsetgo.NetworkConfig{
		BridgeName: "tower", BridgeIP: ip, Subnet: subnet, ContainerIP: net.ParseIP("10.20.3.4"),
		BridgeIP6: ip6, Subnet6: subnet6, ContainerIP6: net.ParseIP("fd20::7"),
		VethNamePrefix: "v", ContainerInterface: "eth0", ID: "web:1", MTU: 1400,
		MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9},
		Routes: []netsetgo.Route{
			{Destination: netip.MustParsePrefix("192.168.0.0/16"), Gateway: netip.MustParseAddr("10.20.0.9"), Metric: 7},
			{Destination: netip.MustParsePrefix("172.16.0.0/12")},
		},
		DefaultRoute: netsetgo.No,
		NAT:          netsetgo.No, AllowInbound: netsetgo.Yes, Isolated: netsetgo.Yes, SpoofCheck: netsetgo.No,
		Publish: []netsetgo.Publish{
			{HostPort: 8080, ContainerPort: 80, Count: 2, Protocol: "tcp"},
			{HostIP: netip.MustParseAddr("192.0.2.9"), HostPort: 53, ContainerPort: 5353, Count: 1, Protocol: "udp"},
		},
	}
}

// onAnyBridge is a configuration without what it asks of the bridge, and with addresses
// that any bridge has.
func onAnyBridge(config netsetgo.NetworkConfig) netsetgo.NetworkConfig {
	config.BridgeName, config.BridgeIP, config.Subnet, config.ContainerIP, config.MTU = "", nil, nil, nil, 0
	config.BridgeIP6, config.Subnet6, config.ContainerIP6 = nil, nil, nil
	config.NAT, config.AllowInbound, config.Isolated, config.Publish = netsetgo.Default, netsetgo.Default, netsetgo.Default, nil
	config.SpoofCheck = netsetgo.Default
	config.Routes = config.Routes[1:]
	return config
}

var _ = Describe("connecting a container", Label("unit"), func() {
	It("makes these changes, in this order", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{ID: "web:1"}, firstPid)).To(Succeed())
		Expect(strings.Join(w.log, "\n")).To(Equal(`
ip link add brg0 address 6e:73:0a:0a:0a:01 group 7238503 type bridge
ip link set brg0 addrgenmode none
sysctl -w net/ipv6/conf/brg0/accept_ra=0
ip link set brg0 mtu 1450
ip address add 10.10.10.1/24 dev brg0
ip link set brg0 up
ip link set brg0 alias "netsetgo number=0 policy=closed,nat"
nft add table inet
nft add table bridge
nft add element bridges { "brg0" }
nft add element masqueraded { "brg0" }
nft add element same { "brg0" . "brg0" }
sysctl -w net/ipv4/conf/brg0/forwarding=1
ip link set brg0 alias "netsetgo number=0 policy=closed,nat was=2/forwarding:0"
nft add element uplinks { ipv4 . 2 }
sysctl -w net/ipv4/conf/eth0/forwarding=1
ip link add veth0 address fe:73:0a:0a:0a:02 mtu 1450 master brg0 group 7238503 type veth peer veth1 address 6e:73:0a:0a:0a:02 netns c1
ip link set veth0 addrgenmode none
ip link property add dev veth0 altname netsetgo:a:9a37:brg0:10.10.10.2
bridge link set dev veth0 learning off locked on isolated off hairpin off
bridge fdb replace 6e:73:0a:0a:0a:02 dev veth0 master static
nft add element senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }
ip link set veth0 up
ip link set brg0 alias "netsetgo next=10.10.10.3 number=1 policy=closed,nat was=2/forwarding:0"
ip -n c1 link set lo up
ip -n c1 link set veth1 addrgenmode none
ip -n c1 link set veth1 up
ip -n c1 address add 10.10.10.2/24 dev veth1
ip -n c1 route add 0.0.0.0/0 via 10.10.10.1 on link 2
ip link property add dev veth0 altname netsetgo:c:fbb2:veth1:web:1
ip link property add dev veth0 altname netsetgo:n:d479:veth1:4026532001`[1:]))
		w.expectNothingOpen()
	})

	It("leaves this behind", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(`
host
 1: lo up mtu 65536
   inet 127.0.0.1/8
 2: eth0 up mtu 1450 sysctl forwarding=1
 3: brg0 up mtu 1450 type bridge address 6e:73:0a:0a:0a:01 group 7238503 addrgenmode none sysctl forwarding=1 ipv6/accept_ra=0 alias netsetgo next=10.10.10.3 number=1 policy=closed,nat was=2/forwarding:0
   inet 10.10.10.1/24
 4: veth0@c1:veth1 up mtu 1450 master 3 type veth address fe:73:0a:0a:0a:02 group 7238503 addrgenmode none port learning=off,locked,mac=6e:73:0a:0a:0a:02
   altname netsetgo:a:9a37:brg0:10.10.10.2
   altname netsetgo:n:d479:veth1:4026532001
 route 0.0.0.0/0 via 192.0.2.1 on link 2
 table inet
   bridges { "brg0" }
   masqueraded { "brg0" }
   same { "brg0" . "brg0" }
   uplinks { ipv4 . 2 }
 table bridge
   senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }
c1
 1: lo up mtu 65536
   inet 127.0.0.1/8
 2: veth1@host:veth0 up mtu 1450 type veth address 6e:73:0a:0a:0a:02 addrgenmode none
   inet 10.10.10.2/24
 route 0.0.0.0/0 via 10.10.10.1 on link 2
`[1:]))
	})

	It("does what every option asks for", func() {
		w := newWorld(1)
		Expect(w.netset().Up(everyOption(), firstPid)).To(Succeed())
		up := slices.Index(w.log, "ip link set v0 up")
		Expect(up).To(BeNumerically(">", 0))
		Expect(w.log[up:]).NotTo(ContainElement(MatchRegexp(`nft add|bridge link|altname netsetgo:[apu]:`)), "nothing comes in before all that")
		Expect(w.String()).To(Equal(`
host
 1: lo up mtu 65536
   inet 127.0.0.1/8
 2: eth0 up mtu 1450 sysctl forwarding=1
 3: tower up mtu 1400 type bridge address 6e:73:0a:14:00:01 group 7238503 addrgenmode none sysctl forwarding=1 ipv6/accept_ra=0 ipv6/force_forwarding=1 route_localnet=1 alias netsetgo next=10.20.3.5 number=1 policy=open,isolated was=2/forwarding:0
   inet6 fe80::1/64
   inet 10.20.0.1/16
   inet6 fd20::1/64
 4: v0@c1:eth0 up mtu 1400 master 3 type veth address fe:36:e0:3d:cf:e8 group 7238503 addrgenmode none port hairpin,isolated
   altname netsetgo:a:323b:tower:10.20.3.4
   altname netsetgo:a:5793:tower:fd20::7
   altname netsetgo:u:323b:tower:10.20.3.4
   altname netsetgo:p:d382:tcp:8080-8081:80:*
   altname netsetgo:p:83c6:udp:53:5353:192.0.2.9
   altname netsetgo:c:e2ba:eth0:web:1
   altname netsetgo:n:d721:eth0:4026532001
 route 0.0.0.0/0 via 192.0.2.1 on link 2
 table inet
   addressports4 { 192.0.2.9 . udp . 53 : 10.20.3.4 . 5353 }
   bridges { "tower" }
   inbound { "tower" }
   isolated { "tower" }
   ports4 { tcp . 8080 : 10.20.3.4 . 80, tcp . 8081 : 10.20.3.4 . 81 }
   ports6 { tcp . 8080 : fd20::7 . 80, tcp . 8081 : fd20::7 . 81 }
   published4 { 10.20.3.4 }
   published6 { fd20::7 }
   same { "tower" . "tower" }
   uplinks { ipv4 . 2 }
 table bridge
   unchecked { 4 }
c1
 1: lo up mtu 65536
   inet 127.0.0.1/8
 2: eth0@host:v0 up mtu 1400 type veth address 02:00:00:00:00:09 addrgenmode none
   inet 10.20.3.4/16
   inet6 fd20::7/64
 route 192.168.0.0/16 via 10.20.0.9 metric 7 on link 2
 route 172.16.0.0/12 via 10.20.0.1 on link 2
`[1:]))
	})

	It("takes the bridge's MTU where the host has no default route", func() {
		w := newWorld(1)
		w.host().routes = nil
		w.host().addBridge("brg0", "10.10.10.1/24").MTU = 1300
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().named("veth0").MTU).To(Equal(1300))
	})

	It("takes no larger MTU than a pair can have", func() {
		w := newWorld(1)
		w.host().named(uplink).MTU = 65536
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().named("veth0").MTU).To(Equal(65535))
	})

	It("uses a namespace that is open already, and doesn't close it", func() {
		w := newWorld(1)
		file := w.open(w.container(1))
		DeferCleanup(file.Close)
		Expect(w.netset().Up(netsetgo.NetworkConfig{Namespace: file}, 0)).To(Succeed())
		Expect(w.pinned).To(BeEmpty())
		Expect(file.Name()).NotTo(BeEmpty())
		_, err := file.Stat()
		Expect(err).NotTo(HaveOccurred())
	})

	It("works by each side's Apply alone, one after the other", func() {
		w, whole := newWorld(1), newWorld(1)
		Expect(configurer.NewHostConfigurer(w.kernel()).Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.expectNothingOpen()
		Expect(configurer.NewContainerConfigurer(w.kernel()).Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.expectNothingOpen()
		Expect(whole.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(whole.String()))
	})

	It("gives the next container the next address, name and number", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.host().named("netsetgo:a:9ea4:brg0:10.10.10.3").Name).To(Equal("veth1"))
		Expect(w.host().named("brg0").Alias).To(HavePrefix("netsetgo next=10.10.10.4 number=2 "))
	})

	It("doesn't use an address again at once", func() {
		w := newWorld(3)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+2)).To(Succeed())
		Expect(w.host().named("netsetgo:a:e2a1:brg0:10.10.10.4")).NotTo(BeNil())
	})

	It("fails without a process, before anything is changed", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, 7)).To(MatchError(configurer.ErrNoProcess))
		Expect(w.log).To(BeEmpty())
		w.expectNothingOpen()
	})
})

var _ = Describe("connecting a container that is connected", Label("unit"), func() {
	It("changes nothing", func() {
		w := newWorld(1)
		Expect(w.netset().Up(everyOption(), firstPid)).To(Succeed())
		w.log = nil
		Expect(w.netset().Up(everyOption(), firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{ContainerInterface: "eth0"}, firstPid)).To(Succeed())
		Expect(w.log).To(BeEmpty())
		w.expectNothingOpen()
	})

	DescribeTable("changes nothing, whatever its id", func(id string) {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{ID: id}, firstPid)).To(Succeed())
		w.log = nil
		Expect(w.netset().Up(netsetgo.NetworkConfig{ID: id}, firstPid)).To(Succeed())
		Expect(w.log).To(BeEmpty())
	},
		Entry("short", "web"),
		Entry("with colons", "pod:web:1"),
		Entry("too long for a name", strings.Repeat("a", 200)),
		Entry("ending as a cut one does", "web~"),
	)

	It("lists what differs", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{ID: "web"}, firstPid)).To(Succeed())
		w.log = nil
		err := w.netset().Up(netsetgo.NetworkConfig{BridgeName: "other", MTU: 1300, ID: "db"}, firstPid)
		Expect(err).To(MatchError(And(
			ContainSubstring("connecting veth1: it is connected already"),
			ContainSubstring("bridgeName is brg0, asked for is other"),
			ContainSubstring("mtu is 1450, asked for is 1300"),
			ContainSubstring(`id is "web", asked for is "db"`),
			ContainSubstring("netsetgo down"),
		)))
		Expect(w.log).To(BeEmpty())
		w.expectNothingOpen()
	})

	It("connects another interface beside it", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		second := netsetgo.NetworkConfig{ContainerInterface: "eth1", DefaultRoute: netsetgo.No}
		Expect(w.netset().Up(second, firstPid)).To(Succeed())
		Expect(w.container(1).named("eth1").addresses).To(ConsistOf(netip.MustParsePrefix("10.10.10.3/24")))
	})
})
