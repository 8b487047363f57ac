package kernel_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// plan are the changes that make a family's table, as configurer makes them.
func plan(family firewall.Family) []configurer.Change {
	var changes []configurer.Change
	for _, table := range firewall.Tables() {
		if table.Family != family {
			continue
		}
		changes = append(changes, configurer.AddTable{Family: family, Version: firewall.Version})
		for _, set := range table.Sets {
			changes = append(changes, configurer.AddSet{Set: set})
		}
		for _, chain := range table.Chains {
			changes = append(changes, configurer.AddChain{Chain: chain})
		}
		for _, chain := range table.Chains {
			for _, rule := range chain.Rules {
				changes = append(changes, configurer.AddRule{Chain: chain, Rule: rule})
			}
		}
	}
	return changes
}

// examples are elements of every set that there is.
func examples() []firewall.Element {
	container := mac("6e:73:0a:0a:0a:02")
	both := append(firewall.Sender(container, []netip.Addr{addr("10.10.10.2"), addr("fd10::2")}), firewall.Unchecked(1))
	both = append(both, firewall.Locked(1, container)...)
	elements := firewall.Policy{NAT: true, Inbound: true, Isolated: true}.Elements("br.0-x")
	elements = append(elements, firewall.Uplink(1, false), firewall.Uplink(1, true), firewall.Router6(), firewall.Carrier(1))
	for _, port := range []netsetgo.Publish{
		{HostPort: 8080, ContainerPort: 80},
		{HostPort: 5353, ContainerPort: 53, Protocol: "udp", HostIP: addr("192.0.2.1")},
		{HostPort: 5353, ContainerPort: 53, Protocol: "sctp", HostIP: addr("2001:db8::1")},
	} {
		elements = append(elements, firewall.Ports(port, []netip.Addr{addr("10.10.10.2"), addr("fd10::2")})...)
	}
	return append(elements, both...)
}

// ofElements are changes of examples, one each.
func ofElements() []configurer.Change {
	var changes []configurer.Change
	for _, element := range examples() {
		changes = append(changes, configurer.AddElements{Set: element.Set, Elements: []firewall.Element{element}})
	}
	for _, element := range examples() {
		changes = append(changes, configurer.DeleteElements{Set: element.Set, Elements: []firewall.Element{element}})
	}
	return append(changes, configurer.DeleteTable{Family: firewall.Inet}, configurer.DeleteTable{Family: firewall.Bridge})
}

// nameOf knows lo, which every namespace has, and no other link.
func nameOf(index int) string {
	if index == 1 {
		return "lo"
	}
	return fmt.Sprintf("link%d", index)
}

// encoded are changes as commands, and below each the message that equals it.
func encoded(changes []configurer.Change) string {
	GinkgoHelper()
	var text strings.Builder
	for i, change := range changes {
		fmt.Fprintf(&text, "# %s\n", configurer.Command(change, nameOf))
		for _, request := range kernel.EncodeFirewall(change, uint32(i+1)) {
			text.WriteString(readable(request.Serialize()) + "\n")
		}
	}
	return text.String()
}

var _ = Describe("messages to nftables", Label("unit"), func() {
	// UPDATE_GOLDEN=1 writes the files anew; what changed is for somebody to read.
	DescribeTable("are those of the golden file", func(name string, changes func() []configurer.Change) {
		path := filepath.Join("testdata", name)
		text := encoded(changes())
		if os.Getenv("UPDATE_GOLDEN") != "" {
			Expect(os.WriteFile(path, []byte(text), 0o644)).To(Succeed())
		}
		want, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(text).To(Equal(string(want)))
	},
		Entry("of what is routed", "inet.golden", func() []configurer.Change { return plan(firewall.Inet) }),
		Entry("of what passes through bridges", "bridge.golden", func() []configurer.Change { return plan(firewall.Bridge) }),
		Entry("of elements", "elements.golden", ofElements),
	)

	It("are of every set there is", func() {
		tried := map[string]bool{}
		for _, element := range examples() {
			tried[string(element.Set.Family)+element.Set.Name] = true
		}
		for _, table := range firewall.Tables() {
			for _, set := range table.Sets {
				Expect(tried).To(HaveKey(string(set.Family) + set.Name))
			}
		}
	})

	It("hold at most 256 elements each", func() {
		var many []firewall.Element
		for i := range 600 {
			many = append(many, firewall.Unchecked(i+1))
		}
		requests := kernel.EncodeFirewall(configurer.AddElements{Set: many[0].Set, Elements: many}, 1)
		Expect(requests).To(HaveLen(3))
		var text string
		for _, request := range requests {
			Expect(len(request.Serialize())).To(BeNumerically("<", 1<<16))
			text += readable(request.Serialize())
		}
		Expect(strings.Count(text, "element ")).To(Equal(600))
	})
})

