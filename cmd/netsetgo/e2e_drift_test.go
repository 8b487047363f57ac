package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// remedy is what stands between a difference and the command that mends it.
const remedy = "; to mend it: "

// place is a container, and what it is on.
type place struct {
	host      *testnet.Host
	container *testnet.Container
}

// newPlace is a container that `ip netns` knows as blue.
func newPlace() place {
	GinkgoHelper()
	host := testnet.NewHost()
	container := host.NewContainer()
	host.Must("ip", "netns", "attach", "blue", strconv.Itoa(container.Pid))
	return place{host, container}
}

// settleCarriers lets the kernel do now what it does later after a change: from Linux 6.8 on
// to be asked about a link settles its carrier (rtnl_getlink, net/core/rtnetlink.c), and a port's
// comes before its bridge's.
func settleCarriers(where *testnet.Process) {
	GinkgoHelper()
	where.Sh(`
		batch=$(ip -oneline link | sed 's/^[0-9]*: \([^:@]*\).*/link show dev \1/')
		printf '%s\n%s\n' "$batch" "$batch" | ip -batch - >/dev/null
	`)
}

// check returns the lines of `check`. It is run in both forms, which say the same, and
// changes nothing: neither what is on the host and in the container, nor in /run.
func (p place) check(stdin string, flags ...string) []string {
	GinkgoHelper()
	settleCarriers(&p.container.Process)
	settleCarriers(&p.host.Process)
	host, container, run := p.host.State(), p.container.State(), inRun(p.host)
	arguments := append([]string{binary, "check"}, flags...)
	asText := p.host.RunWith(stdin, arguments...)
	asJSON := p.host.RunWith(stdin, append(arguments, "-output", "json")...)
	stays(&p.host.Process, host)
	stays(&p.container.Process, container)
	Expect(inRun(p.host)).To(Equal(run))

	Expect(asText.Stdout).To(MatchRegexp(`\A([^[:cntrl:]]+\n)*\z`))
	lines := strings.Split(strings.TrimSuffix(asText.Stdout, "\n"), "\n")
	if asText.Stdout == "" {
		lines = []string{}
	}
	Expect(asJSON.Stdout).To(And(HavePrefix("["), HaveSuffix("]\n")))
	var differences []struct{ What, Asked, Is, Mend string }
	decoder := json.NewDecoder(strings.NewReader(asJSON.Stdout))
	decoder.DisallowUnknownFields()
	Expect(decoder.Decode(&differences)).To(Succeed())
	Expect(differences).To(HaveLen(len(lines)))
	for i, d := range differences {
		line := d.What + " is missing"
		if d.Is != "missing" {
			line = fmt.Sprintf("%s is %s, asked for is %s", d.What, d.Is, d.Asked)
		}
		Expect(lines[i]).To(Equal(strings.ReplaceAll(line+remedy+d.Mend, "\x1b", "\uFFFD")))
		Expect(d.Asked).NotTo(BeEmpty())
	}
	code := 0
	if len(lines) > 0 {
		code = 3
	}
	for _, result := range []testnet.Result{asText, asJSON} {
		Expect(result.Stderr).To(BeEmpty())
		Expect(result.Code).To(Equal(code))
	}
	return lines
}

// paste types the remedies of some lines into a shell, one after another, and returns
// what that said of those that failed.
func (p place) paste(lines []string) []string {
	GinkgoHelper()
	var failed []string
	for _, line := range lines {
		_, command, found := strings.Cut(line, remedy)
		Expect(found).To(BeTrue(), line)
		result := p.host.Run("env", "PATH="+filepath.Dir(binary)+":/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", command)
		if result.Code != 0 || reports.ReplaceAllString(result.Stdout+result.Stderr, "") != "" {
			failed = append(failed, command+": "+result.Stderr)
		}
	}
	return failed
}

// What check says of a port that was off its bridge, behind how it is, and of the MAC that
// goes with it.
const (
	portMend = "learning off locked on isolated off hairpin off"
	portLost = " locked off isolated off hairpin off, asked for is " + portMend +
		"; to mend it: ip link set dev veth0 type bridge_slave " + portMend + " group_fwd_mask 65533"
	// A link that is no port doesn't tell whether it can be locked.
	lockedAlone = "locked, or not,"
	macLost     = "MAC known of port veth0 is missing; to mend it: bridge fdb replace 6e:73:0a:0a:0a:02 dev veth0 master static"
)

