package configurer_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
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
		Peer: "eth0", PeerMAC: net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 2}, PeerNamespace: called(namespace), Index: new(int),
	}
}

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
		"ip link add name veth0 up address fe:73:0a:0a:0a:02 mtu 1450 master brg0 group 7238503 numtxqueues 1 numrxqueues 1 " +
			"type veth peer name eth0 address 6e:73:0a:0a:0a:02 mtu 1450 numtxqueues 1 numrxqueues 1 netns blue",
	},
	{
		pairInto("/proc/42/ns/net"),
		"ip link add name veth0 up address fe:73:0a:0a:0a:02 mtu 1450 master brg0 group 7238503 numtxqueues 1 numrxqueues 1 " +
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
		configurer.AddAltname{Link: 4, Name: "netsetgo:c:eth0:$(reboot)"},
		"ip link property add dev veth0 altname 'netsetgo:c:eth0:$(reboot)'",
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
	// Wherever a link is named it may be called anything.
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

// oddTexts are what a container may call itself, and the word that a shell reads it by.
var oddTexts = []struct{ what, text, word string }{
	{"a plain name", "veth0", "veth0"},
	{"everything that is plain", "azAZ09_@%+=:,./-", "azAZ09_@%+=:,./-"},
	{"nothing", "", "''"},
	{"a space", "a b", "'a b'"},
	{"a quote", "it's", `'it'\''s'`},
	{"two quotes", "''", `''\'''\'''`},
	{"double quotes", `a"b`, `'a"b'`},
	{"a backslash", `a\b`, `'a\b'`},
	{"a command", "$(reboot)", "'$(reboot)'"},
	{"an old command", "`reboot`", "'`reboot`'"},
	{"the end of a command", "a;reboot", "'a;reboot'"},
	{"a comment", "#a", "'#a'"},
	{"a home", "~root", "'~root'"},
	{"a pattern", "*", "'*'"},
	{"another alphabet", "schön", "'schön'"},
	{"a line's end", "a\nb", `"$(printf 'a\012b')"`},
	{"a tab", "a\tb", `"$(printf 'a\011b')"`},
	{"an escape sequence", "\x1b[31mred", `"$(printf '\033[31mred')"`},
	{"a deletion", "a\x7f", `"$(printf 'a\177')"`},
	{"a control character beside digits", "\x017", `"$(printf '\0017')"`},
	{"a control character, quotes and a backslash", "\a'\\\"$(reboot)`", "\"$(printf '\\007\\047\\134\"$(reboot)`')\""},
	{"a control character of the upper half", "\u009b31m", `"$(printf '\302\23331m')"`},
	{"a hyphen first, and a control character", "-n\x1b", `"$(printf '\055n\033')"`},
	{"a percent sign beside a control character", "\x1b%s", `"$(printf '\033\045s')"`},
	{"what turns a line round", "a\u202eb", `"$(printf 'a\342\200\256b')"`},
	{"what isn't text", "a\xffb", `"$(printf 'a\377b')"`},
	{"the sign for what isn't text", "a\ufffdb", `"$(printf 'a\357\277\275b')"`},
	{"a letter of another alphabet beside a control character", "ö\r", `"$(printf '\303\266\015')"`},
}

var _ = Describe("quoting for a shell", Label("unit"), func() {
	for _, odd := range oddTexts {
		It("makes one word of "+odd.what, func() {
			Expect(configurer.Quote(odd.text)).To(Equal(odd.word))
		})
	}

	It("makes words that a shell reads as what they were", func() {
		command := `printf '%s\0'`
		var texts []string
		for _, odd := range oddTexts {
			command += " " + configurer.Quote(odd.text)
			texts = append(texts, odd.text)
		}
		all := make([]byte, 0, 255)
		for b := range 255 {
			all = append(all, byte(b)+1) // a name holds no NUL
		}
		for _, text := range append(slices.Clone(texts), string(all)) {
			said, err := exec.Command("sh", "-c", "printf %s "+configurer.Quote(text)).Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(said)).To(Equal(text))
		}
		said, err := exec.Command("sh", "-c", command).Output()
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Split(strings.TrimSuffix(string(said), "\x00"), "\x00")).To(Equal(texts), "many on one line")
	})

	It("makes nothing that a terminal acts on", func() {
		for b := range 256 {
			for _, text := range []string{string([]byte{byte(b)}), string(rune(b))} {
				for _, r := range configurer.Quote(text) {
					Expect(r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f)).To(BeTrue(), "%q of %q", r, text)
				}
			}
		}
	})
})

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
