package configurer

import (
	"fmt"
	"slices"
)

// Firewalld is the table of firewalld, which accepts by policy and rejects by its last
// rule.
const Firewalld = "firewalld"

// Chains by which those who keep a block let others through it.
const (
	dockerUser  = "DOCKER-USER"
	ufwForward  = "ufw-user-forward"
	ufw6Forward = "ufw6-user-forward"
)

// blocks are those of others that a bridge doesn't get through.
func (r *run) blocks(bridge string) ([]Block, error) {
	all, err := r.host.Blocks()
	if err != nil {
		return nil, fmt.Errorf("looking for what keeps the host from forwarding: %w", err)
	}
	return slices.DeleteFunc(all, func(block Block) bool {
		return !r.asksFamily(block.Family) ||
			slices.Contains(block.In, bridge) && slices.Contains(block.Out, bridge)
	}), nil
}

// asksFamily says whether a family of tables sees what the container sends.
func (r *run) asksFamily(family string) bool {
	switch family {
	case "ip":
		return r.config.Subnet != nil
	case "ip6":
		return r.config.HasIPv6()
	}
	return true
}

// String names a block.
func (b Block) String() string {
	if b.Table == Firewalld {
		return "firewalld"
	}
	return fmt.Sprintf("policy drop of chain %s in table %s %s", b.Chain, b.Family, b.Table)
}

// mend is the command that opens a block for a bridge, in both directions, with the tool of
// those who keep it: netsetgo never writes to tables of others.
func (b Block) mend(name string) string {
	iptables, ufw := "iptables", ufwForward
	if b.Family == "ip6" {
		iptables, ufw = "ip6tables", ufw6Forward
	}
	bridge := Quote(name)
	switch {
	case b.Table == Firewalld:
		return fmt.Sprintf("firewall-cmd --permanent --zone=trusted --add-interface=%s && firewall-cmd --reload", bridge)
	case slices.Contains(b.Chains, ufw):
		return fmt.Sprintf("ufw route allow in on %[1]s; ufw route allow out on %[1]s", bridge)
	case b.Table == "filter" && b.Chain == "FORWARD" && (b.Family == "ip" || b.Family == "ip6"):
		chain := b.Chain
		if slices.Contains(b.Chains, dockerUser) {
			chain = dockerUser
		}
		return fmt.Sprintf("%[1]s -I %[2]s -i %[3]s -j ACCEPT; %[1]s -I %[2]s -o %[3]s -j ACCEPT", iptables, chain, bridge)
	}
	insert := func(field string) string {
		return "nft " + Quote(fmt.Sprintf("insert rule %s %s %s %s %q accept", b.Family, b.Table, b.Chain, field, name))
	}
	return insert("iifname") + "; " + insert("oifname")
}
