package kernel_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attribute is one of a message: a value, or a nest of others.
type attribute struct {
	kind  uint16
	value []byte
}

func attributesOf(data []byte) []attribute {
	GinkgoHelper()
	list, err := nl.ParseRouteAttr(data)
	Expect(err).NotTo(HaveOccurred())
	var found []attribute
	for _, item := range list {
		found = append(found, attribute{item.Attr.Type &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER), item.Value})
	}
	return found
}

// value finds attributes by their kinds, one level below the other.
func value(data []byte, path ...uint16) []byte {
	GinkgoHelper()
	for _, kind := range path {
		var found []byte
		for _, attr := range attributesOf(data) {
			if attr.kind == kind {
				found = attr.value
			}
		}
		data = found
	}
	return data
}

func number(data []byte) uint32 {
	GinkgoHelper()
	Expect(data).To(HaveLen(4))
	return binary.BigEndian.Uint32(data)
}

func word(data []byte) string { return unix.ByteSliceToString(data) }

// messages are the kinds of messages, and their attributes by number: enum
// nf_tables_msg_types, nft_table_attributes and so on, linux/netfilter/nf_tables.h.
var messages = map[uint16]struct {
	name  string
	attrs map[uint16]string
}{
	unix.NFT_MSG_NEWTABLE:   {"newtable", map[uint16]string{1: "name", 6: "userdata"}},
	unix.NFT_MSG_DELTABLE:   {"deltable", map[uint16]string{1: "name"}},
	unix.NFT_MSG_NEWCHAIN:   {"newchain", map[uint16]string{1: "table", 3: "name", 4: "hook", 7: "type"}},
	unix.NFT_MSG_NEWRULE:    {"newrule", map[uint16]string{1: "table", 2: "chain", 4: "expressions", 7: "userdata"}},
	unix.NFT_MSG_NEWSET:     {"newset", map[uint16]string{1: "table", 2: "name", 3: "flags", 4: "keytype", 5: "keylen", 6: "datatype", 7: "datalen", 10: "id", 13: "userdata"}},
	unix.NFT_MSG_NEWSETELEM: {"newsetelem", map[uint16]string{1: "table", 2: "set", 3: "elements"}},
	unix.NFT_MSG_DELSETELEM: {"delsetelem", map[uint16]string{1: "table", 2: "set", 3: "elements"}},
}

var familyNames = map[byte]string{1: "inet", 7: "bridge"}

// readable writes a message to nftables in words: its header, and below that its
// expressions as `nft --debug=netlink` writes them, or its elements in hexadecimal.
func readable(message []byte) string {
	GinkgoHelper()
	kind := binary.NativeEndian.Uint16(message[4:])
	Expect(kind >> 8).To(BeEquivalentTo(unix.NFNL_SUBSYS_NFTABLES))
	known := messages[kind&0xff]
	Expect(known.name).NotTo(BeEmpty(), "message %d", kind&0xff)
	line := fmt.Sprintf("%s %s %s", known.name, flagNames(binary.NativeEndian.Uint16(message[6:])), familyNames[message[16]])
	Expect(message[17:20]).To(Equal([]byte{0, 0, 0}), "version and resource")
	below := ""
	for _, attr := range attributesOf(message[20:]) {
		name := known.attrs[attr.kind]
		Expect(name).NotTo(BeEmpty(), "attribute %d of %s", attr.kind, known.name)
		switch name {
		case "expressions":
			for _, expression := range expressionsOf(attr.value) {
				below += "\n  " + expression
			}
		case "elements":
			for _, element := range attributesOf(attr.value) {
				below += "\n  " + elementOf(element.value)
			}
		case "hook":
			line += fmt.Sprintf(" hook=%d priority=%d", number(value(attr.value, unix.NFTA_HOOK_HOOKNUM)), int32(number(value(attr.value, unix.NFTA_HOOK_PRIORITY))))
		case "userdata":
			line += " userdata=" + userdata(known.name, attr.value)
		case "flags", "keytype", "keylen", "datatype", "datalen", "id":
			line += fmt.Sprintf(" %s=%d", name, number(attr.value))
		default:
			line += fmt.Sprintf(" %s=%s", name, word(attr.value))
		}
	}
	return line + below
}

func flagNames(flags uint16) string {
	Expect(flags&unix.NLM_F_REQUEST).NotTo(BeZero(), "every message is a request")
	names := []string{}
	for _, each := range []struct {
		flag uint16
		name string
	}{{unix.NLM_F_CREATE, "create"}, {unix.NLM_F_EXCL, "excl"}, {unix.NLM_F_APPEND, "append"}} {
		if flags&each.flag != 0 {
			names = append(names, each.name)
			flags &^= each.flag
		}
	}
	Expect(flags).To(BeEquivalentTo(unix.NLM_F_REQUEST))
	return strings.Join(names, "+")
}

// userdata are a comment's words, or of a set what is for nft(8) alone.
func userdata(kind string, data []byte) string {
	if kind == "newset" {
		return hex.EncodeToString(data)
	}
	Expect(data[:2]).To(Equal([]byte{0, byte(len(data) - 2)}), "NFTNL_UDATA_RULE_COMMENT, and its length")
	Expect(data[len(data)-1]).To(BeZero())
	return fmt.Sprintf("%q", data[2:len(data)-1])
}

func elementOf(data []byte) string {
	text := "element " + hex.EncodeToString(value(data, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE))
	if to := value(data, unix.NFTA_SET_ELEM_DATA, unix.NFTA_DATA_VALUE); to != nil {
		text += " : " + hex.EncodeToString(to)
	}
	return text
}

