package kernel_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/ci/thread"
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

// state is what can be seen of both, and the flows of TCP and UDP that the host's kernel
// knows of, without how long it will.
func (p place) state() string {
	GinkgoHelper()
	flows := p.host.Sh(`for family in ipv4 ipv6; do conntrack -L -f $family 2>/dev/null | sed -nE 's/^((tcp|udp) +[0-9]+) [0-9]+/\1/p' | sort; done`)
	return p.host.State() + "\n--- flows\n" + flows + "\n--- in the container\n" + p.container.State()
}

// do makes a change on a thread that is on the host, as netsetgo's is: sysctls and the
// socket of nftables are those of the thread that asks.
func (p place) do(change configurer.Change) error {
	GinkgoHelper()
	return thread.In(openNetwork(p.host.Pid), func() error {
		conn, err := kernel.System{}.Connect(nil)
		if err == nil {
			err = errors.Join(try(conn, change)[0], conn.Close())
		}
		return err
	})
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

var _ = Describe("a change and its command", Label("root"), func() {
	BeforeEach(testnet.RequireRoot)

	var entries []TableEntry
	for _, each := range slices.Concat(pastings, ofFirewall) {
		entries = append(entries, Entry(each.about, each))
	}

	DescribeTable("leave the same", func(each pasting) {
		made, pasted := newPlace(each.script), newPlace(each.script)
		// The kernel settles what follows from a change, such as the state of a port, later.
		alike := func() string { return testnet.Changes(made.state(), pasted.state()) }
		Eventually(alike).WithTimeout(20*time.Second).Should(BeEmpty(), "or the spec shows nothing")
		before := made.state()

		command := configurer.Command(each.change(pasted), pasted.name)
		Expect(made.do(each.change(made))).To(Succeed())
		pasted.host.Sh(command)
		Expect(pasted.host.Run("ls", "/run/pasted").Code).NotTo(Equal(0), "%s: what is in a name was run", command)

		Expect(testnet.Changes(before, made.state())).NotTo(BeEmpty(), "nothing was changed")
		Eventually(alike).WithTimeout(20*time.Second).Should(BeEmpty(), "+ is the shell's, behind\n%s", command)
	}, entries)

	It("are tried here for every kind of change there is", func() {
		tried := map[string]bool{}
		p := newPlace("")
		for _, each := range slices.Concat(pastings, ofFirewall) {
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
