package configurer_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/trace"
)

// traced is the whole on a kernel, and writes down what it is seen to do.
func traced(kernel configurer.Kernel) (*netsetgo.Netset, *transcript) {
	t := &transcript{}
	kernel = trace.Kernel(kernel, func(event trace.Event) { *t = append(*t, event) })
	host := configurer.NewHostConfigurer(kernel)
	host.Warn = func(string) {} // what is warned of is looked for only then
	return netsetgo.New(host, configurer.NewContainerConfigurer(kernel)), t
}

type transcript []trace.Event

// made are the changes that were made, one a line, without what only builds tables of
// rules.
func (t transcript) made() string {
	var text strings.Builder
	for _, event := range t {
		if event.Err == nil && !buildsTable.MatchString(event.Command) {
			fmt.Fprintf(&text, "%s  # %s\n", event.Command, event.Why)
		}
	}
	return text.String()
}

var buildsTable = regexp.MustCompile(`^nft 'add (set|map|chain|rule) `)

// String has what was refused as well.
func (t transcript) String() string {
	var text strings.Builder
	for _, event := range t {
		fmt.Fprintf(&text, "%s  # %s: %v\n", event.Command, event.Why, event.Err)
	}
	return text.String()
}

// pairMade is the line that makes a pair, with the number of the host link;
// pairRefused that of one whose number was taken.
var (
	pairMade    = regexp.MustCompile(`(?m)^ip link add name ([A-Za-z]+)([0-9]+) .* type veth .*: <nil>$`)
	pairRefused = regexp.MustCompile(`(?m)^ip link add name [A-Za-z]+[0-9]+ .* type veth .*: exists already\n`)
)

// What a dry run doesn't know: the index of a link that it doesn't make, and addresses
// that a link may have given itself.
var (
	byIndex  = regexp.MustCompile(`(?m)^(nft '(?:add|delete) element bridge netsetgo unchecked) \{ [0-9]+ \}`)
	linksOwn = regexp.MustCompile(`(?m)^(ip address add fe80::1/64 .*): exists already$`)
)

// unnumbered is a transcript without what is drawn at random: where the first number
// of a host link is taken, the next ones are.
func (t transcript) unnumbered() string {
	text := pairRefused.ReplaceAllString(t.String(), "")
	text = linksOwn.ReplaceAllString(byIndex.ReplaceAllString(text, "$1 { N }"), "$1: <nil>")
	pair := pairMade.FindStringSubmatch(text)
	if pair == nil {
		return text
	}
	number, err := strconv.Atoi(pair[2])
	Expect(err).NotTo(HaveOccurred())
	onHost := regexp.MustCompile(`(?m)^(ip link (?:add name|.*dev)|bridge fdb .* dev) ` + pair[1] + pair[2] + `\b`)
	text = onHost.ReplaceAllString(text, "$1 "+pair[1]+"N")
	return strings.ReplaceAll(text, fmt.Sprintf("number=%d ", number+1), "number=N+1 ")
}

