package configurer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// protect sees to it that a bridge of ours has its policy, that all rules are there, with
// some elements of a container's, and that the host forwards for it: nearly always all is
// as it should be.
func (r *run) protect(bridge Link, own []firewall.Element) (Link, error) {
	done, err := r.looksProtected(bridge, own)
	if done || err != nil {
		return bridge, err
	}
	again := func() (bool, error) {
		now, err := r.host.Link(Which{Index: bridge.Index})
		if err != nil {
			return false, againIfGone(err) // while nobody held the lock
		}
		bridge = now
		return r.looksProtected(bridge, own)
	}
	// What is shared is changed with the lock held alone.
	alone, err := r.aloneUnless(again)
	if err != nil {
		return bridge, err
	}
	if alone {
		if bridge.Group == lease.Group {
			err = r.protectAlone(bridge.Index, own)
		} else {
			r.undos = append(r.undos, r.dropRules)
			err = r.mendRules(own, nil)
		}
		if err == nil {
			err = r.relock(false, r.config.Deadline)
		}
		if err != nil {
			return bridge, err
		}
	}
	bridge, err = r.host.Link(Which{Index: bridge.Index})
	return bridge, againIfGone(err)
}

// looksProtected says whether nothing is to be done for a bridge, and refuses one that is
// otherwise than asked for.
func (r *run) looksProtected(bridge Link, own []firewall.Element) (bool, error) {
	if bridge.Group != lease.Group {
		return r.leaveAlone(bridge, own)
	}
	note, err := noteOf(bridge)
	if note.Policy == "" || err != nil {
		return false, err
	}
	if err := r.comparePolicy(bridge, note); err != nil {
		return false, err
	}
	return r.protected(bridge, note, own)
}

// noteOf is the note of a bridge of ours. One that was overwritten says no more whether the
// bridge is closed, or isolated, on which its containers rely.
func noteOf(bridge Link) (lease.Note, error) {
	note, ok := lease.ReadNote(bridge.Alias)
	if !ok {
		return note, fmt.Errorf("connecting to bridge %s: its alias, in which netsetgo remembers what the bridge is like, was overwritten with %q; "+
			"empty it, and the flags of the next up decide that anew: %s", bridge.Name, bridge.Alias, emptyAlias(bridge))
	}
	return note, nil
}

func emptyAlias(bridge Link) string {
	return Command(SetAlias{Link: bridge.Index}, func(int) string { return bridge.Name })
}

// leaveAlone is for a bridge of somebody else's, who says what it is like: it refuses
// what would change that, and says whether the rules are there for the container alone.
func (r *run) leaveAlone(bridge Link, own []firewall.Element) (bool, error) {
	for _, each := range []struct {
		flag  string
		asked bool
	}{
		{"nat", r.asked.NAT == netsetgo.Yes},
		{"allowInbound", r.asked.AllowInbound != netsetgo.Default},
		{"isolated", r.asked.Isolated == netsetgo.Yes},
		{"publish", len(r.asked.Publish) > 0},
	} {
		if each.asked {
			return false, fmt.Errorf("connecting to bridge %s: it isn't netsetgo's, who made it says what it is like; leave -%s out, or choose another -bridgeName", bridge.Name, each.flag)
		}
	}
	there, err := r.rulesHold(own, nil)
	// Then there is nothing to see to.
	if errors.Is(err, ErrNoFirewall) && r.config.SpoofCheck == netsetgo.No {
		r.noRules = true
		return true, nil
	}
	return there, err
}

// policy is what is asked for.
func (r *run) policy() firewall.Policy {
	return firewall.Policy{
		NAT:      r.config.NAT == netsetgo.Yes,
		Inbound:  r.config.AllowInbound == netsetgo.Yes,
		Isolated: r.config.Isolated == netsetgo.Yes,
	}
}

// policyFlag is a flag that is of the bridge.
type policyFlag struct {
	name  string
	asked netsetgo.Choice
	has   bool
}

// differs says whether it was asked for otherwise.
func (f policyFlag) differs() bool {
	return f.asked != netsetgo.Default && f.has != (f.asked == netsetgo.Yes)
}

func (r *run) policyFlags(note lease.Note) []policyFlag {
	has := firewall.ParsePolicy(note.Policy)
	return []policyFlag{
		{"nat", r.asked.NAT, has.NAT},
		{"allowInbound", r.asked.AllowInbound, has.Inbound},
		{"isolated", r.asked.Isolated, has.Isolated},
	}
}

