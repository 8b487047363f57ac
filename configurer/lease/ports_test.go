package lease_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

var _ = Describe("the name of a published port", Label("unit"), func() {
	DescribeTable("is written so, and read back", func(p netsetgo.Publish, name string) {
		Expect(lease.PortName(p)).To(Equal(name))
		Expect(lease.ReadOwner([]string{name})).To(Equal(lease.Owner{Ports: []netsetgo.Publish{p.WithDefaults()}}))
		Expect(lease.PortName(lease.ReadOwner([]string{name}).Ports[0])).To(Equal(name))
	},
		Entry(nil, netsetgo.Publish{HostPort: 8080, ContainerPort: 80}, "netsetgo:p:9f82:tcp:8080:80:*"),
		Entry(nil, netsetgo.Publish{HostPort: 53, ContainerPort: 5353, Protocol: "udp"}, "netsetgo:p:b9d5:udp:53:5353:*"),
		Entry(nil, netsetgo.Publish{HostPort: 8080, ContainerPort: 80, Count: 3}, "netsetgo:p:35ae:tcp:8080-8082:80:*"),
		Entry(nil, netsetgo.Publish{HostIP: netip.MustParseAddr("192.0.2.9"), HostPort: 1, ContainerPort: 1, Protocol: "sctp"}, "netsetgo:p:281d:sctp:1:1:192.0.2.9"),
		Entry(nil, netsetgo.Publish{HostIP: netip.MustParseAddr("0.0.0.0"), HostPort: 1, ContainerPort: 1}, "netsetgo:p:f481:tcp:1:1:0.0.0.0"),
		Entry(nil, netsetgo.Publish{HostIP: netip.MustParseAddr("::"), HostPort: 65535, ContainerPort: 65535}, "netsetgo:p:95e1:tcp:65535:65535:::"),
		Entry(nil, netsetgo.Publish{HostIP: netip.MustParseAddr("2001:db8::9"), HostPort: 64512, ContainerPort: 1, Count: 1024, Protocol: "sctp"},
			"netsetgo:p:6a29:sctp:64512-65535:1:2001:db8::9"),
	)

	It("fits, however long", func() {
		longest := netsetgo.Publish{
			HostIP: netip.MustParseAddr("1111:2222:3333:4444:5555:6666:7777:8888"), HostPort: 64511, ContainerPort: 64512, Count: 1024, Protocol: "sctp",
		}
		Expect(len(lease.PortName(longest))).To(BeNumerically("<=", 127))
	})

	DescribeTable("says nothing where it doesn't parse", func(text string) {
		Expect(lease.ReadOwner([]string{lease.Hashed("netsetgo:p:", text)})).To(Equal(lease.Owner{}))
	},
		Entry("nothing", ""),
		Entry("of another protocol", "icmp:80:80:*"),
		Entry("without an address", "tcp:80:80"),
		Entry("with an address that isn't one", "tcp:80:80:10.0.0"),
		Entry("with no address", "tcp:80:80:"),
		Entry("with an address of a link, whose name may be anything", "tcp:80:80:fe80::1%\x1b[31m"),
		Entry("with a port that isn't a number", "tcp:x:80:*"),
		Entry("with a port that is too high", "tcp:65536:80:*"),
		Entry("with a port below 0", "tcp:-1:80:*"),
		Entry("with a range that ends before it begins", "tcp:81-80:80:*"),
		Entry("with a range without an end", "tcp:80-:80:*"),
		Entry("with a container's port that isn't a number", "tcp:80:x:*"),
	)

	It("stands beside others, which keep their order", func() {
		owner := lease.ReadOwner([]string{"netsetgo:p:2015:tcp:81:80:*", "netsetgo:a:4000:brg0:fd10::2", "netsetgo:p:6e79:tcp:80:80:*", "netsetgo:a:9a37:brg0:10.10.10.2"})
		Expect(owner.Ports).To(HaveExactElements(HaveField("HostPort", 81), HaveField("HostPort", 80)))
		Expect(owner.Addresses).To(Equal([]netip.Addr{netip.MustParseAddr("10.10.10.2"), netip.MustParseAddr("fd10::2")}), "IPv4 first")
		Expect(owner.Bridge).To(Equal("brg0"))
	})
})

