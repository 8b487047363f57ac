package configurer_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/netip"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// called is a namespace that was opened by a path. Only the path is looked at: the
// number is one that no process has open.
func called(path string) *os.File { return os.NewFile(1<<20, path) }

// linkNames are the names of the links by their indices; one is a container's idea.
func linkNames(index int) string {
	return map[int]string{1: "lo", 3: "brg0", 4: "veth0", 5: "a b"}[index]
}

func route(destination, gateway string, metric int) configurer.Route {
	return configurer.Route{Link: 4, Route: netsetgo.Route{
		Destination: netip.MustParsePrefix(destination), Gateway: netip.MustParseAddr(gateway), Metric: metric,
	}}
}

func pairInto(namespace string) configurer.AddPair {
	return configurer.AddPair{
		Name: "veth0", MAC: net.HardwareAddr{0xfe, 0x73, 10, 10, 10, 2}, Master: 3, MTU: 1450, Group: lease.Group,
		Peer: "eth0", PeerMAC: net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 2}, PeerNamespace: called(namespace), Index: new(int), CanLock: new(bool),
	}
}

var (
	uplinkSet = firewall.Uplink(0, false).Set
	published = firewall.Ports(netsetgo.Publish{HostPort: 53, ContainerPort: 5353, Protocol: "udp"}, []netip.Addr{netip.MustParseAddr("10.10.10.2")})
)

