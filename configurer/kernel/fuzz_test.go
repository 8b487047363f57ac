package kernel_test

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/kernel"
)

// FuzzReplies: whatever the kernel answers, a question ends, and what it returns is sound.
func FuzzReplies(f *testing.F) {
	for which := range questions {
		for _, seed := range seeds() {
			f.Add(uint8(which), false, seed)
		}
		whole := framed(seeds()[0], nil)
		f.Add(uint8(which), true, whole)
		f.Add(uint8(which), true, append(whole, framed([]byte{0, 2, 0, 1, 7}, nil)[:17]...)) // not padded
	}
	f.Fuzz(func(t *testing.T, which uint8, raw bool, reply []byte) {
		if len(reply) > 1<<12 {
			t.Skip("long enough to hold whatever a short one can't")
		}
		// Nothing else would end a question that goes on for ever.
		defer time.AfterFunc(10*time.Second, func() { panic("a question has no end") }).Stop()
		asked := 0
		conn := kernel.Answered(func(sent []byte) [][]byte {
			// Each may be asked again where a dump was interrupted, and each entry of one
			// may be a question more.
			if asked++; asked > 100*len(reply)+10_000 {
				t.Fatal("questions without end")
			}
			if raw {
				return [][]byte{answering(reply, numbersOf(sent))}
			}
			return [][]byte{framed(reply, numbersOf(sent))}
		})
		questions[int(which)%len(questions)](t, conn)
	})
}

// numbersOf are the sequence numbers of the requests in a datagram.
func numbersOf(sent []byte) []uint32 {
	var numbers []uint32
	for len(sent) >= unix.SizeofNlMsghdr {
		numbers = append(numbers, binary.NativeEndian.Uint32(sent[8:]))
		length := int(binary.NativeEndian.Uint32(sent))
		sent = sent[min(len(sent), (length+3)&^3):]
	}
	return numbers
}

// answering is a datagram whose messages have the numbers of requests, which their own
// count.
func answering(datagram []byte, numbers []uint32) []byte {
	datagram = slices.Clone(datagram)
	for rest := datagram; len(rest) >= unix.SizeofNlMsghdr && len(numbers) > 0; {
		binary.NativeEndian.PutUint32(rest[8:], numbers[int(rest[8])%len(numbers)])
		length := int(binary.NativeEndian.Uint32(rest)) & 0xffff
		rest = rest[min(len(rest), max(4, (length+3)&^3)):]
	}
	return datagram
}

// kinds are the types of messages that make a difference, by the first byte of one here.
var kinds = []uint16{unix.RTM_NEWLINK, unix.NLMSG_ERROR, unix.NLMSG_DONE, unix.NLMSG_NOOP}

// framed puts whole messages together, each from a kind, flags, the request that it
// answers, the length of its body, and the body.
func framed(text []byte, numbers []uint32) []byte {
	var datagram []byte
	for len(text) >= 4 {
		kind, flags, request := kinds[int(text[0])%len(kinds)], uint16(text[1]&0x13), int(text[2])
		if text[1]&0x80 != 0 {
			flags |= unix.NLM_F_ACK_TLVS
		}
		length := min(int(text[3]), len(text)-4)
		body := text[4 : 4+length]
		text = text[4+length:]
		datagram = binary.NativeEndian.AppendUint32(datagram, uint32(unix.SizeofNlMsghdr+length))
		datagram = binary.NativeEndian.AppendUint16(datagram, kind)
		datagram = binary.NativeEndian.AppendUint16(datagram, flags)
		number := uint32(request)
		if len(numbers) > 0 {
			number = numbers[request%len(numbers)]
		}
		datagram = binary.NativeEndian.AppendUint32(datagram, number)
		datagram = append(datagram, 0, 0, 0, 0)
		datagram = append(datagram, body...)
		datagram = append(datagram, make([]byte, (4-length%4)%4)...)
	}
	return datagram
}

