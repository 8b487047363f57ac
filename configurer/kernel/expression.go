package kernel

import (
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// firstRegister is the first of sixteen, of four bytes each. Those that a rule needs fit,
// as each match begins anew.
const firstRegister = unix.NFT_REG32_00

// encodeRule is a list of expressions: for each match, what loads its fields and what
// compares them; then the verdict.
func encodeRule(rule firewall.Rule) *nl.RtAttr {
	expressions := &expressions{nest(unix.NFTA_RULE_EXPRESSIONS)}
	for _, match := range rule.Matches {
		length := expressions.load(match.Fields)
		expressions.compare(match, length)
	}
	expressions.verdict(rule.Verdict)
	return expressions.list
}

type expressions struct{ list *nl.RtAttr }

// add begins one expression, whose attributes follow.
func (e *expressions) add(name string) *nl.RtAttr {
	expression := e.list.AddRtAttr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, nil)
	expression.AddRtAttr(unix.NFTA_EXPR_NAME, nl.ZeroTerminated(name))
	return expression.AddRtAttr(unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, nil)
}

// How a field is loaded: the expression, and what it is asked for.
type loader struct {
	expression string
	what       uint32 // the key of meta and ct, the base of payload, the header of exthdr
	offset     uint32 // of payload and exthdr
	length     uint32
}

var loaders = map[firewall.Field]loader{
	firewall.InName:       {"meta", unix.NFT_META_IIFNAME, 0, 16},
	firewall.OutName:      {"meta", unix.NFT_META_OIFNAME, 0, 16},
	firewall.InIndex:      {"meta", unix.NFT_META_IIF, 0, 4},
	firewall.OutIndex:     {"meta", unix.NFT_META_OIF, 0, 4},
	firewall.InGroup:      {"meta", unix.NFT_META_IIFGROUP, 0, 4},
	firewall.OutGroup:     {"meta", unix.NFT_META_OIFGROUP, 0, 4},
	firewall.NFProto:      {"meta", unix.NFT_META_NFPROTO, 0, 1},
	firewall.L4Proto:      {"meta", unix.NFT_META_L4PROTO, 0, 1},
	firewall.EtherType:    {"meta", unix.NFT_META_PROTOCOL, 0, 2},
	firewall.State:        {"ct", unix.NFT_CT_STATE, 0, 4},
	firewall.Status:       {"ct", unix.NFT_CT_STATUS, 0, 4},
	firewall.ToType:       {"fib", unix.NFT_FIB_RESULT_ADDRTYPE, 0, 4},
	firewall.FromMAC:      {"payload", unix.NFT_PAYLOAD_LL_HEADER, 6, 6},
	firewall.FromAddress4: {"payload", unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 4},
	firewall.ToAddress4:   {"payload", unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4},
	firewall.FromAddress6: {"payload", unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 16},
	firewall.ToAddress6:   {"payload", unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16},
	firewall.ARPMAC:       {"payload", unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 6},
	firewall.ARPAddress:   {"payload", unix.NFT_PAYLOAD_NETWORK_HEADER, 14, 4},
	firewall.FromPort:     {"payload", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2},
	firewall.ToPort:       {"payload", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2},
	firewall.ICMPv6Type:   {"payload", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1},
	firewall.Target:       {"payload", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16},
	firewall.Transport:    {"payload", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 8},
	firewall.VLANType:     {"payload", unix.NFT_PAYLOAD_LL_HEADER, 12, 2},
	firewall.FragOffset4:  {"payload", unix.NFT_PAYLOAD_NETWORK_HEADER, 6, 2},
	firewall.FragOffset6:  {"exthdr", unix.IPPROTO_FRAGMENT, 2, 2},
}

// load puts fields into registers, each at the beginning of one, and returns how many
// bytes they take.
func (e *expressions) load(fields []firewall.Field) uint32 {
	register, length := uint32(firstRegister), uint32(0)
	for _, field := range fields {
		how := loaders[field] // of one that was added without, the kernel refuses the rule
		data := e.add(how.expression)
		// The registers are the first attribute of each of these.
		data.AddRtAttr(unix.NFTA_META_DREG, number32(register))
		if how.expression != "exthdr" {
			data.AddRtAttr(unix.NFTA_META_KEY, number32(how.what))
		}
		switch how.expression {
		case "exthdr":
			data.AddRtAttr(exthdrType, []byte{byte(how.what)})
			data.AddRtAttr(exthdrOffset, number32(how.offset))
			data.AddRtAttr(exthdrLength, number32(how.length))
		case "payload":
			data.AddRtAttr(unix.NFTA_PAYLOAD_OFFSET, number32(how.offset))
			data.AddRtAttr(unix.NFTA_PAYLOAD_LEN, number32(how.length))
		case "fib":
			data.AddRtAttr(unix.NFTA_FIB_FLAGS, number32(unix.NFTA_FIB_F_DADDR))
		}
		length = (register-firstRegister)*4 + how.length
		register += padded(how.length) / 4
	}
	return length
}