// shortened is what nft(8) makes of a mask of whole bytes: it loads only those.
var shortened = regexp.MustCompile(`load 4b (@ network header \+ \d+ => reg 1 \])\n *\[ bitwise reg 1 = \( reg 1 & 0x000000ff \) \^ 0x00000000 \]\n`)

// numbers of rules differ from run to run, and so does the order of elements.
var (
	numbersOfRules = regexp.MustCompile(`(?m)^((?:inet|bridge) netsetgo \S+)(?: \d+)+ *$`)
	linesOfSets    = regexp.MustCompile(`(?:\telement .*\n)+`)
)

// listing is a ruleset as `nft --debug=netlink` prints it, without what differs.
func listing(text string) string {
	text = shortened.ReplaceAllString(text, "load 1b $1\n")
	text = numbersOfRules.ReplaceAllString(text, "$1")
	return linesOfSets.ReplaceAllStringFunc(text, func(lines string) string {
		return strings.Join(slices.Sorted(strings.Lines(lines)), "")
	})
}

// tables makes them with all examples in the spec's own namespace, and again by commands
// in another, which it returns.
func tables(conn configurer.Conn) *os.File {
	GinkgoHelper()
	changes := append(plan(firewall.Inet), plan(firewall.Bridge)...)
	for _, element := range examples() {
		changes = append(changes, configurer.AddElements{Set: element.Set, Elements: []firewall.Element{element}})
	}
	do(conn, changes...)
	var commands []string
	for _, change := range changes {
		commands = append(commands, configurer.Command(change, nameOf))
	}
	pasted := newNamespace()
	in(pasted, "%s", strings.Join(commands, "\n"))
	return pasted
}

const (
	list        = "nft list ruleset"
	expressions = "nft --debug=netlink list ruleset"
)

var _ = Describe("the tables that netsetgo makes and those of nft(8)", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("are listed alike", func() {
		pasted := tables(connect(nil))
		text := sh(list)
		Expect(text).To(And(ContainSubstring(`comment "bridges are closed"`), ContainSubstring("elements = { tcp . 8080 : 10.10.10.2 . 80 }")))
		Expect(text).To(Equal(in(pasted, list)))
	})

	It("are the same expressions in the kernel, but for what nft(8) shortens", func() {
		pasted := tables(connect(nil))
		ours, theirs := sh(expressions), in(pasted, expressions)
		Expect(shortened.FindAllString(ours, -1)).To(HaveLen(2), "both rules of 127.0.0.0/8")
		Expect(shortened.FindAllString(theirs, -1)).To(BeEmpty())
		Expect(listing(ours)).To(Equal(listing(theirs)))
	})

	It("are those of the golden file of package firewall, loaded", func() {
		do(connect(nil), append(plan(firewall.Inet), plan(firewall.Bridge)...)...)
		pasted := newNamespace()
		in(pasted, "nft -f ../firewall/testdata/tables.nft")
		Expect(sh(list)).To(Equal(in(pasted, list)))
	})

	It("are listed so that nft(8) can read them again, with all that is in them", func() {
		conn := connect(nil)
		tables(conn)
		text := sh(list)
		sh("nft list ruleset >/run/rules; nft flush ruleset; nft -f /run/rules")
		Expect(sh(list)).To(Equal(text))
		By("being netsetgo's own after that")
		for _, table := range firewall.Tables() {
			Expect(conn.Rules(table.Family)).To(Equal(comments(table)))
		}
		for _, element := range examples() {
			Expect(conn.Find(element)).To(HaveExactElements(element))
		}
	})

	It("are the same when elements are deleted by both", func() {
		conn := connect(nil)
		pasted := tables(conn)
		seen := map[string]bool{} // several ports mark one address
		for _, element := range examples() {
			if text := element.Set.Name + element.String(); !seen[text] {
				seen[text] = true
				change := configurer.DeleteElements{Set: element.Set, Elements: []firewall.Element{element}}
				do(conn, change)
				in(pasted, "%s", configurer.Command(change, nameOf))
			}
		}
		text := sh(list)
		Expect(text).NotTo(ContainSubstring("elements"))
		Expect(text).To(Equal(in(pasted, list)))
	})
})

// comments are the rules of a table as a Reader tells them.
func comments(table firewall.Table) []configurer.RuleAt {
	var all []configurer.RuleAt
	for _, chain := range table.Chains {
		for _, rule := range chain.Rules {
			all = append(all, configurer.RuleAt{Chain: chain.Name, Why: rule.Why})
		}
	}
	return all
}