// message is one as framed reads it.
func message(kind, flags byte, body ...[]byte) []byte {
	whole := slices.Concat(body...)
	return append([]byte{kind, flags, 0, byte(len(whole))}, whole...)
}

// attr is an attribute, or a nest of some.
func attr(kind uint16, value ...[]byte) []byte {
	whole := slices.Concat(value...)
	data := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(whole)))
	data = append(binary.NativeEndian.AppendUint16(data, kind), whole...)
	return append(data, make([]byte, (4-len(whole)%4)%4)...)
}

// seeds are an answer of each kind.
func seeds() [][]byte {
	num := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	big := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	done := message(2, 2, num(0))
	fine := message(1, 0, num(0), make([]byte, unix.SizeofNlMsghdr))
	refused := message(1, 0x80, num(^uint32(unix.EEXIST)+1), make([]byte, unix.SizeofNlMsghdr), attr(nl.NLMSGERR_ATTR_MSG, []byte("taken\x00")))
	link := message(0, 2, []byte{0, 0, 1, 0}, num(7), num(unix.IFF_UP), num(0),
		attr(unix.IFLA_IFNAME, []byte("veth0\x00")), attr(unix.IFLA_MTU, num(1500)), attr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 1}),
		attr(unix.IFLA_PROP_LIST, attr(unix.IFLA_ALT_IFNAME, []byte("netsetgo:n:e5d4:a:1\x00"))),
		attr(unix.IFLA_LINKINFO, attr(nl.IFLA_INFO_KIND, []byte("veth")), attr(nl.IFLA_INFO_SLAVE_KIND, []byte("bridge\x00")),
			attr(nl.IFLA_INFO_SLAVE_DATA, attr(nl.IFLA_BRPORT_LEARNING, []byte{1}))),
		attr(unix.IFLA_AF_SPEC, attr(unix.AF_INET, attr(1, num(1)))))
	address := message(0, 2, []byte{unix.AF_INET, 24, 0, 0}, num(7), attr(unix.IFA_LOCAL, []byte{10, 10, 10, 1}))
	route := message(0, 2, []byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, 4, 0, unix.RTN_UNICAST}, num(0),
		attr(unix.RTA_GATEWAY, []byte{10, 10, 10, 1}), attr(unix.RTA_OIF, num(7)), attr(unix.RTA_MULTIPATH, []byte{8, 0, 0, 0}, num(8)))
	neighbour := message(0, 2, num(unix.AF_BRIDGE), num(7), []byte{unix.NUD_NOARP, 0, 0, 0}, attr(unix.NDA_LLADDR, []byte{2, 0, 0, 0, 0, 1}))
	socket := message(0, 2, make([]byte, 72), attr(11, []byte{1}))
	chain := message(0, 2, []byte{unix.NFPROTO_IPV4, 0, 0, 0}, attr(unix.NFTA_CHAIN_TABLE, []byte("filter\x00")), attr(unix.NFTA_CHAIN_NAME, []byte("FORWARD\x00")),
		attr(unix.NFTA_CHAIN_HOOK, attr(unix.NFTA_HOOK_HOOKNUM, big(2))), attr(unix.NFTA_CHAIN_POLICY, big(0)), attr(unix.NFTA_CHAIN_TYPE, []byte("filter\x00")))
	element := message(0, 2, []byte{1, 0, 0, 0}, attr(unix.NFTA_SET_ELEM_LIST_ELEMENTS, attr(1, attr(unix.NFTA_SET_ELEM_KEY, attr(unix.NFTA_DATA_VALUE, make([]byte, 32))),
		attr(unix.NFTA_SET_ELEM_DATA, attr(unix.NFTA_DATA_VALUE, make([]byte, 32))))))
	// An entry of conntrack's, of UDP and port 53.
	entry := message(0, 2, []byte{unix.AF_INET, 0, 0, 0}, attr(1, attr(2, attr(1, []byte{unix.IPPROTO_UDP}), attr(3, []byte{0, 53}))), attr(12, big(1)))
	// What is a chain for one question is a rule for the next: this one jumps to itself.
	jump := attr(unix.NFTA_RULE_EXPRESSIONS, attr(1, attr(unix.NFTA_EXPR_NAME, []byte("immediate\x00")), attr(unix.NFTA_EXPR_DATA,
		attr(unix.NFTA_IMMEDIATE_DATA, attr(unix.NFTA_DATA_VERDICT, attr(unix.NFTA_VERDICT_CODE, big(^uint32(2))), attr(unix.NFTA_VERDICT_CHAIN, []byte("FORWARD\x00")))))))
	rule := message(0, 2, []byte{unix.NFPROTO_IPV4, 0, 0, 0}, attr(unix.NFTA_RULE_TABLE, []byte("t\x00")), attr(unix.NFTA_RULE_CHAIN, []byte("FORWARD\x00")), jump)
	return [][]byte{
		link, slices.Concat(link, done), slices.Concat(link, fine), refused, fine,
		slices.Concat(address, done), slices.Concat(route, done), slices.Concat(neighbour, done), slices.Concat(socket, done),
		slices.Concat(chain, rule, done), slices.Concat(element, done), slices.Concat(entry, done), slices.Concat(entry, fine),
	}
}