func (e *expressions) compare(match firewall.Match, length uint32) {
	if match.Set != "" {
		lookup := e.add("lookup")
		lookup.AddRtAttr(unix.NFTA_LOOKUP_SET, nl.ZeroTerminated(match.Set))
		lookup.AddRtAttr(unix.NFTA_LOOKUP_SREG, number32(firstRegister))
		if match.Op == firewall.Not {
			lookup.AddRtAttr(unix.NFTA_LOOKUP_FLAGS, number32(unix.NFT_LOOKUP_F_INV))
		}
		return
	}
	value := match.Value.Bytes()
	if masked, ok := match.Value.(firewall.Masked); ok && match.Op != firewall.AtLeast {
		bitwise := e.add("bitwise")
		bitwise.AddRtAttr(unix.NFTA_BITWISE_SREG, number32(firstRegister))
		bitwise.AddRtAttr(unix.NFTA_BITWISE_DREG, number32(firstRegister))
		bitwise.AddRtAttr(unix.NFTA_BITWISE_LEN, number32(length))
		bitwise.AddRtAttr(unix.NFTA_BITWISE_MASK|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_DATA_VALUE, masked.Mask())
		bitwise.AddRtAttr(unix.NFTA_BITWISE_XOR|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_DATA_VALUE, make([]byte, length))
	}
	operation := uint32(unix.NFT_CMP_EQ)
	_, ofBits := match.Value.(firewall.Bits)
	switch {
	case match.Op == firewall.AtLeast:
		operation = unix.NFT_CMP_GTE
	case match.Op == firewall.Not, ofBits: // of bits, one is enough: not none of them
		operation = unix.NFT_CMP_NEQ
	}
	cmp := e.add("cmp")
	cmp.AddRtAttr(unix.NFTA_CMP_SREG, number32(firstRegister))
	cmp.AddRtAttr(unix.NFTA_CMP_OP, number32(operation))
	cmp.AddRtAttr(unix.NFTA_CMP_DATA|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_DATA_VALUE, value)
}

func (e *expressions) verdict(verdict firewall.Verdict) {
	switch verdict.Do {
	case firewall.Masquerade:
		e.add("masq")
	case firewall.DNAT:
		e.dnat(verdict)
	case firewall.Accept:
		e.decide(verdictAccept, "")
	case firewall.Drop:
		e.decide(verdictDrop, "")
	case firewall.Return:
		e.decide(unix.NFT_RETURN, "")
	case firewall.Jump:
		e.decide(unix.NFT_JUMP, verdict.To)
	}
}

func (e *expressions) decide(code int32, chain string) {
	immediate := e.add("immediate")
	immediate.AddRtAttr(unix.NFTA_IMMEDIATE_DREG, number32(unix.NFT_REG_VERDICT))
	verdict := immediate.AddRtAttr(unix.NFTA_IMMEDIATE_DATA|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_DATA_VERDICT|unix.NLA_F_NESTED, nil)
	verdict.AddRtAttr(unix.NFTA_VERDICT_CODE, number32(uint32(code)))
	if chain != "" {
		verdict.AddRtAttr(unix.NFTA_VERDICT_CHAIN, nl.ZeroTerminated(chain))
	}
}

// dnat looks fields up in a map, whose data are an address and a port.
func (e *expressions) dnat(verdict firewall.Verdict) {
	e.load(verdict.Fields)
	lookup := e.add("lookup")
	lookup.AddRtAttr(unix.NFTA_LOOKUP_SET, nl.ZeroTerminated(verdict.Map))
	lookup.AddRtAttr(unix.NFTA_LOOKUP_SREG, number32(firstRegister))
	lookup.AddRtAttr(unix.NFTA_LOOKUP_DREG, number32(firstRegister))
	family, port := uint32(unix.NFPROTO_IPV4), uint32(firstRegister+1)
	if verdict.To == firewall.IPv6 {
		family, port = unix.NFPROTO_IPV6, firstRegister+4
	}
	nat := e.add("nat")
	nat.AddRtAttr(unix.NFTA_NAT_TYPE, number32(unix.NFT_NAT_DNAT))
	nat.AddRtAttr(unix.NFTA_NAT_FAMILY, number32(family))
	nat.AddRtAttr(unix.NFTA_NAT_REG_ADDR_MIN, number32(firstRegister))
	nat.AddRtAttr(unix.NFTA_NAT_REG_PROTO_MIN, number32(port))
}
