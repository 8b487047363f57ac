package configurer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// retire removes a bridge of ours that has no port, with the lock held alone.
func (r *run) retire(bridge Link) error {
	if err := r.leave(bridge); err != nil {
		return err
	}
	return r.delete(bridge, "no port is left on it")
}

// leave takes down what holds for a bridge of ours: its record goes to another bridge of
// ours or, of the last one, all is put back as it was.
func (r *run) leave(bridge Link) error {
	// Another that went just now may have handed its record over to this one.
	bridge, err := r.host.Link(Which{Index: bridge.Index})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	note, _ := lease.ReadNote(bridge.Alias)
	others, err := r.ourBridges()
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(other Link) bool { return other.Index == bridge.Index })
	if others, err = r.withPolicy(others); err != nil {
		return err
	}
	var steps []step
	if len(others) == 0 {
		steps, err = r.putBack(bridge, note)
	} else {
		steps, err = r.handOver(bridge, note, others)
	}
	if err == nil {
		err = r.andForget(steps)
	}
	if err != nil {
		return fmt.Errorf("taking down the rules of bridge %s: %w", bridge.Name, err)
	}
	return nil
}

// withPolicy leaves out bridges whose first run is still at work. One with ports has only had
// its alias emptied.
func (r *run) withPolicy(bridges []Link) ([]Link, error) {
	var some []Link
	for _, bridge := range bridges {
		if note, ok := lease.ReadNote(bridge.Alias); ok && note.Policy == "" {
			if ports, err := r.host.Ports(bridge.Index); err != nil {
				return nil, err
			} else if len(ports) == 0 {
				continue
			}
		}
		some = append(some, bridge)
	}
	return some, nil
}

// handOver gives what a bridge remembers of links that are there to another, and takes its
// elements away.
func (r *run) handOver(bridge Link, note lease.Note, others []Link) ([]step, error) {
	left, err := r.stillThere(note.Was)
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, other := range others {
		heir, ok := lease.ReadNote(other.Alias)
		if !ok || len(left) == 0 {
			continue
		}
		heir.Was, err = r.stillThere(heir.Was)
		if err != nil {
			return nil, err
		}
		for _, was := range left {
			if !slices.Contains(heir.Was, was) {
				heir.Was = append(heir.Was, was)
			}
		}
		steps = append(steps, step{change: SetAlias{other.Index, heir.String()}, why: "remembers from now on what the uplinks were"})
		break
	}
	if note.Policy == "" {
		return steps, nil
	}
	found, err := r.host.Find(firewall.ParsePolicy(note.Policy).Elements(bridge.Name)...)
	for _, element := range found {
		steps = append(steps, step{change: DeleteElements{element.Set, []firewall.Element{element}}, why: "the rules hold for it no more"})
	}
	return steps, err
}

// putBack leaves the host as the first run found it; what is left to do for that is returned.
func (r *run) putBack(bridge Link, note lease.Note) ([]step, error) {
	router, err := r.isRouter()
	if err != nil {
		return nil, err
	}
	lost, err := r.lostWas(note.Was)
	if err != nil {
		return nil, err
	}
	note.Was = append(lost, note.Was...)
	for _, was := range slices.Backward(note.Was) {
		link, ok, err := r.linkOf(was)
		if err != nil {
			return nil, err
		}
		// To make the host a router opened the link as well (inet_forward_change,
		// net/ipv4/devinet.c): who did that still wants it.
		stays := router && was.Sysctl == sysctlForwarding
		if !ok || stays {
			continue
		}
		// A link with an MTU below 1280 has none of IPv6.
		err = r.do(r.host, step{change: SetSysctl{keyOf(was, link), was.Value}, why: "as it was before the first container"})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	// Containers on bridges of others need the rules still.
	hostLinks, err := r.host.Links(kindVeth)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(hostLinks, func(link Link) bool { return link.Group == lease.Group }) {
		wanted, unwanted, err := r.bridgeElements(bridge, note)
		if err == nil {
			err = r.deleteElements(append(wanted, unwanted...), "the rules hold for it no more")
		}
		if errors.Is(err, ErrNoFirewall) {
			return nil, nil // there are none
		}
		return nil, err
	}
	var steps []step
	for _, set := range firewall.PortMaps() {
		elements, err := r.host.Elements(set)
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNoFirewall) {
			return nil, err
		}
		r.flows = append(r.flows, forgetPorts(elements, "they went to containers that are gone")...)
	}
	for _, table := range firewall.Outlines() {
		at, err := r.host.Table(table)
		if errors.Is(err, ErrNoFirewall) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if at.There {
			steps = append(steps, step{change: DeleteTable{table.Family}, why: "no bridge is left that it is for"})
		}
	}
	return steps, nil
}

// dropRules takes the tables away where nobody of ours is left, with the lock held alone.
func (r *run) dropRules() error {
	if err := r.relock(true, r.config.Deadline); err != nil {
		return err
	}
	if used, err := r.rulesUsed(); used || err != nil {
		return err
	}
	if err := r.goOn(); err != nil {
		return err
	}
	steps, err := r.putBack(Link{}, lease.Note{})
	if err != nil {
		return err
	}
	return r.andForget(steps)
}

// rulesUsed says whether a bridge or a host link of ours is left.
func (r *run) rulesUsed() (bool, error) {
	for _, kind := range []string{kindBridge, kindVeth} {
		links, err := r.host.Links(kind)
		if err != nil || slices.ContainsFunc(links, func(link Link) bool { return link.Group == lease.Group }) {
			return true, err
		}
	}
	return false, nil
}