// commandLines has every kind of change, and the line that somebody would type.
var commandLines = []struct {
	change configurer.Change
	line   string
}{
	{
		configurer.AddBridge{Name: "brg0", MAC: net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 1}, Group: lease.Group, Index: new(int)},
		"ip link add name brg0 address 6e:73:0a:0a:0a:01 group 7238503 type bridge",
	},
	{
		pairInto("/run/netns/blue"),
		"ip link add name veth0 address fe:73:0a:0a:0a:02 mtu 1450 master brg0 group 7238503 numtxqueues 1 numrxqueues 1 " +
			"type veth peer name eth0 address 6e:73:0a:0a:0a:02 mtu 1450 numtxqueues 1 numrxqueues 1 netns blue",
	},
	{
		pairInto("/proc/42/ns/net"),
		"ip link add name veth0 address fe:73:0a:0a:0a:02 mtu 1450 master brg0 group 7238503 numtxqueues 1 numrxqueues 1 " +
			"type veth peer name eth0 address 6e:73:0a:0a:0a:02 mtu 1450 numtxqueues 1 numrxqueues 1 netns /proc/42/ns/net",
	},
	{configurer.DeleteLink{Link: 4}, "ip link delete dev veth0"},
	{configurer.SetUp{Link: 1, Up: true}, "ip link set dev lo up"},
	{configurer.SetUp{Link: 4, Up: false}, "ip link set dev veth0 down"},
	{configurer.SetMTU{Link: 3, MTU: 1400}, "ip link set dev brg0 mtu 1400"},
	{configurer.SetMAC{Link: 4, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}, "ip link set dev veth0 address 02:00:00:00:00:09"},
	{configurer.SetAlias{Link: 3, Alias: "netsetgo number=1"}, "ip link set dev brg0 alias 'netsetgo number=1'"},
	{configurer.SetAlias{Link: 3}, "ip link set dev brg0 alias ''"},
	{configurer.SilenceIPv6{Link: 4}, "ip link set dev veth0 addrgenmode none"},
	{
		configurer.AddAltname{Link: 4, Name: "netsetgo:c:0000:eth0:$(reboot)"},
		"ip link property add dev veth0 altname 'netsetgo:c:0000:eth0:$(reboot)'",
	},
	{
		configurer.AddAddress{Link: 4, Address: netip.MustParsePrefix("10.20.3.4/16")},
		"ip address add 10.20.3.4/16 broadcast 10.20.255.255 dev veth0",
	},
	{
		configurer.DeleteAddress{Link: 1, Address: netip.MustParsePrefix("127.0.0.1/8")},
		"ip address delete 127.0.0.1/8 dev lo",
	},
	{
		configurer.AddRoute{Route: route("0.0.0.0/0", "10.10.10.1", 0)},
		"ip route add default via 10.10.10.1 dev veth0 proto static",
	},
	{
		configurer.AddRoute{Route: route("192.168.0.0/16", "10.10.10.9", 7)},
		"ip route add 192.168.0.0/16 via 10.10.10.9 dev veth0 proto static metric 7",
	},
	{
		configurer.DeleteRoute{Route: route("192.168.0.0/16", "10.10.10.9", 7)},
		"ip route delete 192.168.0.0/16 via 10.10.10.9 dev veth0 metric 7",
	},
	{configurer.AddTable{Family: firewall.Inet, Version: "7"}, `nft 'add table inet netsetgo { comment "7"; }'`},
	{configurer.DeleteTable{Family: firewall.Bridge}, "nft 'delete table bridge netsetgo'"},
	{configurer.AddSet{Set: uplinkSet}, "nft 'add set inet netsetgo uplinks { type nf_proto . iface_index; }'"},
	{
		configurer.AddSet{Set: firewall.PortMaps()[0]},
		"nft 'add map inet netsetgo ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }'",
	},
	{
		configurer.AddChain{Chain: firewall.Chain{Family: firewall.Inet, Name: "raw", Type: "filter", Hook: "prerouting", Priority: -300}},
		"nft 'add chain inet netsetgo raw { type filter hook prerouting priority -300; }'",
	},
	{configurer.AddChain{Chain: firewall.Chain{Family: firewall.Inet, Name: "publish"}}, "nft 'add chain inet netsetgo publish'"},
	{
		configurer.AddRule{Chain: firewall.Chain{Family: firewall.Inet, Name: "forward"}, Rule: firewall.Rule{
			Matches: []firewall.Match{{Fields: []firewall.Field{firewall.OutName}, Set: "bridges"}},
			Verdict: firewall.Verdict{Do: firewall.Drop}, Why: "it's closed",
		}},
		`nft 'add rule inet netsetgo forward oifname @bridges drop comment "it'\''s closed"'`,
	},
	{
		configurer.AddElements{Set: uplinkSet, Elements: []firewall.Element{firewall.Uplink(4, false), firewall.Uplink(3, true)}},
		`nft 'add element inet netsetgo uplinks { ipv4 . "veth0", ipv6 . "brg0" }'`,
	},
	{
		configurer.AddElements{Set: published[0].Set, Elements: published[:1]},
		"nft 'add element inet netsetgo ports4 { udp . 53 : 10.10.10.2 . 5353 }'",
	},
	{
		configurer.DeleteElements{Set: published[0].Set, Elements: published[:1]},
		"nft 'delete element inet netsetgo ports4 { udp . 53 }'",
	},
	{configurer.SetSysctl{Key: "net/ipv4/conf/br.7/forwarding", Value: "1"}, "sysctl -w net/ipv4/conf/br.7/forwarding=1"},
	{
		configurer.SetPort{Link: 4, Port: configurer.Port{Learning: true, Isolated: true}},
		"ip link set dev veth0 type bridge_slave learning on locked off isolated on hairpin off group_fwd_mask 65533",
	},
	{
		configurer.SetPort{Link: 4, Port: configurer.Port{Locked: true, Hairpin: true}},
		"ip link set dev veth0 type bridge_slave learning off locked on isolated off hairpin on group_fwd_mask 65533",
	},
	{
		configurer.AddPortMAC{Link: 4, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}},
		"bridge fdb replace 02:00:00:00:00:09 dev veth0 master static",
	},
	{configurer.ForgetFlows{Port: 53}, "conntrack -D -f ipv4 -p udp --dport 53 || true"},
	{configurer.ForgetFlows{IPv6: true, Port: 53}, "conntrack -D -f ipv6 -p udp --dport 53 || true"},
	{
		configurer.AddAddress{Link: 4, Address: netip.MustParsePrefix("fd10::7/64")},
		"ip address add fd10::7/64 nodad dev veth0",
	},
	{
		configurer.AddRoute{Route: route("::/0", "fd10::1", 0)},
		"ip -6 route add default via fd10::1 dev veth0 proto static",
	},
	{
		configurer.DeleteRoute{Route: route("fd99::/16", "fd10::9", 7)},
		"ip -6 route delete fd99::/16 via fd10::9 dev veth0 metric 7",
	},
	// Wherever a link is named it may be called anything.
	{
		configurer.SetPort{Link: 5},
		"ip link set dev 'a b' type bridge_slave learning off locked off isolated off hairpin off group_fwd_mask 65533",
	},
	{configurer.AddPortMAC{Link: 5, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}, "bridge fdb replace 02:00:00:00:00:09 dev 'a b' master static"},
	{configurer.DeleteLink{Link: 5}, "ip link delete dev 'a b'"},
	{configurer.SetUp{Link: 5, Up: true}, "ip link set dev 'a b' up"},
	{configurer.AddAltname{Link: 5, Name: "x"}, "ip link property add dev 'a b' altname x"},
	{
		configurer.DeleteAddress{Link: 5, Address: netip.MustParsePrefix("10.0.0.1/8")},
		"ip address delete 10.0.0.1/8 dev 'a b'",
	},
	{
		configurer.AddAddress{Link: 5, Address: netip.MustParsePrefix("10.0.0.1/8")},
		"ip address add 10.0.0.1/8 broadcast 10.255.255.255 dev 'a b'",
	},
}

