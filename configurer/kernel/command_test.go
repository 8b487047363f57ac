package kernel_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// place is a host of a spec's own with one container, prepared by a script that gives
// each link a MAC, so that two places with the same script are equal.
type place struct {
	host      *testnet.Host
	container *testnet.Container
	conn      configurer.Conn
	namespace *os.File // the container's
}

// Without automatic IPv6, whose addresses change by themselves for a second.
const prepared = `
	ip link add name brg0 address 02:00:00:00:00:01 type bridge
	ip link add name p address 02:00:00:00:00:02 type veth peer name q address 02:00:00:00:00:03
	for link in brg0 p q; do ip link set dev $link addrgenmode none; done
	ip link set dev p master brg0
	ip link add name br.0-x address 02:00:00:00:00:04 type bridge
	for link in brg0 p q; do ip link set dev $link up; done
	ip address add 10.0.0.1/24 brd 10.0.0.255 dev brg0
` + settled

// settled looks at each link, at which the kernel does what it otherwise defers: a carrier
// that came and went before leaves other routes than one that was seen.
const settled = `
	for link in p q brg0; do ip link show dev $link >/dev/null; done
`

func newPlace(script string) place {
	GinkgoHelper()
	host := testnet.NewHost()
	host.Sh(prepared + script + settled)
	p := place{host: host, container: host.NewContainer()}
	p.namespace = openNetwork(p.container.Pid)
	conn, err := kernel.System{}.Connect(openNetwork(host.Pid))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	p.conn = conn
	return p
}

func openNetwork(pid int) *os.File {
	GinkgoHelper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(file.Close)
	return file
}

// index and name are of links on the host.
func (p place) index(name string) int {
	GinkgoHelper()
	return link(p.conn, name).Index
}

func (p place) name(index int) string {
	GinkgoHelper()
	found, err := p.conn.Link(configurer.Which{Index: index})
	Expect(err).NotTo(HaveOccurred())
	return found.Name
}

func (p place) state() string {
	GinkgoHelper()
	return p.host.State() + "\n--- in the container\n" + p.container.State()
}

// pasting is a change that is made and pasted. Of a change that takes something away
// the script adds more than that.
type pasting struct {
	about  string
	script string
	change func(place) configurer.Change
}

// odd is what a shell and a terminal may stumble over. What can't be printed is left
// to another spec.
const odd = "it's \"odd\" $(touch /run/pasted) `touch /run/pasted` $HOME ~ * ? \\ \\n ; & | > < # {a,b} ! é 家 -x"

var pastings = []pasting{
	{"a bridge", "", func(place) configurer.Change {
		return configurer.AddBridge{Name: "brg1", MAC: mac("6e:73:0a:0a:0a:01"), Group: 7238503, Index: new(int)}
	}},
	{"a bridge of a name with dots, dashes and a digit first", "", func(place) configurer.Change {
		return configurer.AddBridge{Name: "1.br_x-y.z", MAC: mac("6e:73:0a:0a:0a:01"), Group: 7238503, Index: new(int)}
	}},
	{"a bridge of a name that is a word of ip's", "", func(place) configurer.Change {
		return configurer.AddBridge{Name: "up", MAC: mac("6e:73:0a:0a:0a:01"), Group: 7238503, Index: new(int)}
	}},
	{"a pair", "", func(p place) configurer.Change { return pairOf(p, "brg0", 1400) }},
	{"a pair of another MTU than its bridge's", "", func(p place) configurer.Change { return pairOf(p, "brg0", 65535) }},
	{
		"a pair on a bridge with dots, which is down", "", func(p place) configurer.Change { return pairOf(p, "br.0-x", 1280) },
	},
	{"no pair any more", "", func(p place) configurer.Change { return configurer.DeleteLink{Link: p.index("p")} }},
	{"no bridge any more", "", func(p place) configurer.Change { return configurer.DeleteLink{Link: p.index("brg0")} }},
	{"up", "ip link set dev q down", func(p place) configurer.Change { return configurer.SetUp{Link: p.index("q"), Up: true} }},
	{"down", "", func(p place) configurer.Change { return configurer.SetUp{Link: p.index("q")} }},
	{"lo, down", "", func(place) configurer.Change { return configurer.SetUp{Link: 1} }},
	{"an MTU", "", func(p place) configurer.Change { return configurer.SetMTU{Link: p.index("p"), MTU: 1281} }},
	{"a MAC", "", func(p place) configurer.Change {
		return configurer.SetMAC{Link: p.index("q"), MAC: mac("6e:73:0a:0a:0a:02")}
	}},
	{"an alias", "", alias("netsetgo next=10.10.10.3 number=1")},
	{"an alias in the place of another", "ip link set dev brg0 alias before", alias("after")},
	{"an odd alias", "", alias(odd)},
	{"an alias that a shell would run", "", alias("$(touch /run/pasted)`touch /run/pasted`;touch /run/pasted")},
	{"no alias any more", "ip link set dev brg0 alias before", alias("")},
	{"no automatic IPv6", "ip link set dev p addrgenmode eui64", func(p place) configurer.Change {
		return configurer.SilenceIPv6{Link: p.index("p")}
	}},
	{"a lease", "", altname("netsetgo:a:brg0:10.10.10.2")},
	{"one more name", "ip link property add dev p altname before", altname("netsetgo:n:eth0:4026531840")},
	{"an id with quotes", "", altname(`netsetgo:c:eth0:it's-"odd"-$(touch` + "`id`" + `)\n;&|<>#*?{a,b}!`)},
	{"an id that is cut", "", altname("netsetgo:c:eth0:" + strings.Repeat("x", 70) + "-0123456789abcdef0123456789abcdef~")},
	{"an id that isn't of ASCII", "", altname("netsetgo:c:eth0:~é家🐘:web-1.2_3")},
	{"an address", "", address("10.1.2.3/20")},
	{"an address without a broadcast address of its own", "", address("10.1.2.3/32")},
	{"an address of two", "", address("10.1.2.2/31")},
	{"an address of the loopback", "ip address flush dev lo", func(place) configurer.Change {
		return configurer.AddAddress{Link: 1, Address: prefix("127.0.0.1/8")}
	}},
	{"no address any more", "ip address add 10.0.0.9/24 dev brg0; ip address add 10.7.0.1/16 dev brg0", func(p place) configurer.Change {
		return configurer.DeleteAddress{Link: p.index("brg0"), Address: prefix("10.0.0.9/24")}
	}},
	{"a default route", "", func(p place) configurer.Change {
		return configurer.AddRoute{Route: routeBy(p.index("brg0"), "0.0.0.0/0", "10.0.0.2", 0)}
	}},
	{"a route with a metric", "", func(p place) configurer.Change {
		return configurer.AddRoute{Route: routeBy(p.index("brg0"), "192.168.0.0/16", "10.0.0.3", 4294967295)}
	}},
	{
		"no default route any more", "ip route add default via 10.0.0.2 proto static; ip route add default via 10.0.0.2 proto static metric 5",
		func(p place) configurer.Change {
			return configurer.DeleteRoute{Route: routeBy(p.index("brg0"), "0.0.0.0/0", "10.0.0.2", 0)}
		},
	},
	{
		"no route with a metric any more",
		"for metric in 1 5 9; do ip route add 192.168.0.0/16 via 10.0.0.2 proto static metric $metric; done",
		func(p place) configurer.Change {
			return configurer.DeleteRoute{Route: routeBy(p.index("brg0"), "192.168.0.0/16", "10.0.0.2", 5)}
		},
	},
}