var null, _ = os.Open(os.DevNull)

// questions are all that is asked of the kernel by netlink, each with what its answer must
// be like.
var questions = []func(t *testing.T, conn configurer.Conn){
	func(t *testing.T, conn configurer.Conn) {
		_, err := conn.Link(configurer.Which{Name: "veth0"})
		some(t, err)
	},
	func(t *testing.T, conn configurer.Conn) {
		_, err := conn.Peer(configurer.Link{Peer: 7, PeerNamespace: 1})
		some(t, err)
	},
	func(t *testing.T, conn configurer.Conn) {
		links, _ := conn.Links("veth")
		for _, link := range links {
			if link.Kind != "veth" {
				t.Fatalf("%+v was asked for", link)
			}
		}
	},
	func(_ *testing.T, conn configurer.Conn) { _, _ = conn.Ports(7) },
	func(t *testing.T, conn configurer.Conn) {
		addresses, _ := conn.Addresses(7)
		for _, address := range addresses {
			if !address.IsValid() || address.Addr().Is6() && address.Addr().IsLinkLocalUnicast() {
				t.Fatalf("%v is an address", address)
			}
		}
	},
	func(_ *testing.T, conn configurer.Conn) { _, _ = conn.Counters() },
	func(t *testing.T, conn configurer.Conn) {
		routes, _ := conn.Routes()
		for _, route := range routes {
			if !route.Destination.IsValid() {
				t.Fatalf("%+v is a route", route)
			}
		}
	},
	func(t *testing.T, conn configurer.Conn) {
		route, err := conn.RouteTo(netip.MustParseAddr("192.0.2.1"))
		if some(t, err); err == nil && route.Link == 0 {
			t.Fatalf("%+v leads there", route)
		}
	},
	func(t *testing.T, conn configurer.Conn) {
		uplinks, _ := conn.Uplinks()
		for i, uplink := range uplinks {
			if uplink.Link == 0 || slices.Contains(uplinks[:i], uplink) {
				t.Fatalf("%+v are uplinks", uplinks)
			}
		}
	},
	func(t *testing.T, conn configurer.Conn) {
		macs, _ := conn.PortMACs(configurer.Link{Index: 7})
		for _, mac := range macs {
			if len(mac) != 6 {
				t.Fatalf("%v is a MAC", mac)
			}
		}
	},
	func(t *testing.T, conn configurer.Conn) {
		id, err := conn.NamespaceID(null)
		if some(t, err); err == nil && id == configurer.NoNamespace {
			t.Fatal("no namespace was found")
		}
	},
	func(_ *testing.T, conn configurer.Conn) { _, _ = conn.NamespaceLives(1) },
	func(t *testing.T, conn configurer.Conn) {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			listeners, _ := kernel.ListenersBy(conn, family, "udp")
			for _, listener := range listeners {
				if !listener.Address.Addr().IsValid() {
					t.Fatalf("%+v listens", listener)
				}
			}
		}
	},
	func(_ *testing.T, conn configurer.Conn) { _, _ = conn.Rules(firewall.Tables()[0].Family) },
	func(_ *testing.T, conn configurer.Conn) { _, _ = conn.Table(firewall.Outlines()[0]) },
	func(t *testing.T, conn configurer.Conn) {
		for _, table := range firewall.Tables() {
			for _, set := range table.Sets {
				elements, _ := conn.Elements(set)
				sound(t, elements)
				found, _ := conn.Find(firewall.Element{Set: set, Key: values(set.Key), Data: values(set.Data)})
				sound(t, found)
			}
		}
	},
	func(t *testing.T, conn configurer.Conn) {
		blocks, _ := conn.Blocks()
		for _, block := range blocks {
			if block.Family == "" || !slices.Contains(block.Chains, block.Chain) || !slices.IsSorted(block.In) || !slices.IsSorted(block.Out) {
				t.Fatalf("%+v is a block", block)
			}
		}
	},
	func(t *testing.T, conn configurer.Conn) {
		change := configurer.AddBridge{Name: "brg0", Index: new(int)}
		made(t, conn, change, configurer.AddAltname{Link: 1, Name: "a"}, change)
	},
	func(t *testing.T, conn configurer.Conn) {
		table := firewall.Tables()[0]
		made(t, conn, configurer.AddTable{Family: table.Family}, configurer.AddSet{Set: table.Sets[0]}, configurer.AddTable{Family: table.Family})
	},
	func(t *testing.T, conn configurer.Conn) {
		forget := configurer.ForgetFlows{Port: 53}
		made(t, conn, forget)
		made(t, conn, forget, forget, configurer.ForgetFlows{Port: 53, IPv6: true}, forget, forget)
	},
}

