package kernel

import (
	"encoding/binary"
	"slices"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// filterFamilies are the families of tables in which something can be kept from being
// forwarded, by their numbers.
var filterFamilies = map[uint8]string{familyInet: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", familyBridge: "bridge"}

// Blocks implements configurer.Reader: it finds chains of the hook forward whose policy is
// drop, and firewalld's, which ends in a rule that rejects. What iptables-legacy has can't
// be seen by netlink.
func (c *conn) Blocks() ([]configurer.Block, error) {
	filter, err := c.filter()
	if err != nil {
		return nil, err
	}
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{}) // of all families
	messages, err := filter.ask(request)
	if err != nil {
		return nil, noFirewall(err)
	}
	type table struct{ family, name string }
	chains := map[table][]string{}
	var blocks []configurer.Block
	for _, message := range messages {
		attrs, err := attributes(message)
		if err != nil {
			return nil, err
		}
		block := configurer.Block{
			Family: filterFamilies[message[0]], Table: unix.ByteSliceToString(attrs[unix.NFTA_CHAIN_TABLE]),
			Chain: unix.ByteSliceToString(attrs[unix.NFTA_CHAIN_NAME]),
		}
		at := table{block.Family, block.Table}
		chains[at] = append(chains[at], block.Chain)
		hook, err := nested(attrs[unix.NFTA_CHAIN_HOOK])
		if err != nil || len(attrs[unix.NFTA_CHAIN_HOOK]) == 0 || block.Family == "" || block.Table == firewall.Name {
			continue
		}
		drops := len(attrs[unix.NFTA_CHAIN_POLICY]) == 4 && binary.BigEndian.Uint32(attrs[unix.NFTA_CHAIN_POLICY]) == verdictDrop
		forwards := len(hook[unix.NFTA_HOOK_HOOKNUM]) == 4 && binary.BigEndian.Uint32(hook[unix.NFTA_HOOK_HOOKNUM]) == hooks["forward"]
		isFilter := unix.ByteSliceToString(attrs[unix.NFTA_CHAIN_TYPE]) == "filter"
		if forwards && isFilter && (drops || block.Table == configurer.Firewalld) {
			blocks = append(blocks, block)
		}
	}
	for i, block := range blocks {
		blocks[i].Chains = chains[table{block.Family, block.Table}]
		if blocks[i].In, blocks[i].Out, err = c.accepted(block); err != nil {
			return nil, err
		}
	}
	return blocks, nil
}

// accepted are the links that rules of a block's table accept.
func (c *conn) accepted(block configurer.Block) (in, out []string, err error) {
	var family uint8
	for number, name := range filterFamilies {
		if name == block.Family {
			family = number
		}
	}
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: family})
	request.AddData(text(unix.NFTA_RULE_TABLE, block.Table))
	messages, err := c.firewall.ask(request)
	if err != nil {
		return nil, nil, err
	}
	for _, message := range messages {
		attrs, err := attributes(message)
		if err != nil {
			return nil, nil, err
		}
		names, accepts := linksOf(attrs[unix.NFTA_RULE_EXPRESSIONS])
		if accepts {
			in, out = append(in, names[unix.NFT_META_IIFNAME]...), append(out, names[unix.NFT_META_OIFNAME]...)
		}
	}
	return slices.Compact(in), slices.Compact(out), nil
}

// linksOf finds the names of links that a rule compares with, and whether it accepts.
func linksOf(rule []byte) (names map[uint32][]string, accepts bool) {
	names = map[uint32][]string{}
	list, err := nl.ParseRouteAttr(rule)
	if err != nil {
		return nil, false
	}
	loaded := uint32(0)
	for _, item := range list {
		parts, err := nested(item.Value)
		if err != nil {
			return nil, false
		}
		data, err := nested(parts[unix.NFTA_EXPR_DATA])
		if err != nil {
			return nil, false
		}
		switch unix.ByteSliceToString(parts[unix.NFTA_EXPR_NAME]) {
		case "meta":
			loaded = bigNumber(data[unix.NFTA_META_KEY])
		case "cmp":
			value, err := nested(data[unix.NFTA_CMP_DATA])
			if err == nil && bigNumber(data[unix.NFTA_CMP_OP]) == unix.NFT_CMP_EQ {
				names[loaded] = append(names[loaded], unix.ByteSliceToString(value[unix.NFTA_DATA_VALUE]))
			}
		case "immediate":
			value, err := nested(data[unix.NFTA_IMMEDIATE_DATA])
			if err != nil {
				return nil, false
			}
			verdict, err := nested(value[unix.NFTA_DATA_VERDICT])
			accepts = err == nil && len(verdict[unix.NFTA_VERDICT_CODE]) == 4 && bigNumber(verdict[unix.NFTA_VERDICT_CODE]) == verdictAccept
		}
	}
	return names, accepts
}

// bigNumber reads an attribute of nftables; what is shorter is 0.
func bigNumber(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}
