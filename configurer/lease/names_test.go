package lease_test

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

var _ = Describe("the names of a host link", Label("unit"), func() {
	It("are written so", func() {
		Expect(lease.AddressName("brg0", netip.MustParseAddr("10.10.10.2"))).To(Equal("netsetgo:a:9a37:brg0:10.10.10.2"))
		Expect(lease.NamespaceName("veth1", 4026532001)).To(Equal("netsetgo:n:d479:veth1:4026532001"))
		Expect(lease.IDName("veth1", "web")).To(Equal("netsetgo:c:ef2b:veth1:web"))
	})

	It("differ within the bytes by which the kernel finds them", func() {
		begin := map[string]bool{}
		for i := range 1000 {
			addr := netip.AddrFrom4([4]byte{10, 10, byte(i >> 8), byte(i)})
			for _, name := range []string{
				lease.AddressName("brg0", addr), lease.NamespaceName("eth0", 4026532000+uint64(i)), lease.IDName("eth0", "a-long-id-of-number-"+strconv.Itoa(i)),
				lease.PortName(netsetgo.Publish{HostPort: 10000 + i, ContainerPort: 80}), lease.UncheckedName("brg0", addr),
			} {
				begin[name[:16]] = true
			}
		}
		Expect(len(begin)).To(BeNumerically(">", 5000-100))
	})

	It("are read back", func() {
		owner := lease.ReadOwner([]string{
			"enp0s3",
			lease.AddressName("br.7", netip.MustParseAddr("10.10.10.2")),
			lease.NamespaceName("eth0", 1<<64-1),
			lease.IDName("eth0", "pod:web:1"),
		})
		Expect(owner).To(Equal(lease.Owner{
			Bridge: "br.7", Addresses: []netip.Addr{netip.MustParseAddr("10.10.10.2")},
			ContainerInterface: "eth0", Inode: 1<<64 - 1, ID: "pod:web:1",
		}))
		Expect(owner.Complete()).To(BeTrue())
	})

	DescribeTable("say nothing where they aren't ours, or don't parse", func(names ...string) {
		Expect(lease.ReadOwner(names)).To(Equal(lease.Owner{}))
		Expect(lease.ReadOwner(names).Complete()).To(BeFalse())
	},
		Entry("none"),
		Entry("others'", "netsetgo", "netsetgo:", "netsetgo:x:eth0:1", "Netsetgo:n:eth0:1", "xnetsetgo:n:6047:eth0:1"),
		Entry("without the hash", "netsetgo:a:brg0:10.10.10.2", "netsetgo:a:brg0:fd10:1::2", "netsetgo:u:brg0:10.10.10.2", "netsetgo:n:eth0:1", "netsetgo:c:veth1:a:b"),
		Entry("with another hash", "netsetgo:a:0000:brg0:10.10.10.2", "netsetgo:n:0000:eth0:1", "netsetgo:u:0000:brg0:10.10.10.2", "netsetgo:p:0000:tcp:80:80:*", "netsetgo:c:0000:eth0:web"),
		Entry("an address that isn't one", "netsetgo:a:dfa9:brg0:10.10.10", "netsetgo:a:fd31:brg0", "netsetgo:a:"),
		Entry("an address with a zone, which may hold anything", "netsetgo:a:7cd2:brg0:fe80::2%eth0"),
		Entry("a namespace that isn't a number", "netsetgo:n:87f1:eth0:x", "netsetgo:n:0502:eth0:-1", "netsetgo:n:4d91:eth0:18446744073709551616", "netsetgo:n:f095:eth0"),
		Entry("an id without an interface", "netsetgo:c:b348:web", "netsetgo:c:"),
	)

	It("aren't complete with an address and an id alone", func() {
		Expect(lease.ReadOwner([]string{"netsetgo:a:9a37:brg0:10.10.10.2", "netsetgo:c:cd1a:eth0:web"}).Complete()).To(BeFalse())
	})

	DescribeTable("name the owner in an error", func(text string, names ...string) {
		Expect(lease.ReadOwner(names).String()).To(Equal(text))
	},
		Entry("by its id", `container "web"`, "netsetgo:c:cd1a:eth0:web", "netsetgo:n:9f60:eth0:7"),
		Entry("by its id, unharmed by what is in it", `container "web\x1b[31m"`, "netsetgo:c:2502:eth0:web\x1b[31m"),
		Entry("by its namespace", `interface "eth0" in network namespace 7`, "netsetgo:n:9f60:eth0:7"),
		Entry("by neither", "an attachment that isn't finished", "netsetgo:a:9a37:brg0:10.10.10.2"),
	)
})