// some lets each error be one of its own.
func some(t *testing.T, err error) {
	t.Helper()
	if err != nil && err.Error() == "" {
		t.Fatalf("%#v says nothing", err)
	}
}

// made says that each change ended in some way.
func made(t *testing.T, conn configurer.Conn, changes ...configurer.Change) {
	t.Helper()
	errs := try(conn, changes...)
	if len(errs) != len(changes) {
		t.Fatalf("%d changes have %d ends", len(changes), len(errs))
	}
	for _, err := range errs {
		some(t, err)
	}
}

// sound says that elements are such as their set holds, and can be shown and written.
func sound(t *testing.T, elements []firewall.Element) {
	t.Helper()
	for _, element := range elements {
		if len(element.Key) != len(element.Set.Key) || len(element.Data) != len(element.Set.Data) {
			t.Fatalf("%+v is an element", element)
		}
		for i, value := range slices.Concat(element.Key, element.Data) {
			kind := slices.Concat(element.Set.Key, element.Set.Data)[i]
			if again := firewall.ValueOf(kind, value.Bytes()); again.String() != value.String() {
				t.Fatalf("%s was read back as %s", value, again)
			}
		}
		_, _ = element.LinkIndex(), element.Sender()
		_, _ = element.ContainerAddress()
		_, _ = element.UDPPort()
		_ = element.HostPort()
	}
}

// values are such as a set has: of each type, as many bytes as it has.
func values(types []firewall.Type) []firewall.Value {
	lengths := map[firewall.Type]int{
		firewall.TypeFamily: 1, firewall.TypeProtocol: 1, firewall.TypePort: 2, firewall.TypeIndex: 4, firewall.TypeAddress4: 4, firewall.TypeMAC: 6,
	}
	var all []firewall.Value
	for _, kind := range types {
		all = append(all, firewall.ValueOf(kind, make([]byte, cmp.Or(lengths[kind], 16))))
	}
	return all
}