var (
	metaKeys  = map[uint32]string{1: "protocol", 4: "iif", 6: "iifname", 7: "oifname", 15: "nfproto", 16: "l4proto", 20: "mark", 23: "iifgroup", 24: "oifgroup"}
	ctKeys    = map[uint32]string{0: "state", 2: "status"}
	bases     = map[uint32]string{0: "link", 1: "network", 2: "transport"}
	operators = map[uint32]string{0: "eq", 1: "neq", 5: "gte"}
	verdicts  = map[int32]string{0: "drop", 1: "accept", -3: "jump", -5: "return"}
)

// expressionsOf writes expressions as libnftnl does (src/expr/*.c).
func expressionsOf(list []byte) []string {
	GinkgoHelper()
	var lines []string
	for _, item := range attributesOf(list) {
		name, data := word(value(item.value, unix.NFTA_EXPR_NAME)), value(item.value, unix.NFTA_EXPR_DATA)
		lines = append(lines, "["+" "+name+expression(name, data)+" ]")
	}
	return lines
}

func expression(name string, data []byte) string {
	GinkgoHelper()
	num := func(kind uint16) uint32 { return number(value(data, kind)) }
	reg := func(kind uint16) uint32 { return register(num(kind)) }
	words := func(path ...uint16) string { return numbers(value(data, path...)) }
	switch name {
	case "masq":
		return ""
	case "meta":
		return fmt.Sprintf(" load %s => reg %d", metaKeys[num(unix.NFTA_META_KEY)], reg(unix.NFTA_META_DREG))
	case "ct":
		return fmt.Sprintf(" load %s => reg %d", ctKeys[num(unix.NFTA_CT_KEY)], reg(unix.NFTA_CT_DREG))
	case "fib":
		Expect(num(unix.NFTA_FIB_RESULT)).To(BeEquivalentTo(unix.NFT_FIB_RESULT_ADDRTYPE))
		Expect(num(unix.NFTA_FIB_FLAGS)).To(BeEquivalentTo(unix.NFTA_FIB_F_DADDR))
		return fmt.Sprintf(" daddr type => reg %d", reg(unix.NFTA_FIB_DREG))
	case "payload":
		return fmt.Sprintf(" load %db @ %s header + %d => reg %d", num(unix.NFTA_PAYLOAD_LEN), bases[num(unix.NFTA_PAYLOAD_BASE)], num(unix.NFTA_PAYLOAD_OFFSET), reg(unix.NFTA_PAYLOAD_DREG))
	case "exthdr": // of IPv6 where no other kind is named
		return fmt.Sprintf(" load ipv6 %db @ %d + %d => reg %d", num(4), value(data, 2)[0], num(3), reg(1))
	case "cmp":
		return fmt.Sprintf(" %s reg %d %s", operators[num(unix.NFTA_CMP_OP)], reg(unix.NFTA_CMP_SREG), words(unix.NFTA_CMP_DATA, unix.NFTA_DATA_VALUE))
	case "bitwise":
		mask, xor := words(unix.NFTA_BITWISE_MASK, unix.NFTA_DATA_VALUE), words(unix.NFTA_BITWISE_XOR, unix.NFTA_DATA_VALUE)
		Expect(value(data, unix.NFTA_BITWISE_MASK, unix.NFTA_DATA_VALUE)).To(HaveLen(int(num(unix.NFTA_BITWISE_LEN))))
		return fmt.Sprintf(" reg %d = ( reg %d & %s ) ^ %s", reg(unix.NFTA_BITWISE_DREG), reg(unix.NFTA_BITWISE_SREG), mask, xor)
	case "lookup":
		text := fmt.Sprintf(" reg %d set %s", reg(unix.NFTA_LOOKUP_SREG), word(value(data, unix.NFTA_LOOKUP_SET)))
		if to := value(data, unix.NFTA_LOOKUP_DREG); to != nil {
			text += fmt.Sprintf(" dreg %d", register(number(to)))
		}
		flags := uint32(0)
		if given := value(data, unix.NFTA_LOOKUP_FLAGS); given != nil {
			flags = number(given)
		}
		return text + fmt.Sprintf(" 0x%x", flags)
	case "immediate":
		verdict := value(data, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT)
		text := fmt.Sprintf(" reg %d %s", reg(unix.NFTA_IMMEDIATE_DREG), verdicts[int32(number(value(verdict, unix.NFTA_VERDICT_CODE)))])
		if chain := value(verdict, unix.NFTA_VERDICT_CHAIN); chain != nil {
			text += " -> " + word(chain)
		}
		return text
	case "nat":
		Expect(num(unix.NFTA_NAT_TYPE)).To(BeEquivalentTo(unix.NFT_NAT_DNAT))
		family := map[uint32]string{unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6"}[num(unix.NFTA_NAT_FAMILY)]
		return fmt.Sprintf(" dnat %s addr_min reg %d proto_min reg %d", family, reg(unix.NFTA_NAT_REG_ADDR_MIN), reg(unix.NFTA_NAT_REG_PROTO_MIN))
	}
	Fail("an expression that this spec can't read: " + name)
	return ""
}

// register is the number by which the kernel answers: of every fourth that of the four
// together (nft_dump_register, net/netfilter/nf_tables_api.c).
func register(number uint32) uint32 {
	if number >= unix.NFT_REG32_00 && number%4 == 0 {
		return (number-unix.NFT_REG32_00)/4 + 1
	}
	return number
}

// numbers writes data as words of the host's.
func numbers(data []byte) string {
	data = append(append([]byte(nil), data...), make([]byte, (4-len(data)%4)%4)...)
	var words []string
	for ; len(data) > 0; data = data[4:] {
		words = append(words, fmt.Sprintf("0x%08x", binary.NativeEndian.Uint32(data)))
	}
	return strings.Join(words, " ")
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }
