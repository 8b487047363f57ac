package kernel

import (
	"encoding/binary"
	"slices"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Names of the kernel's that golang.org/x/sys doesn't have; linux/netfilter/nf_tables.h
// where nothing else is said.
const (
	verdictDrop   = 0 // NF_DROP, linux/netfilter.h
	verdictAccept = 1 // NF_ACCEPT
	exthdrType    = 2 // NFTA_EXTHDR_TYPE
	exthdrOffset  = 3 // NFTA_EXTHDR_OFFSET
	exthdrLength  = 4 // NFTA_EXTHDR_LEN
	udataComment  = 0 // NFTNL_UDATA_RULE_COMMENT, NFTNL_UDATA_TABLE_COMMENT, libnftnl/udata.h
	tableUserdata = 6 // NFTA_TABLE_USERDATA
)

// The numbers of families, nfproto in linux/netfilter.h.
const (
	familyInet   = 1
	familyBridge = 7
)

func familyNumber(family firewall.Family) uint8 {
	if family == firewall.Bridge {
		return familyBridge
	}
	return familyInet
}

// filterRequest begins a message about nftables.
func filterRequest(kind, flags int, family firewall.Family) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: familyNumber(family)})
	return request
}

// encodeFirewall turns a change into its messages. id tells a set from others of the
// transaction.
func encodeFirewall(change configurer.Change, id uint32) []*nl.NetlinkRequest {
	table := nl.NewRtAttr(unix.NFTA_TABLE_NAME, nl.ZeroTerminated(firewall.Name)) // the first of all kinds
	var request *nl.NetlinkRequest
	switch change := change.(type) {
	case configurer.AddTable:
		request = filterRequest(unix.NFT_MSG_NEWTABLE, create, change.Family)
		request.AddData(table)
		request.AddData(nl.NewRtAttr(tableUserdata, comment(change.Version)))
	case configurer.DeleteTable:
		request = filterRequest(unix.NFT_MSG_DELTABLE, 0, change.Family)
		request.AddData(table)
	case configurer.AddSet:
		request = filterRequest(unix.NFT_MSG_NEWSET, create, change.Set.Family)
		request.AddData(table)
		encodeSet(request, change.Set, id)
	case configurer.AddChain:
		request = filterRequest(unix.NFT_MSG_NEWCHAIN, create, change.Chain.Family)
		request.AddData(table)
		encodeChain(request, change.Chain)
	case configurer.AddRule:
		request = filterRequest(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, change.Chain.Family)
		request.AddData(table)
		request.AddData(text(unix.NFTA_RULE_CHAIN, change.Chain.Name))
		request.AddData(encodeRule(change.Rule))
		request.AddData(nl.NewRtAttr(unix.NFTA_RULE_USERDATA, comment(change.Rule.Why)))
	case configurer.AddElements:
		return encodeElements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, change.Set, change.Elements)
	case configurer.DeleteElements:
		return encodeElements(unix.NFT_MSG_DELSETELEM, 0, change.Set, change.Elements)
	}
	return []*nl.NetlinkRequest{request}
}

func text(kind int, value string) *nl.RtAttr { return nl.NewRtAttr(kind, nl.ZeroTerminated(value)) }

func nest(kind int) *nl.RtAttr { return nl.NewRtAttr(kind|unix.NLA_F_NESTED, nil) }

// number32 is an attribute of nftables, which are in the network's order.
func number32(value uint32) []byte { return binary.BigEndian.AppendUint32(nil, value) }

// comment is one entry of user data: its type, its length, and a text with its NUL.
func comment(why string) []byte {
	return append([]byte{udataComment, byte(len(why) + 1)}, nl.ZeroTerminated(why)...)
}

// dataType is a type as nft(8) numbers it (enum datatypes, nftables' datatype.h), and
// its length.
type dataType struct{ number, length uint32 }

var dataTypes = map[firewall.Type]dataType{
	firewall.TypeFamily:   {2, 1},
	firewall.TypeTarget:   {4, 16}, // an integer
	firewall.TypeAddress4: {7, 4},
	firewall.TypeAddress6: {8, 16},
	firewall.TypeMAC:      {9, 6},
	firewall.TypeProtocol: {12, 1},
	firewall.TypePort:     {13, 2},
	firewall.TypeIndex:    {20, 4},
	firewall.TypeName:     {41, 16},
}

// padded is a length in registers of four bytes each.
func padded(length uint32) uint32 { return (length + 3) &^ 3 }

// typesOf puts types together: their numbers, six bits each, and their lengths.
func typesOf(types []firewall.Type) dataType {
	if len(types) == 1 {
		return dataTypes[types[0]]
	}
	var all dataType
	for _, kind := range types {
		all.number = all.number<<6 | dataTypes[kind].number
		all.length += padded(dataTypes[kind].length)
	}
	return all
}

