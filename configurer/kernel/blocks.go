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
var filterFamilies = map[uint8]string{familyInet: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6"}

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
	asleep, err := filter.dormant()
	if err != nil {
		return nil, err
	}
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
		if err != nil || len(attrs[unix.NFTA_CHAIN_HOOK]) == 0 || block.Family == "" || block.Table == firewall.Name || asleep[at] {
			continue
		}
		drops := len(attrs[unix.NFTA_CHAIN_POLICY]) == 4 && binary.BigEndian.Uint32(attrs[unix.NFTA_CHAIN_POLICY]) == verdictDrop
		forwards := len(hook[unix.NFTA_HOOK_HOOKNUM]) == 4 && binary.BigEndian.Uint32(hook[unix.NFTA_HOOK_HOOKNUM]) == hooks["forward"]
		isFilter := unix.ByteSliceToString(attrs[unix.NFTA_CHAIN_TYPE]) == "filter"
		if forwards && isFilter && (drops || block.Table == configurer.Firewalld) {
			blocks = append(blocks, block)
		}
	}
	for i := range blocks {
		blocks[i].Chains = chains[table{blocks[i].Family, blocks[i].Table}]
		if blocks[i].In, blocks[i].Out, err = c.accepted(blocks[i]); err != nil {
			return nil, err
		}
	}
	return blocks, nil
}

// table is one of others.
type table struct{ family, name string }

// dormant are the tables that somebody switched off (nft(8), flags dormant).
func (s *socket) dormant() (map[table]bool, error) {
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{})
	messages, err := s.ask(request)
	if err != nil {
		return nil, noFirewall(err)
	}
	asleep := map[table]bool{}
	for _, message := range messages {
		attrs, err := attributes(message)
		if err != nil {
			return nil, err
		}
		const dormant = 1 // NFT_TABLE_F_DORMANT, linux/netfilter/nf_tables.h
		if bigNumber(attrs[unix.NFTA_TABLE_FLAGS])&dormant != 0 {
			asleep[table{filterFamilies[message[0]], unix.ByteSliceToString(attrs[unix.NFTA_TABLE_NAME])}] = true
		}
	}
	return asleep, nil
}

// accepted are the links of which a block's chain, or one that it jumps to, accepts all that
// comes in or goes out by them. Of firewalld's, any chain may be one of those: it asks for
// links on the way there.
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
	chains := map[string][]foreignRule{}
	for _, message := range messages {
		attrs, err := attributes(message)
		if err != nil {
			return nil, nil, err
		}
		chain := unix.ByteSliceToString(attrs[unix.NFTA_RULE_CHAIN])
		chains[chain] = append(chains[chain], readForeign(attrs[unix.NFTA_RULE_EXPRESSIONS]))
	}
	next := []string{block.Chain}
	if block.Table == configurer.Firewalld {
		next = block.Chains
	}
	// Many jumps may lead to one chain.
	seen := map[string]bool{}
	for ; len(next) > 0; next = next[1:] {
		if seen[next[0]] {
			continue
		}
		seen[next[0]] = true
		for _, rule := range chains[next[0]] {
			switch {
			case len(rule.in) > 0 && slices.Equal(rule.in, rule.out):
				// Among neighbours only.
			case rule.verdict == verdictAccept && rule.plain:
				in, out = append(in, rule.in...), append(out, rule.out...)
			case rule.to != "" && rule.plain && rule.ofAll():
				next = append(next, rule.to)
			case rule.to != "" && rule.plain && slices.ContainsFunc(chains[rule.to], foreignRule.acceptsAll):
				in, out = append(in, rule.in...), append(out, rule.out...)
			}
		}
	}
	slices.Sort(in)
	slices.Sort(out)
	return slices.Compact(in), slices.Compact(out), nil
}

// foreignRule is what a rule of others does.
type foreignRule struct {
	in, out []string // the links that it compares with
	// plain says that it looks at nothing else.
	plain   bool
	verdict int32
	to      string // the chain of a jump
}

func (r foreignRule) ofAll() bool { return len(r.in)+len(r.out) == 0 }

func (r foreignRule) acceptsAll() bool { return r.plain && r.ofAll() && r.verdict == verdictAccept }

func readForeign(expressions []byte) foreignRule {
	var rule foreignRule
	list, err := parseAttributes(expressions)
	if err != nil {
		return rule
	}
	rule.plain = true
	loaded := uint32(0)
	for _, item := range list {
		data := find(item, unix.NFTA_EXPR_DATA)
		switch unix.ByteSliceToString(find(item, unix.NFTA_EXPR_NAME)) {
		case "meta":
			loaded = bigNumber(find(data, unix.NFTA_META_KEY))
		case "cmp":
			name := unix.ByteSliceToString(find(find(data, unix.NFTA_CMP_DATA), unix.NFTA_DATA_VALUE))
			switch is := bigNumber(find(data, unix.NFTA_CMP_OP)) == unix.NFT_CMP_EQ; {
			case is && loaded == unix.NFT_META_IIFNAME:
				rule.in = append(rule.in, name)
			case is && loaded == unix.NFT_META_OIFNAME:
				rule.out = append(rule.out, name)
			default:
				rule.plain = false
			}
		case "immediate":
			verdict := find(find(data, unix.NFTA_IMMEDIATE_DATA), unix.NFTA_DATA_VERDICT)
			rule.verdict = int32(bigNumber(find(verdict, unix.NFTA_VERDICT_CODE)))
			rule.to = unix.ByteSliceToString(find(verdict, unix.NFTA_VERDICT_CHAIN))
		case "counter":
		case "match":
			// One of iptables' matches decides nothing.
			rule.plain = rule.plain && unix.ByteSliceToString(find(data, unix.NFTA_MATCH_NAME)) == "comment"
		default:
			rule.plain = false
		}
	}
	return rule
}

// bigNumber reads an attribute of nftables; what is shorter is 0.
func bigNumber(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}