// comparePolicy refuses to connect to a bridge that is otherwise than asked for: its
// containers rely on what it is.
func (r *run) comparePolicy(bridge Link, note lease.Note) error {
	for _, flag := range r.policyFlags(note) {
		if flag.differs() {
			return fmt.Errorf("connecting to bridge %s: it was made with -%s=%t, which its containers rely on; leave the flag out, or choose another -bridgeName",
				bridge.Name, flag.name, flag.has)
		}
	}
	return nil
}

// protected says whether nothing is missing.
func (r *run) protected(bridge Link, note lease.Note, own []firewall.Element) (bool, error) {
	wanted, unwanted, err := r.bridgeElements(bridge, note)
	if err != nil {
		return false, err
	}
	if hold, err := r.rulesHold(append(wanted, own...), unwanted); !hold || err != nil {
		return false, err
	}
	if len(r.bridgeSysctls(bridge)) > 0 {
		return false, nil
	}
	closed, err := r.closedUplinks()
	return err == nil && len(closed) == 0, err
}

// protectAlone decides the bridge's policy, puts the rules up, and lets the host forward.
func (r *run) protectAlone(index int, own []firewall.Element) error {
	bridge, err := r.host.Link(Which{Index: index})
	if err != nil {
		return againIfGone(err)
	}
	note, err := noteOf(bridge)
	if err != nil {
		return err
	}
	if note.Policy == "" {
		note.Policy = r.policy().String()
		err := r.do(r.host, step{SetAlias{bridge.Index, note.String()}, "what the bridge is like", r.unlessUsed(bridge.Name, func(now Link) error {
			if err := r.leave(now); err != nil {
				return err
			}
			return reverse(r.host, SetAlias{now.Index, bridge.Alias})()
		})})
		if err != nil {
			return err
		}
	} else if err := r.comparePolicy(bridge, note); err != nil {
		return err
	}
	// Rules made anew would hold for it no more, and it would be forgotten: as it is where the
	// note has no room.
	if err := r.remember(bridge, &note); err != nil {
		return err
	}
	wanted, unwanted, err := r.bridgeElements(bridge, note)
	if err == nil {
		err = r.mendRules(append(wanted, own...), unwanted)
	}
	if err != nil {
		return fmt.Errorf("putting up the rules: %w", err)
	}
	var steps []step
	for _, change := range r.bridgeSysctls(bridge) {
		closed := SetSysctl{change.(SetSysctl).Key, "0"}
		steps = append(steps, step{change, "the host forwards what comes from the bridge", r.unlessUsed(bridge.Name, func(Link) error {
			return reverse(r.host, closed)()
		})})
	}
	if len(steps) > 0 {
		if err := r.do(r.host, steps...); err != nil {
			return err
		}
	}
	if err := r.warnOfBlocks(bridge.Name); err != nil {
		return err
	}
	return r.openUplinks(bridge, note)
}

// warnOfBlocks tells of what others keep from being forwarded.
func (r *run) warnOfBlocks(bridge string) error {
	if r.warn == nil {
		return nil
	}
	blocks, err := r.blocks(bridge)
	for _, block := range blocks {
		r.warn(fmt.Sprintf("%s keeps bridge %s from the world; to open it: %s", block, bridge, block.mend(bridge)))
	}
	return err
}

func againIfGone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return errAgain
	}
	return err
}

// wasOurs says whether netsetgo made a bridge, also where somebody changed its group since.
func wasOurs(bridge Link) bool {
	_, noted := lease.ReadNote(bridge.Alias)
	return bridge.Group == lease.Group || noted && bridge.Alias != ""
}

// ourBridges are the bridges that netsetgo made.
func (r *run) ourBridges() ([]Link, error) {
	bridges, err := r.host.Links(kindBridge)
	return slices.DeleteFunc(bridges, func(bridge Link) bool { return bridge.Group != lease.Group }), err
}

// bridgeSysctls are those that a bridge of ours lacks to forward. They go with it.
func (r *run) bridgeSysctls(bridge Link) []Change {
	var changes []Change
	for _, family := range r.config.Families() {
		switch {
		case family.Gateway.Addr().Is4() && !bridge.Settings.Forwarding:
			changes = append(changes, SetSysctl{sysctl4(bridge.Name, sysctlForwarding), "1"})
		case family.Gateway.Addr().Is6() && bridge.Settings.HasForce && !bridge.Settings.ForceForwarding:
			changes = append(changes, SetSysctl{sysctl6(bridge.Name, sysctlForce), "1"})
		}
	}
	return changes
}