var _ = Describe("the name of an id", Label("unit"), func() {
	const ifname = "fifteen-bytes--"
	room := 127 - len("netsetgo:c:0000:"+ifname+":")

	It("is whole as long as it fits", func() {
		id := strings.Repeat("x", room)
		Expect(lease.IDName(ifname, id)).To(MatchRegexp(`^netsetgo:c:[0-9a-f]{4}:%s:%s$`, ifname, id))
	})

	It("is cut, hashed and ends in ~ where it doesn't fit", func() {
		id := strings.Repeat("x", room+1)
		Expect(lease.IDName(ifname, id)).To(HaveLen(127))
		Expect(lease.IDName(ifname, id)).To(MatchRegexp(`^netsetgo:c:[0-9a-f]{4}:%s:x+-[0-9a-f]{32}~$`, ifname))
	})

	It("is hashed where it ends in ~ of itself", func() {
		Expect(lease.IDName("eth0", "web~")).To(MatchRegexp(`^netsetgo:c:[0-9a-f]{4}:eth0:web~-[0-9a-f]{32}~$`))
	})

	DescribeTable("isn't shared by two", func(one, other string) {
		Expect(lease.IDName(ifname, one)).NotTo(Equal(lease.IDName(ifname, other)))
	},
		Entry("that begin alike", strings.Repeat("x", 200)+"a", strings.Repeat("x", 200)+"b"),
		Entry("of which one is the other's name", strings.Repeat("x", 200),
			lease.IDName(ifname, strings.Repeat("x", 200))[len("netsetgo:c:0000:"+ifname+":"):]),
		Entry("of which one has a ~ more", "web", "web~"),
		Entry("that are both cut within a letter", strings.Repeat("ä", 100), strings.Repeat("ä", 101)),
	)

	It("isn't shared by two interfaces", func() {
		Expect(lease.IDName("eth0", "web")).NotTo(Equal(lease.IDName("eth1", "web")))
	})

	It("stays valid UTF-8 wherever it is cut", func() {
		for shift := range 4 {
			name := lease.IDName(ifname, strings.Repeat("x", shift)+strings.Repeat("𝄞", 60))
			Expect(utf8.ValidString(name)).To(BeTrue(), "%q", name)
			Expect(len(name)).To(BeNumerically("<=", 127))
			Expect(len(name)).To(BeNumerically(">", 127-4))
		}
	})
})

var _ = Describe("the note on a bridge", Label("unit"), func() {
	DescribeTable("is read as it was written", func(note lease.Note, text string) {
		Expect(note.String()).To(Equal(text))
		read, ok := lease.ReadNote(text)
		Expect(ok).To(BeTrue())
		Expect(read).To(Equal(note))
	},
		Entry("new", lease.Note{}, "netsetgo number=0"),
		Entry("used", lease.Note{Next: netip.MustParseAddr("10.10.10.3"), Number: 1}, "netsetgo next=10.10.10.3 number=1"),
		Entry("full", lease.Note{Next: netip.MustParseAddr("255.255.255.254"), Number: 9999}, "netsetgo next=255.255.255.254 number=9999"),
	)

	It("is empty on a bridge that has none", func() {
		note, ok := lease.ReadNote("")
		Expect(ok).To(BeTrue())
		Expect(note).To(Equal(lease.Note{}))
	})

	DescribeTable("is not that of somebody else", func(alias string) {
		note, ok := lease.ReadNote(alias)
		Expect(ok).To(BeFalse())
		Expect(note).To(Equal(lease.Note{}))
	},
		Entry("a text", "uplink of the tower"),
		Entry("one that begins like ours", "netsetgoing next=10.10.10.3"),
		Entry("one that names us later", "not netsetgo next=10.10.10.3"),
	)

	DescribeTable("costs look-ups and no more when it is wrong", func(alias string, note lease.Note) {
		read, ok := lease.ReadNote(alias)
		Expect(ok).To(BeTrue())
		Expect(read).To(Equal(note))
	},
		Entry("without anything", "netsetgo", lease.Note{}),
		Entry("an address that isn't one", "netsetgo next=10.10 number=3", lease.Note{Number: 3}),
		Entry("a number that isn't one", "netsetgo next=10.10.10.3 number=x", lease.Note{Next: netip.MustParseAddr("10.10.10.3")}),
		Entry("a number that is too high", "netsetgo number=10000", lease.Note{}),
		Entry("a number below 0", "netsetgo number=-1", lease.Note{}),
		Entry("what a later version adds", "netsetgo number=4 sysctl=1", lease.Note{Number: 4}),
	)

	It("fits into an alias", func() {
		longest := lease.Note{Next: netip.MustParseAddr("255.255.255.255"), Number: lease.MaxNumber}
		Expect(len(longest.String())).To(BeNumerically("<", 255))
	})
})