var _ = Describe("a change as a command", Label("unit"), func() {
	for _, each := range commandLines {
		It(each.line, func() {
			Expect(configurer.Command(each.change, linkNames)).To(Equal(each.line))
		})
	}

	It("is there for every kind of change: a new one can't go without its line here", func() {
		shown := map[string]bool{}
		for _, each := range commandLines {
			shown[strings.TrimPrefix(fmt.Sprintf("%T", each.change), "configurer.")] = true
		}
		kinds := kindsOfChange()
		Expect(kinds).To(ContainElements("AddBridge", "DeleteRoute"), "they must be found in the source")
		for _, kind := range kinds {
			Expect(shown).To(HaveKey(kind))
		}
	})
})

// kindsOfChange are the types with a method that only a change has.
func kindsOfChange() []string {
	GinkgoHelper()
	files, err := os.ReadDir(".")
	Expect(err).NotTo(HaveOccurred())
	var kinds []string
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, parser.SkipObjectResolution)
		Expect(err).NotTo(HaveOccurred())
		for _, declaration := range parsed.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Recv == nil || method.Name.Name != "doing" {
				continue
			}
			receiver := method.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			kinds = append(kinds, receiver.(*ast.Ident).Name)
		}
	}
	return kinds
}

var _ = Describe("a command for another namespace", Label("unit"), func() {
	DescribeTable("is typed on the host", func(path, command, line string) {
		Expect(configurer.InNamespace(called(path), command)).To(Equal(line))
	},
		Entry("by the name that ip netns has", "/run/netns/blue", "ip link set dev lo up", "ip -netns blue link set dev lo up"),
		Entry("by an odd name", "/run/netns/a b", "ip link set dev lo up", "ip -netns 'a b' link set dev lo up"),
		Entry("by the path of a process", "/proc/42/ns/net", "ip route", "nsenter --net=/proc/42/ns/net ip route"),
		Entry("by an odd path", "/tmp/a b", "ip route", "nsenter --net='/tmp/a b' ip route"),
		Entry("by a path below ip's", "/run/netns/x/blue", "ip route", "nsenter --net=/run/netns/x/blue ip route"),
		Entry("by a path that begins as ip's", "/run/netns2/blue", "ip route", "nsenter --net=/run/netns2/blue ip route"),
		Entry("where it isn't ip", "/run/netns/blue", "sysctl -w net/ipv4/ip_forward=1", "nsenter --net=/run/netns/blue sysctl -w net/ipv4/ip_forward=1"),
		Entry("where it only begins as ip", "/run/netns/blue", "ipset list", "nsenter --net=/run/netns/blue ipset list"),
	)
})