func pairOf(p place, bridge string, mtu int) configurer.Change {
	return configurer.AddPair{
		Name: "veth0", MAC: mac("fe:73:0a:0a:0a:02"), Master: p.index(bridge), MTU: mtu, Group: 7238503,
		Peer: "eth0", PeerMAC: mac("6e:73:0a:0a:0a:02"), PeerNamespace: p.namespace, Index: new(int),
	}
}

func alias(text string) func(place) configurer.Change {
	return func(p place) configurer.Change { return configurer.SetAlias{Link: p.index("brg0"), Alias: text} }
}

func altname(name string) func(place) configurer.Change {
	return func(p place) configurer.Change { return configurer.AddAltname{Link: p.index("p"), Name: name} }
}

func address(text string) func(place) configurer.Change {
	return func(p place) configurer.Change {
		return configurer.AddAddress{Link: p.index("brg0"), Address: prefix(text)}
	}
}

var _ = Describe("a change and its command", Label("root"), func() {
	BeforeEach(testnet.RequireRoot)

	var entries []TableEntry
	for _, each := range pastings {
		entries = append(entries, Entry(each.about, each))
	}

	DescribeTable("leave the same", func(each pasting) {
		made, pasted := newPlace(each.script), newPlace(each.script)
		// The kernel settles what follows from a change, such as the state of a port, later.
		alike := func() string { return testnet.Changes(made.state(), pasted.state()) }
		Eventually(alike).WithTimeout(20*time.Second).Should(BeEmpty(), "or the spec shows nothing")
		before := made.state()

		command := configurer.Command(each.change(pasted), pasted.name)
		do(made.conn, each.change(made))
		pasted.host.Sh(command)
		Expect(pasted.host.Run("ls", "/run/pasted").Code).NotTo(Equal(0), "%s: what is in a name was run", command)

		Expect(testnet.Changes(before, made.state())).NotTo(BeEmpty(), "nothing was changed")
		Eventually(alike).WithTimeout(20*time.Second).Should(BeEmpty(), "+ is the shell's, behind\n%s", command)
	}, entries)

	It("are tried here for every kind of change there is", func() {
		tried := map[string]bool{}
		p := newPlace("")
		for _, each := range pastings {
			tried[reflect.TypeOf(each.change(p)).Name()] = true
		}
		kinds := changes()
		Expect(kinds).To(HaveLen(len(tried)))
		for _, kind := range kinds {
			Expect(tried).To(HaveKey(kind), "%s has no entry in the table", kind)
		}
	})
})

// changes are the types with a method doing in package configurer, as only a
// configurer.Change has it.
func changes() []string {
	GinkgoHelper()
	paths, err := filepath.Glob("../*.go")
	Expect(err).NotTo(HaveOccurred())
	var found []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		Expect(err).NotTo(HaveOccurred())
		for _, declaration := range file.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Recv == nil || method.Name.Name != "doing" {
				continue
			}
			receiver := method.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			Expect(receiver).To(BeAssignableToTypeOf(&ast.Ident{}))
			found = append(found, receiver.(*ast.Ident).Name)
		}
	}
	return found
}