var _ = Describe("what a note remembers of uplinks", Label("unit"), func() {
	DescribeTable("is read as it was written", func(note lease.Note, text string) {
		Expect(note.String()).To(Equal(text))
		read, ok := lease.ReadNote(text)
		Expect(ok).To(BeTrue())
		Expect(read).To(Equal(note))
	},
		Entry("a policy", lease.Note{Policy: "closed,nat"}, "netsetgo number=0 policy=closed,nat"),
		Entry("a sysctl", lease.Note{Number: 7, Was: []lease.Was{{2, "forwarding", "0"}}}, "netsetgo number=7 was=2/forwarding:0"),
		Entry("all", lease.Note{
			Next: netip.MustParseAddr("fd10::3"), Number: 1, Policy: "open",
			Was: []lease.Was{{2, "accept_ra", "1"}, {0, "forwarding6", "0"}},
		}, "netsetgo next=fd10::3 number=1 policy=open was=2/accept_ra:1,0/forwarding6:0"),
	)

	DescribeTable("is left out where it doesn't parse", func(was string, expected ...lease.Was) {
		note, ok := lease.ReadNote("netsetgo number=3 was=" + was + " policy=closed")
		Expect(ok).To(BeTrue())
		Expect(note.Was).To(HaveExactElements(expected))
		note.Was = nil
		Expect(note).To(Equal(lease.Note{Number: 3, Policy: "closed"}))
	},
		Entry("nothing", ""),
		Entry("without a value", "2/forwarding"),
		Entry("without a sysctl", "2"),
		Entry("of a link that isn't a number", "eth0/forwarding:0"),
		Entry("beside one that does", "eth0/forwarding:0,3/forwarding:1", lease.Was{3, "forwarding", "1"}),
	)

	It("has room for some uplinks", func() {
		note := lease.Note{Next: netip.MustParseAddr("1111:2222:3333:4444:5555:6666:7777:8888"), Number: 9999, Policy: "closed,nat,isolated"}
		for link := range 6 {
			note.Was = append(note.Was, lease.Was{1000 + link, "forwarding", "0"})
		}
		Expect(len(note.String())).To(BeNumerically("<=", lease.MaxNote))
	})
})

func FuzzPortName(f *testing.F) {
	f.Add("10.0.0.1", 80, 8080, 1, 0)
	f.Add("::", 1, 65535, 1, 1)
	f.Add("", 64512, 1, 1024, 2)
	f.Fuzz(func(t *testing.T, address string, hostPort, containerPort, count, protocol int) {
		p := netsetgo.Publish{HostPort: hostPort, ContainerPort: containerPort, Count: count, Protocol: netsetgo.Protocols[uint(protocol)%3]}
		p.HostIP, _ = netip.ParseAddr(address)
		config := netsetgo.NetworkConfig{Publish: []netsetgo.Publish{p}}
		six, subnet := netip.MustParsePrefix("fd10::1/64"), netip.MustParsePrefix("10.10.10.1/24")
		config.BridgeIP, config.Subnet, config.BridgeIP6, config.Subnet6 = ipNet(subnet, six)
		if config.Validate() != nil {
			t.Skip("Validate doesn't let it through")
		}
		name := lease.PortName(p)
		if len(name) > 127 {
			t.Fatalf("%q has %d bytes", name, len(name))
		}
		if read := lease.ReadOwner([]string{name}).Ports; !reflect.DeepEqual(read, []netsetgo.Publish{p.WithDefaults()}) {
			t.Fatalf("%+v was read back from %q as %+v", p, name, read)
		}
	})
}

func FuzzReadPort(f *testing.F) {
	for _, name := range []string{"tcp:80:80:*", "sctp:64512-65535:1:2001:db8::9", "udp:1-0:1:1.2.3.4", "tcp:0:0:fe80::1%eth0"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range lease.ReadOwner([]string{lease.Hashed("netsetgo:p:", text)}).Ports {
			if p.Count < 1 || p.HostPort < 0 || p.HostPort+p.Count-1 > 65535 {
				t.Fatalf("%q gives %+v", text, p)
			}
			if p.HostIP.Zone() == "" && strings.ContainsAny(p.String(), "\n\x1b\x00") {
				t.Fatalf("%q reaches a terminal", p)
			}
			again := lease.ReadOwner([]string{lease.PortName(p)}).Ports
			if !reflect.DeepEqual(again, []netsetgo.Publish{p}) {
				t.Fatalf("%+v was read back as %+v", p, again)
			}
		}
	})
}