var _ = Describe("a run that is shown", Label("unit"), func() {
	It("connects a container by these commands", func() {
		w := newWorld(1)
		netset, shown := traced(w.kernel())
		Expect(netset.Up(netsetgo.NetworkConfig{ID: "web:1"}, firstPid)).To(Succeed())
		Expect(shown.made()).To(Equal(`
ip link add name brg0 address 6e:73:0a:0a:0a:01 group 7238503 type bridge  # the containers' bridge; the group is netsetgo's mark
ip link set dev brg0 addrgenmode none  # no IPv6 addresses that nobody asked for
sysctl -w net/ipv6/conf/brg0/accept_ra=0  # no container tells the host a route
ip link set dev brg0 mtu 1450  # what its ports will have
ip address add 10.10.10.1/24 broadcast 10.10.10.255 dev brg0  # the containers' gateway
ip link set dev brg0 up  # the bridge begins to forward
ip link set dev brg0 alias 'netsetgo number=0 policy=closed,nat'  # what the bridge is like
nft 'add table inet netsetgo { comment "5"; }'  # netsetgo's own rules
nft 'add table bridge netsetgo { comment "5"; }'  # netsetgo's own rules
nft 'add element inet netsetgo bridges { "brg0" }'  # what the links of this host ask for
nft 'add element inet netsetgo masqueraded { "brg0" }'  # what the links of this host ask for
nft 'add element inet netsetgo same { "brg0" . "brg0" }'  # what the links of this host ask for
sysctl -w net/ipv4/conf/brg0/forwarding=1  # the host forwards what comes from the bridge
ip link set dev brg0 alias 'netsetgo number=0 policy=closed,nat was=2/forwarding:0'  # remembers how the uplinks were, for the last one out
nft 'add element inet netsetgo uplinks { ipv4 . "eth0" }'  # what comes in by it goes to bridges only
sysctl -w net/ipv4/conf/eth0/forwarding=1  # the host forwards what comes in by its uplinks
ip link add name veth0 address fe:73:0a:0a:0a:02 mtu 1450 master brg0 group 7238503 numtxqueues 1 numrxqueues 1 type veth peer name veth1 address 6e:73:0a:0a:0a:02 mtu 1450 numtxqueues 1 numrxqueues 1 netns /dev/./null  # both ends in their places, nothing is moved
ip link set dev veth0 addrgenmode none  # no IPv6 addresses that nobody asked for
ip link property add dev veth0 altname netsetgo:a:9a37:brg0:10.10.10.2  # leases the address: the kernel gives no name twice
ip link set dev veth0 type bridge_slave learning off locked on isolated off hairpin off group_fwd_mask 65533  # how the bridge treats what the container sends
bridge fdb replace 6e:73:0a:0a:0a:02 dev veth0 master static  # what it sends comes from its own MAC
nft 'add element bridge netsetgo senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }'  # and from its own addresses
ip link set dev veth0 up  # the host's end comes up, now that its rules are in place
ip link set dev brg0 alias 'netsetgo next=10.10.10.3 number=1 policy=closed,nat was=2/forwarding:0'  # where the next run starts to look
nsenter --net=/dev/./null ip link set dev lo up  # a container expects its own 127.0.0.1
nsenter --net=/dev/./null ip link set dev veth1 addrgenmode none  # no IPv6 addresses that nobody asked for
nsenter --net=/dev/./null ip link set dev veth1 up  # the container's end comes up
nsenter --net=/dev/./null ip address add 10.10.10.2/24 broadcast 10.10.10.255 dev veth1  # the address that was leased
nsenter --net=/dev/./null ip route add default via 10.10.10.1 dev veth1 proto static  # all other addresses are beyond the bridge
ip link property add dev veth0 altname netsetgo:c:fbb2:veth1:web:1  # by which down finds it
ip link property add dev veth0 altname netsetgo:n:d479:veth1:4026532001  # whose it is; the last name: now it is complete
`[1:]))
		Expect(w.made).To(Equal(len(*shown)), "and no other change is made")
	})

	It("disconnects the last container by these", func() {
		w := newWorld(1)
		Expect(w.netset().Up(everyOption(), firstPid)).To(Succeed())
		netset, shown := traced(w.kernel())
		Expect(netset.Down(everyOption(), firstPid)).To(Succeed())
		Expect(shown.made()).To(Equal(`
nft 'delete element bridge netsetgo unchecked { "v0" }'  # it is for the container alone
nft 'delete element inet netsetgo ports4 { tcp . 8080, tcp . 8081 }'  # it is for the container alone
nft 'delete element inet netsetgo published4 { 10.20.3.4 }'  # it is for the container alone
nft 'delete element inet netsetgo ports6 { tcp . 8080, tcp . 8081 }'  # it is for the container alone
nft 'delete element inet netsetgo published6 { fd20::7 }'  # it is for the container alone
nft 'delete element inet netsetgo addressports4 { 192.0.2.9 . udp . 53 }'  # it is for the container alone
conntrack -D -f ipv4 -p udp --dport 53 || true  # they went elsewhere so far
ip link delete dev v0  # takes its peer, names, addresses and routes along
sysctl -w net/ipv4/conf/eth0/forwarding=0  # as it was before the first container
nft 'delete table inet netsetgo'  # no bridge is left that it is for
nft 'delete table bridge netsetgo'  # no bridge is left that it is for
ip link delete dev tower  # no port is left on it
`[1:]))
	})

	// Also where it fails: then what undoes it is shown.
	It("says why of each step, wherever it fails, and leaves the same behind as one that isn't", func() {
		for nth := 1; ; nth++ {
			w, plain := newWorld(2), newWorld(2)
			var broken *string // of both the same
			fail := func(w *world, netset *netsetgo.Netset) error {
				broken = w.failing(nth, anyCall, errBroken, false)
				defer func() { w.onCall = nil }()
				if err := netset.Up(everyOption(), firstPid); err != nil {
					return err
				}
				return netset.Down(everyOption(), firstPid)
			}
			netset, shown := traced(w.kernel())
			err := fail(w, netset)
			for _, event := range *shown {
				Expect(event.Why).NotTo(BeEmpty(), event.Command)
				Expect(event.Command).NotTo(MatchRegexp(`\bif-?[0-9]+\b`), "a link is called by its name")
			}
			if err == nil {
				Expect(fail(plain, plain.netset())).To(Succeed())
			} else {
				Expect(fail(plain, plain.netset())).To(MatchError(err.Error()))
			}
			Expect(w.String()).To(Equal(plain.String()))
			Expect(w.calls).To(Equal(plain.calls), "nothing is asked for the sake of showing")
			Expect(w.log).To(Equal(plain.log))
			w.expectNothingOpen()
			if *broken == "" {
				Expect(nth).To(BeNumerically(">", 40), "there must be calls to fail")
				return
			}
		}
	})
})