var _ = Describe("the verb check, when something was changed by hand", Label("root"), func() {
	var p place
	BeforeEach(func() { p = newPlace() })

	fill := func(text string) string {
		if !testnet.LocksPorts() {
			text = strings.ReplaceAll(text, "locked on", "locked off") // rules see to it
		}
		text = strings.ReplaceAll(text, lockedAlone, "locked on")
		return strings.NewReplacer(
			"OWNER", ownerOf(p.container),
			"ANEW", "netsetgo down -netns=blue; netsetgo up -netns=blue",
		).Replace(text)
	}
	DescribeTable("says so, and which command mends it", func(flags, change string, lines ...string) {
		arguments := append([]string{"-netns", "blue"}, strings.Fields(flags)...)
		succeeds(execute(p.host, arguments...))
		succeeds(execute(p.host, append([]string{"check"}, arguments...)...))
		p.host.Sh(fill(change))
		for i := range lines {
			lines[i] = fill(lines[i])
		}
		found := p.check("", arguments...)
		Expect(found).To(Equal(lines))
		Expect(p.paste(found)).To(BeEmpty())
		succeeds(execute(p.host, append([]string{"check"}, arguments...)...))
		Expect(p.container.Pings("10.10.10.1")).To(BeTrue())
	},
		Entry("the host link's state", "", "ip link set dev veth0 down",
			"state of veth0 is down, asked for is up; to mend it: ip link set dev veth0 up"),
		Entry("the host link's MTU", "-mtu 1400", "ip link set dev veth0 mtu 1300",
			"MTU of veth0 is 1300, asked for is 1400; to mend it: ip link set dev veth0 mtu 1400"),
		Entry("the host link's bridge, to none", "", "ip link set dev veth0 nomaster",
			"master of veth0 is none, asked for is brg0; to mend it: ip link set dev veth0 master brg0",
			"port veth0 is learning off"+strings.ReplaceAll(portLost, "locked on", lockedAlone), macLost),
		Entry("the host link's bridge, to another", "", "ip link add name lab type bridge; ip link set dev lab addrgenmode none; ip link set dev lab up; ip link set dev veth0 master lab",
			"master of veth0 is lab, asked for is brg0; to mend it: ip link set dev veth0 master brg0",
			"port veth0 is learning on"+portLost, macLost),
		Entry("the host link's group", "", "ip link set dev veth0 group 7",
			"group of veth0 is 7, asked for is 7238503; to mend it: ip link set dev veth0 group 7238503"),
		Entry("the host link's name", "", "ip link set dev veth0 down; ip link set dev veth0 name mine up",
			"name of the host link is mine, asked for is veth and a number; to mend it: ANEW"),
		Entry("the name of an address that was leased", "", "ip link property del dev veth0 altname netsetgo:a:9a37:brg0:10.10.10.2",
			"lease of veth0 is missing; to mend it: ANEW"),
		Entry("the name of an address that was asked for", "-containerAddress 10.10.10.9", "ip link property del dev veth0 altname netsetgo:a:e11a:brg0:10.10.10.9",
			"name netsetgo:a:e11a:brg0:10.10.10.9 of veth0 is missing; to mend it: ip link property add dev veth0 altname netsetgo:a:e11a:brg0:10.10.10.9"),
		Entry("the name of the id", `-id it's"web`, `ip link property del dev veth0 altname "netsetgo:c:c5a5:veth1:it's\"web"`,
			`name netsetgo:c:c5a5:veth1:it's"web of veth0 is missing; to mend it: ip link property add dev veth0 altname 'netsetgo:c:c5a5:veth1:it'\''s"web'`),
		Entry("the name of the namespace", "", "ip link property del dev veth0 altname OWNER",
			"name OWNER of veth0 is missing; to mend it: ip link property add dev veth0 altname OWNER"),

		Entry("the bridge's state", "", "ip link set dev brg0 down",
			"state of brg0 is down, asked for is up; to mend it: ip link set dev brg0 up"),
		Entry("the bridge's address", "", "ip address delete 10.10.10.1/24 dev brg0; ip address add 10.10.10.7/24 dev brg0",
			"address of brg0 is [10.10.10.7/24], asked for is 10.10.10.1/24; to mend it: ip address add 10.10.10.1/24 broadcast 10.10.10.255 dev brg0"),
		Entry("the bridge's address, to none", "", "ip address flush dev brg0",
			"address of brg0 is none, asked for is 10.10.10.1/24; to mend it: ip address add 10.10.10.1/24 broadcast 10.10.10.255 dev brg0"),
		Entry("the bridge's MAC", "", "ip link set dev brg0 address 02:00:00:00:00:07",
			"MAC of brg0 is 02:00:00:00:00:07, asked for is 6e:73:0a:0a:0a:01; to mend it: ip link set dev brg0 address 6e:73:0a:0a:0a:01"),
		Entry("that there is a bridge", "", "ip link delete brg0",
			"bridge brg0 is missing; to mend it: ANEW"),

		Entry("the state in the container", "", "ip -netns blue link set dev veth1 down",
			"state of veth1 in the container is down, asked for is up; to mend it: ip -netns blue link set dev veth1 up",
			"route 0.0.0.0/0 via 10.10.10.1 of the container is missing; to mend it: ip -netns blue route replace default via 10.10.10.1 dev veth1 proto static"),
		Entry("the MTU in the container", "", "ip -netns blue link set dev veth1 mtu 1300",
			"MTU of veth1 in the container is 1300, asked for is 1500; to mend it: ip -netns blue link set dev veth1 mtu 1500"),
		Entry("the MAC in the container", "", "ip -netns blue link set dev veth1 address 02:00:00:00:00:07",
			"MAC of veth1 in the container is 02:00:00:00:00:07, asked for is 6e:73:0a:0a:0a:02; to mend it: ip -netns blue link set dev veth1 address 6e:73:0a:0a:0a:02"),
		Entry("the MAC in the container, of which one was asked for", "-mac 02:00:00:00:00:2a", "ip -netns blue link set dev veth1 address 02:00:00:00:00:07",
			"MAC of veth1 in the container is 02:00:00:00:00:07, asked for is 02:00:00:00:00:2a; to mend it: ip -netns blue link set dev veth1 address 02:00:00:00:00:2a"),
		Entry("the address in the container", "-defaultRoute=false", "ip -netns blue address flush dev veth1; ip -netns blue address add 10.10.10.2/25 dev veth1",
			"address of veth1 in the container is [10.10.10.2/25], asked for is 10.10.10.2/24; to mend it: ip -netns blue address add 10.10.10.2/24 broadcast 10.10.10.255 dev veth1"),
		Entry("the address in the container, to none", "", "ip -netns blue address delete 10.10.10.2/24 dev veth1",
			"address of veth1 in the container is none, asked for is 10.10.10.2/24; to mend it: ip -netns blue address add 10.10.10.2/24 broadcast 10.10.10.255 dev veth1",
			"route 0.0.0.0/0 via 10.10.10.1 of the container is missing; to mend it: ip -netns blue route replace default via 10.10.10.1 dev veth1 proto static"),
		Entry("the default route", "", "ip -netns blue route delete default",
			"route 0.0.0.0/0 via 10.10.10.1 of the container is missing; to mend it: ip -netns blue route replace default via 10.10.10.1 dev veth1 proto static"),
		Entry("the default route's gateway", "", "ip -netns blue route replace default via 10.10.10.99 dev veth1",
			"route 0.0.0.0/0 via 10.10.10.1 of the container is missing; to mend it: ip -netns blue route replace default via 10.10.10.1 dev veth1 proto static"),
		Entry("the default route, to nowhere", "", "ip -netns blue route delete default; ip -netns blue route add blackhole default",
			"route 0.0.0.0/0 via 10.10.10.1 of the container is missing; to mend it: ip -netns blue route replace default via 10.10.10.1 dev veth1 proto static"),
		Entry("the route of the subnet in the container", "", "ip -netns blue route delete 10.10.10.0/24",
			"route 10.10.10.0/24 by veth1 is missing; to mend it: ip -netns blue route replace 10.10.10.0/24 dev veth1 proto kernel scope link src 10.10.10.2"),
		Entry("the host's route of the subnet", "", "ip route delete 10.10.10.0/24",
			"route 10.10.10.0/24 by brg0 is missing; to mend it: ip route replace 10.10.10.0/24 dev brg0 proto kernel scope link src 10.10.10.1"),
		Entry("the first address in the container", "", "ip -netns blue address flush dev veth1; ip -netns blue address add 10.10.10.77/24 dev veth1; ip -netns blue route add default via 10.10.10.1 proto static",
			"address of veth1 in the container is [10.10.10.77/24], asked for is 10.10.10.2/24; to mend it: ANEW"),
		Entry("the bridge's group", "", "ip link set dev brg0 group 0",
			"group of brg0 is 0, asked for is 7238503; to mend it: ip link set dev brg0 group 7238503"),
		Entry("the host link's group and name, and lo's address", "",
			"ip link set dev veth0 down; ip link set dev veth0 group 0 name mine up; ip -netns blue address delete 127.0.0.1/8 dev lo",
			"address of lo in the container is [::1/128], asked for is 127.0.0.1/8; to mend it: ip -netns blue address add 127.0.0.1/8 dev lo",
			"group of mine is 0, asked for is 7238503; to mend it: ip link set dev mine group 7238503",
			"name of the host link is mine, asked for is veth and a number; to mend it: ANEW"),
		Entry("another route", "-route 192.168.0.0/16,metric=5", "ip -netns blue route delete 192.168.0.0/16",
			"route 192.168.0.0/16 via 10.10.10.1 metric 5 of the container is missing; to mend it: ip -netns blue route replace 192.168.0.0/16 via 10.10.10.1 dev veth1 proto static metric 5"),
		Entry("a route's metric", "-route 192.168.0.0/16", "ip -netns blue route delete 192.168.0.0/16; ip -netns blue route add 192.168.0.0/16 via 10.10.10.1 metric 9",
			"route 192.168.0.0/16 via 10.10.10.1 of the container is missing; to mend it: ip -netns blue route replace 192.168.0.0/16 via 10.10.10.1 dev veth1 proto static"),
		Entry("a route's gateway", "-route 192.168.0.0/16,metric=5,via=10.10.10.9",
			"ip -netns blue route delete 192.168.0.0/16; ip -netns blue route add 192.168.0.0/16 via 10.10.10.8",
			"route 192.168.0.0/16 via 10.10.10.9 metric 5 of the container is missing; to mend it: ip -netns blue route replace 192.168.0.0/16 via 10.10.10.9 dev veth1 proto static metric 5"),
		Entry("that there is no default route", "-defaultRoute=false", "ip -netns blue route add default via 10.10.10.1 proto static",
			"route 0.0.0.0/0 via 10.10.10.1 of the container is present, asked for is none; to mend it: ip -netns blue route delete default via 10.10.10.1 dev veth1"),
		Entry("that there is no default route, by another protocol", "-defaultRoute=false", "ip -netns blue route add default via 10.10.10.1 metric 7",
			"route 0.0.0.0/0 via 10.10.10.1 metric 7 of the container is present, asked for is none; to mend it: ip -netns blue route delete default via 10.10.10.1 dev veth1 metric 7"),
		Entry("that there is no default route, by a link alone", "-defaultRoute=false", "ip -netns blue route add default dev veth1",
			"route 0.0.0.0/0 of the container is present, asked for is none; to mend it: ip -netns blue route delete default dev veth1"),
		Entry("lo's state", "", "ip -netns blue link set dev lo down",
			"state of lo in the container is down, asked for is up; to mend it: ip -netns blue link set dev lo up"),
		Entry("lo's address", "", "ip -netns blue address delete 127.0.0.1/8 dev lo",
			"address of lo in the container is [::1/128], asked for is 127.0.0.1/8; to mend it: ip -netns blue address add 127.0.0.1/8 dev lo"),
		Entry("the name in the container", "-defaultRoute=false", "ip -netns blue link set dev veth1 down; ip -netns blue link set dev veth1 name mine up",
			"name of veth1 in the container is mine, asked for is veth1; to mend it: ANEW -defaultRoute=false"),
		Entry("that there is an interface in the container", "", "ip -netns blue link delete dev veth1",
			"attachment of veth1 is missing; to mend it: ANEW"),
		Entry("where the interface is", "", "ip netns add red; ip -netns blue link set dev veth1 netns red",
			"attachment of veth1 is missing; to mend it: ANEW"),
	)

	It("mends all of it, line by line", func() {
		arguments := []string{
			"-netns", "blue", "-id", "web", "-mtu", "1400",
			"-route", "192.168.0.0/16,metric=5", "-containerAddress", "10.10.10.9",
		}
		succeeds(execute(p.host, arguments...))
		p.host.Sh(fill(`
			ip link set dev veth0 nomaster down mtu 1300
			for name in netsetgo:a:e11a:brg0:10.10.10.9 netsetgo:c:ef2b:veth1:web OWNER; do
				ip link property del dev veth0 altname $name
			done
			ip address flush dev brg0
			ip link set dev brg0 down address 02:00:00:00:00:07
			ip -netns blue link set dev veth1 down mtu 1300 address 02:00:00:00:00:07
			ip -netns blue address flush dev veth1
			ip -netns blue link set dev lo down
		`))
		found := p.check("", arguments...)
		Expect(found).To(HaveLen(18))
		Expect(p.paste(found)).To(BeEmpty())
		succeeds(execute(p.host, append([]string{"check"}, arguments...)...))
		Expect(p.container.Pings("10.10.10.1")).To(BeTrue())
		Expect(p.container.Pings("127.0.0.1")).To(BeTrue())
	})

	It("mends all of it, also where it is connected anew in between", func() {
		arguments := []string{"-netns", "blue", "-route", "192.168.0.0/16"}
		succeeds(execute(p.host, arguments...))
		p.host.Sh(`
			ip link set dev veth0 nomaster down
			ip link set dev brg0 down
			ip -netns blue link set dev veth1 down
			ip -netns blue link set dev veth1 name mine
			ip -netns blue link set dev lo down
		`)
		found := p.check("", arguments...)
		Expect(found).To(ContainElement(HaveSuffix(remedy + "netsetgo down -netns=blue; netsetgo up -netns=blue -route=192.168.0.0/16")))
		p.paste(found) // of which some are done already by then
		succeeds(execute(p.host, append([]string{"check"}, arguments...)...))
		Expect(p.container.Pings("10.10.10.1")).To(BeTrue())
	})
})