func encodeSet(request *nl.NetlinkRequest, set firewall.Set, id uint32) {
	flags := uint32(0)
	if set.Data != nil {
		flags |= unix.NFT_SET_MAP
	}
	key := typesOf(set.Key)
	request.AddData(text(unix.NFTA_SET_NAME, set.Name))
	request.AddData(nl.NewRtAttr(unix.NFTA_SET_FLAGS, number32(flags)))
	request.AddData(nl.NewRtAttr(unix.NFTA_SET_KEY_TYPE, number32(key.number)))
	request.AddData(nl.NewRtAttr(unix.NFTA_SET_KEY_LEN, number32(key.length)))
	request.AddData(nl.NewRtAttr(unix.NFTA_SET_ID, number32(id)))
	if set.Data != nil {
		data := typesOf(set.Data)
		request.AddData(nl.NewRtAttr(unix.NFTA_SET_DATA_TYPE, number32(data.number)))
		request.AddData(nl.NewRtAttr(unix.NFTA_SET_DATA_LEN, number32(data.length)))
	}
	switch {
	case slices.Contains(set.Key, firewall.TypeTarget):
		request.AddData(nl.NewRtAttr(unix.NFTA_SET_USERDATA, typeOfTarget))
	case len(set.Key) == 1 && (set.Key[0] == firewall.TypeName || set.Key[0] == firewall.TypeIndex):
		request.AddData(nl.NewRtAttr(unix.NFTA_SET_USERDATA, hostOrder))
	}
}

// hostOrder says, for nft(8) alone, in which order it reads a name: NFTNL_UDATA_SET_KEYBYTEORDER,
// libnftnl/udata.h, of the host's.
var hostOrder = binary.NativeEndian.AppendUint32([]byte{0, 4}, 1)

// typeOfTarget says, for nft(8) alone, that a set is of "typeof ether saddr . @th,64,128",
// as nft(8) 1.0.6 wrote it (nft --debug=mnl): each entry is a type, a length and the
// value, which may be more entries. Without it, what nft(8) lists couldn't be read again.
var typeOfTarget = []byte{
	0, 4, 0, 0, 0, 0, // NFTNL_UDATA_SET_KEYBYTEORDER: of neither
	3, 0x46, 0, 4, 13, 0, 0, 0, 1, 0x3e, // NFTNL_UDATA_SET_KEY_TYPEOF: a concatenation
	0, 0x14, 0, 4, 7, 0, 0, 0, 1, 12, 0, 4, 17, 0, 0, 0, 1, 4, 2, 0, 0, 0, // of a payload: ether, saddr
	1, 0x26, 0, 4, 7, 0, 0, 0, 1, 0x1e, 0, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 2, 4, 3, 0, 0, 0, 3, 4, 64, 0, 0, 0, 4, 4, 128, 0, 0, 0, // and a raw one: th, 64, 128
}

var hooks = map[string]uint32{"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4} // enum nf_inet_hooks, linux/netfilter.h; enum nf_br_hooks has the same

func encodeChain(request *nl.NetlinkRequest, chain firewall.Chain) {
	request.AddData(text(unix.NFTA_CHAIN_NAME, chain.Name))
	if chain.Type == "" {
		return
	}
	hook := nest(unix.NFTA_CHAIN_HOOK)
	hook.AddRtAttr(unix.NFTA_HOOK_HOOKNUM, number32(hooks[chain.Hook]))
	hook.AddRtAttr(unix.NFTA_HOOK_PRIORITY, number32(uint32(int32(chain.Priority))))
	request.AddData(hook)
	request.AddData(text(unix.NFTA_CHAIN_TYPE, chain.Type))
}

// maxElements is how many elements go into one message: their list is an attribute,
// which holds 64 KiB.
const maxElements = 256

func encodeElements(kind, flags int, set firewall.Set, elements []firewall.Element) []*nl.NetlinkRequest {
	var requests []*nl.NetlinkRequest
	for len(elements) > 0 {
		part := elements[:min(maxElements, len(elements))]
		elements = elements[len(part):]
		request := filterRequest(kind, flags, set.Family)
		request.AddData(text(unix.NFTA_SET_ELEM_LIST_TABLE, firewall.Name))
		request.AddData(text(unix.NFTA_SET_ELEM_LIST_SET, set.Name))
		list := nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for _, element := range part {
			item := list.AddRtAttr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, nil)
			item.AddRtAttr(unix.NFTA_SET_ELEM_KEY|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_DATA_VALUE, joined(element.Key))
			if element.Data != nil && kind == unix.NFT_MSG_NEWSETELEM {
				item.AddRtAttr(unix.NFTA_SET_ELEM_DATA|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_DATA_VALUE, joined(element.Data))
			}
		}
		request.AddData(list)
		requests = append(requests, request)
	}
	return requests
}

// joined puts values into registers, each at the beginning of one.
func joined(values []firewall.Value) []byte {
	if len(values) == 1 {
		return values[0].Bytes()
	}
	var all []byte
	for _, value := range values {
		all = append(all, value.Bytes()...)
		all = append(all, make([]byte, int(padded(uint32(len(all))))-len(all))...)
	}
	return all
}
