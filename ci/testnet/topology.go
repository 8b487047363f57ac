package testnet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// World is a host between others, with containers that nobody has connected yet:
//
//	internet ──┐
//	           ├─ switch ── eth0 of host ── brg0 ── a1, a2
//	lan ───────┘            eth1 of host ── brg1 ── b1, b2
//	                          │
//	                        other
//
// The host reaches all but the LANs by the internet, and forwards nothing. The neighbour on
// the LAN has routes by the host to all that is behind it.
type World struct {
	Host *Host
	// Nodes are all others, by their names. Each is on its link eth0.
	Nodes   map[string]*Process
	servers map[string]*Server
}

// names are the addresses of the world, of IPv4 and of IPv6.
var names = map[string][]string{
	"internet": {"198.51.100.1", "2001:db8:ffff::1"},
	"gateway":  {"192.0.2.254", "2001:db8:1::254"},
	"uplink":   {"192.0.2.1", "2001:db8:1::1"},
	"lan":      {"192.0.2.10", "2001:db8:1::10"},
	"side":     {"172.16.5.1", "2001:db8:5::1"},
	"other":    {"172.16.5.2", "2001:db8:5::2"},
	"brg0":     {"10.10.10.1", "fd10::1"},
	"brg1":     {"10.10.20.1", "fd20::1"},
	"brg2":     {"10.10.30.1", "fd30::1"},
	"a1":       {"10.10.10.2", "fd10::2"},
	"a2":       {"10.10.10.3", "fd10::3"},
	"a3":       {"10.10.10.9", "fd10::9"},
	"b1":       {"10.10.20.2", "fd20::2"},
	"b2":       {"10.10.20.3", "fd20::3"},
	"loopback": {"127.0.0.1"},
}

// Addresses are those of a name of the world, or the one that is written there. Of c1 to c250,
// the bridge is brg2.
func Addresses(name string) []string {
	if addresses, ok := names[name]; ok {
		return addresses
	}
	if number, ok := strings.CutPrefix(name, "c"); ok {
		n, err := strconv.Atoi(number)
		Expect(err).NotTo(HaveOccurred())
		return []string{fmt.Sprintf("10.10.30.%d", n+1), fmt.Sprintf("fd30::%x", n+1)}
	}
	return []string{netip.MustParseAddr(name).String()}
}

// IsContainers says whether an address is one of those that only containers have.
func IsContainers(address netip.Addr) bool {
	for _, subnet := range []string{"10.10.0.0/16", "fd10::/64", "fd20::/64", "fd30::/64"} {
		if netip.MustParsePrefix(subnet).Contains(address) {
			return true
		}
	}
	return false
}

// around makes what is around the host. That addresses are used by nobody else is known
// (accept_dad), and not worth two seconds of waiting.
const around = `
	for n in internet lan other; do
		ip netns exec $n sh -ec '
			echo 0 >/proc/sys/net/ipv4/ip_forward
			echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
			echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad'
	done
	echo 0 >/proc/sys/net/ipv4/ip_forward
	ip -batch - <<-END
		link add eth0 type veth peer name p0 netns switch
		link add eth1 type veth peer name eth0 netns other
	END
	for i in eth0 eth1; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done
	echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad
	ip -batch - <<-END
		link set eth0 up
		address add 192.0.2.1/24 dev eth0
		address add 2001:db8:1::1/64 dev eth0 nodad
		link set eth1 up
		address add 172.16.5.1/24 dev eth1
		address add 2001:db8:5::1/64 dev eth1 nodad
		route add default via 192.0.2.254
		route add default via 2001:db8:1::254
	END
	ip -n switch -batch - <<-END
		link add bridge type bridge mcast_snooping 0
		link add p1 type veth peer name eth0 netns internet
		link add p2 type veth peer name eth0 netns lan
		link set p0 master bridge up
		link set p1 master bridge up
		link set p2 master bridge up
		link set bridge up
	END
	ip -n internet -batch - <<-END
		link set lo up
		link set eth0 up
		address add 192.0.2.254/24 dev eth0
		address add 2001:db8:1::254/64 dev eth0 nodad
		address add 198.51.100.1/32 dev lo
		address add 2001:db8:ffff::1/128 dev lo
	END
	ip -n lan -batch - <<-END
		link set lo up
		link set eth0 up
		address add 192.0.2.10/24 dev eth0
		address add 2001:db8:1::10/64 dev eth0 nodad
		route add 10.10.0.0/16 via 192.0.2.1
		route add 172.16.5.0/24 via 192.0.2.1
		route add 198.51.100.0/24 via 192.0.2.1
		route add fd10::/64 via 2001:db8:1::1
		route add fd20::/64 via 2001:db8:1::1
		route add 2001:db8:5::/64 via 2001:db8:1::1
		route add 2001:db8:ffff::/64 via 2001:db8:1::1
	END
	ip -n other -batch - <<-END
		link set lo up
		link set eth0 up
		address add 172.16.5.2/24 dev eth0
		address add 2001:db8:5::2/64 dev eth0 nodad
		route add default via 172.16.5.1
		route add default via 2001:db8:5::1
	END
	# To look at links settles them, from Linux 6.8 on: else a bridge may begin to forward a second later.
	for i in eth0 eth1; do ip link show $i; done >/dev/null
	for n in internet lan other; do ip -n $n link show eth0; done >/dev/null
	for i in p0 p1 p2 bridge; do ip -n switch link show $i; done >/dev/null
`

// NewWorld makes a world with containers of some names, which ends with the spec.
func NewWorld(containers ...string) *World {
	GinkgoHelper()
	w := &World{Host: NewHost(), Nodes: map[string]*Process{}, servers: map[string]*Server{}}
	for _, name := range append([]string{"switch", "internet", "lan", "other"}, containers...) {
		w.Add(name)
	}
	w.Host.Sh(around)
	return w
}

// Add makes one more container, or one anew under a name whose container is gone.
func (w *World) Add(name string) {
	GinkgoHelper()
	node := w.Host.NewContainer()
	w.Host.Must("ip", "netns", "attach", name, strconv.Itoa(node.Pid))
	w.Nodes[name] = &node.Process
	w.StopServers(name)
}

// End ends a container, and its namespace with it.
func (w *World) End(name string) {
	GinkgoHelper()
	w.StopServers(name)
	w.Host.Must("ip", "netns", "delete", name)
	w.Nodes[name].Kill()
}

// StopServers ends those on a node; they would keep the namespace that they are in.
func (w *World) StopServers(name string) {
	for key, server := range w.servers {
		if strings.HasPrefix(key, name+" ") {
			server.close()
			delete(w.servers, key)
		}
	}
}

// Node is the host, or another of the world.
func (w *World) Node(name string) *Process {
	GinkgoHelper()
	if name == "host" {
		return &w.Host.Process
	}
	Expect(w.Nodes).To(HaveKey(name), "no such node")
	return w.Nodes[name]
}

// Sysctl writes one on the host.
func (w *World) Sysctl(key, value string) {
	GinkgoHelper()
	w.Host.Sh(fmt.Sprintf("echo %s > /proc/sys/%s", value, key))
}

// ShowBridged has the host's firewall see what passes through bridges, or not: "1", as
// modules of iptables leave it, or "0".
func (w *World) ShowBridged(value string) {
	GinkgoHelper()
	for _, name := range []string{"iptables", "ip6tables", "arptables"} {
		w.Sysctl("net/bridge/bridge-nf-call-"+name, value)
	}
}
