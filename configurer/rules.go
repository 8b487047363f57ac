package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// protect sees to it that a bridge of ours has its policy, that all rules are there, and
// that the host forwards for it: nearly always all is as it should be.
func (r *run) protect(bridge Link) (Link, error) {
	ours := bridge.Group == lease.Group
	note, _ := lease.ReadNote(bridge.Alias)
	if !ours {
		if done, err := r.leaveAlone(bridge); done || err != nil {
			return bridge, err
		}
	} else if note.Policy != "" {
		if err := r.comparePolicy(bridge, note); err != nil {
			return bridge, err
		}
		done, err := r.protected(bridge, note)
		if done || err != nil {
			return bridge, err
		}
	}
	// What is shared is changed with the lock held alone.
	if err := r.relock(true, r.config.Deadline); err != nil {
		return bridge, fmt.Errorf("putting up the rules of bridge %s: %w", bridge.Name, err)
	}
	protect := r.protectAlone
	if !ours {
		r.undos = append(r.undos, r.dropRules)
		protect = func(int) error { return r.makeRules() }
	}
	err := protect(bridge.Index)
	if err == nil {
		err = r.relock(false, r.config.Deadline)
	}
	if err != nil {
		return bridge, err
	}
	bridge, err = r.host.Link(Which{Index: bridge.Index})
	if errors.Is(err, ErrNotFound) {
		err = errAgain // it went while nobody held the lock
	}
	return bridge, err
}

// leaveAlone is for a bridge of somebody else's, who says what it is like: it refuses
// what would change that, and says whether the rules are there for the container alone.
func (r *run) leaveAlone(bridge Link) (bool, error) {
	for flag, asked := range map[string]bool{
		"nat": r.asked.NAT == netsetgo.Yes, "allowInbound": r.asked.AllowInbound != netsetgo.Default,
		"isolated": r.asked.Isolated == netsetgo.Yes, "publish": len(r.asked.Publish) > 0,
	} {
		if asked {
			return false, fmt.Errorf("connecting to bridge %s: it isn't netsetgo's, who made it says what it is like; leave -%s out, or choose another -bridgeName", bridge.Name, flag)
		}
	}
	there, err := r.rulesThere()
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
func (r *run) protected(bridge Link, note lease.Note) (bool, error) {
	if there, err := r.rulesThere(); !there || err != nil {
		return false, err
	}
	wanted := firewall.ParsePolicy(note.Policy).Elements(bridge.Name)
	found, err := r.host.Find(wanted...)
	if err != nil || len(found) < len(wanted) {
		return false, err
	}
	if len(r.bridgeSysctls(bridge)) > 0 {
		return false, nil
	}
	closed, err := r.closedUplinks()
	return err == nil && len(closed) == 0, err
}

// rulesThere says whether all rules are there, by their number: to read them all takes
// too long for each run, and is what check does.
func (r *run) rulesThere() (bool, error) {
	for _, table := range firewall.Tables() {
		there, err := r.host.Table(table)
		if err != nil {
			return false, fmt.Errorf("looking for the rules of %s: %w", table.Family, err)
		}
		if there.Version != firewall.Version || !maps.Equal(there.Uses, table.Uses()) {
			return false, nil
		}
	}
	return true, nil
}

// protectAlone decides the bridge's policy, puts the rules up, and lets the host forward.
func (r *run) protectAlone(index int) error {
	bridge, err := r.host.Link(Which{Index: index})
	if err != nil {
		return againIfGone(err)
	}
	note, _ := lease.ReadNote(bridge.Alias)
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
	if err := r.mendRules(bridge, note); err != nil {
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

// mendRules makes the rules anew where any is missing, and else adds what is missing of
// the bridge's elements.
func (r *run) mendRules(bridge Link, note lease.Note) error {
	there, err := r.rulesThere()
	if err != nil {
		return err
	}
	if !there {
		return r.makeRules()
	}
	wanted := firewall.ParsePolicy(note.Policy).Elements(bridge.Name)
	found, err := r.host.Find(wanted...)
	if err != nil || len(found) == len(wanted) {
		return err
	}
	return r.do(r.host, addElements(wanted, "the rules hold for bridge "+bridge.Name)...)
}

// makeRules makes both tables anew, with all that the links of this host say should be in
// them: the work of others too, should somebody have flushed the rules.
func (r *run) makeRules() error {
	var steps []step
	for _, table := range firewall.Tables() {
		at, err := r.host.Table(table)
		if err != nil {
			return err
		}
		if at.There {
			steps = append(steps, step{change: DeleteTable{table.Family}, why: "it isn't whole"})
		}
		steps = append(steps, step{change: AddTable{table.Family, firewall.Version}, why: "netsetgo's own rules"})
		for _, set := range table.Sets {
			steps = append(steps, step{change: AddSet{set}, why: "of what the rules hold for"})
		}
		for _, chain := range table.Chains {
			steps = append(steps, step{change: AddChain{chain}, why: "where the kernel enters the rules"})
		}
		for _, chain := range table.Chains {
			for _, rule := range chain.Rules {
				steps = append(steps, step{change: AddRule{chain, rule}, why: rule.Why})
			}
		}
	}
	elements, err := r.allElements()
	if err != nil {
		return err
	}
	return r.do(r.host, append(steps, addElements(elements, "what the links of this host ask for")...)...)
}

// addElements puts elements into their sets, one step for each set.
func addElements(elements []firewall.Element, why string) []step {
	var steps []step
	for _, element := range elements {
		if n := len(steps) - 1; n >= 0 {
			if last := steps[n].change.(AddElements); last.Set.Name == element.Set.Name && len(last.Elements) < maxElements {
				last.Elements = append(last.Elements, element)
				steps[n].change = last
				continue
			}
		}
		steps = append(steps, step{change: AddElements{element.Set, []firewall.Element{element}}, why: why})
	}
	return steps
}

// maxElements keeps one change readable, and its message small.
const maxElements = 256

// allElements are those that the bridges and host links of this host ask for, sorted by
// their sets.
func (r *run) allElements() ([]firewall.Element, error) {
	bridges, err := r.ourBridges()
	if err != nil {
		return nil, err
	}
	var elements []firewall.Element
	for _, bridge := range bridges {
		note, _ := lease.ReadNote(bridge.Alias)
		if note.Policy == "" {
			continue // its run is still at work
		}
		elements = append(elements, firewall.ParsePolicy(note.Policy).Elements(bridge.Name)...)
		for _, was := range note.Was {
			link, ok, err := r.linkOf(was)
			if err != nil {
				return nil, err
			}
			if ok {
				elements = append(elements, elementsOf(was, link)...)
			}
		}
	}
	hostLinks, err := r.host.Links(kindVeth)
	if err != nil {
		return nil, err
	}
	for _, hostLink := range hostLinks {
		if hostLink.Group != lease.Group {
			continue
		}
		some, err := r.hostLinkElements(hostLink)
		if err != nil {
			return nil, err
		}
		elements = append(elements, some...)
	}
	slices.SortStableFunc(elements, func(a, b firewall.Element) int { return cmp.Compare(a.Set.Name, b.Set.Name) })
	return elements, nil
}

// hostLinkElements are those of a container, as its host link tells them.
func (r *run) hostLinkElements(hostLink Link) ([]firewall.Element, error) {
	owner := lease.ReadOwner(hostLink.Altnames)
	if len(owner.Addresses) == 0 {
		return nil, nil
	}
	var elements []firewall.Element
	var macs []net.HardwareAddr
	if hostLink.Port.Learning {
		elements = append(elements, firewall.Unchecked(hostLink.Index))
	} else {
		var err error
		if macs, err = r.host.PortMACs(hostLink); err != nil {
			return nil, err
		}
	}
	for _, mac := range macs {
		elements = append(elements, firewall.Sender(mac, owner.Addresses)...)
		if !hostLink.Port.CanLock {
			elements = append(elements, firewall.Locked(hostLink.Index, mac)...)
		}
	}
	for _, port := range owner.Ports {
		elements = append(elements, firewall.Ports(port, owner.Addresses)...)
	}
	return elements, nil
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

// secure lets the container send from its own MAC and addresses only, and keeps it from
// its neighbours where the bridge is isolated.
func (r *run) secure(hostLink int, addrs []netip.Addr, isolated bool) error {
	checks := r.config.SpoofCheck == netsetgo.Yes
	// A bridge whose packets are shown to the firewall (br_netfilter) sends what a
	// container sent to its own published port straight back to it.
	port := Port{Learning: !checks, Locked: checks, Isolated: isolated, Hairpin: len(r.config.Publish) > 0}
	steps := []step{{change: SetPort{hostLink, port}, why: "how the bridge treats what the container sends"}}
	elements := []firewall.Element{firewall.Unchecked(hostLink)}
	if checks {
		mac := r.mac(addrs)
		if err := r.sweepMAC(hostLink, addrs); err != nil {
			return err
		}
		steps = append(steps, step{change: AddPortMAC{hostLink, mac}, why: "what it sends comes from its own MAC"})
		elements = firewall.Sender(mac, addrs)
	}
	if r.noRules {
		elements = nil
	}
	for _, add := range addElements(elements, "and from its own addresses") {
		add.undo = undoElements(r.host, add.change.(AddElements))
		steps = append(steps, add)
	}
	return r.do(r.host, steps...)
}

// lockByRule lets the container send from its own MAC only where the kernel doesn't know
// locked ports, which it doesn't say when it is told to lock one (before Linux 5.18).
func (r *run) lockByRule(hostLink Link, addrs []netip.Addr) error {
	if r.config.SpoofCheck != netsetgo.Yes || hostLink.Port.CanLock {
		return nil
	}
	var steps []step
	for _, add := range addElements(firewall.Locked(hostLink.Index, r.mac(addrs)), "its own MAC, which the port can't see to") {
		add.undo = undoElements(r.host, add.change.(AddElements))
		steps = append(steps, add)
	}
	return r.do(r.host, steps...)
}

// sweepMAC takes away what a MAC that was chosen stood for before. One that is derived
// stands for nothing but its addresses.
func (r *run) sweepMAC(hostLink int, addrs []netip.Addr) error {
	mac := r.config.MAC
	if mac == nil {
		return nil
	}
	if lease.IsDerived(mac) && !slices.Equal(mac, lease.ContainerMAC(addrs...)) {
		return fmt.Errorf("giving the container the MAC %s: netsetgo derives such ones from other addresses; choose another -mac", mac)
	}
	if err := r.checkMAC(hostLink); err != nil {
		return err
	}
	var stale []firewall.Element
	for _, set := range firewall.SenderSets() {
		elements, err := r.host.Elements(set)
		if err != nil {
			return err
		}
		for _, element := range elements {
			if addr, _ := element.ContainerAddress(); element.Sends(mac) && !slices.Contains(addrs, addr) {
				stale = append(stale, element)
			}
		}
	}
	return r.deleteElements(stale, "the MAC stands for other addresses now")
}

// checkMAC refuses a MAC that was chosen for another port of the bridge already.
func (r *run) checkMAC(hostLink int) error {
	link, err := r.host.Link(Which{Index: hostLink})
	if err != nil {
		return err
	}
	ports, err := r.host.Ports(link.Master)
	if err != nil {
		return err
	}
	for _, port := range ports {
		macs, err := r.host.PortMACs(port)
		if err != nil {
			return err
		}
		if port.Index != hostLink && slices.ContainsFunc(macs, func(mac net.HardwareAddr) bool { return slices.Equal(mac, r.config.MAC) }) {
			return fmt.Errorf("giving the container the MAC %s: port %s of the bridge has it; choose another -mac", r.config.MAC, port.Name)
		}
	}
	return nil
}

func undoElements(conn Conn, added AddElements) func() error {
	return reverse(conn, DeleteElements(added))
}
