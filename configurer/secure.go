package configurer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// secure lets the container send from its own MAC and addresses only, and keeps it from
// its neighbours where the bridge is isolated.
func (r *run) secure(hostLink Link, addrs []netip.Addr, isolated bool) error {
	checks := r.config.SpoofCheck == netsetgo.Yes
	// A bridge whose packets are shown to the firewall (br_netfilter) sends what a
	// container sent to its own published port straight back to it.
	port := Port{Learning: !checks, Locked: checks, Isolated: isolated, Hairpin: len(r.config.Publish) > 0}
	steps := []step{{change: SetPort{hostLink.Index, port}, why: "how the bridge treats what the container sends"}}
	elements, lock := []firewall.Element{firewall.Unchecked(hostLink.Index)}, []firewall.Element(nil)
	if !checks {
		steps = append(steps, step{change: AddAltname{hostLink.Index, lease.UncheckedName(r.config.BridgeName, addrs[0])}, why: "so that later runs know that it may send what it likes"})
	} else {
		mac := r.mac(addrs)
		if err := r.sweepMAC(hostLink.Index, addrs); err != nil {
			return err
		}
		steps = append(steps, step{change: AddPortMAC{hostLink.Index, mac}, why: "what it sends comes from its own MAC"})
		elements = firewall.Sender(mac, addrs)
		if !hostLink.Port.CanLock {
			lock = firewall.Locked(hostLink.Index, mac)
		}
	}
	if r.noRules {
		elements = nil
	}
	for _, add := range slices.Concat(addElements(elements, "and from its own addresses"), addElements(lock, "its own MAC, which the port can't see to")) {
		add.undo = r.undoElements(hostLink.Index, add.change.(AddElements))
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
			if addr, _ := element.ContainerAddress(); slices.Equal(element.Sender(), mac) && !slices.Contains(addrs, addr) {
				stale = append(stale, element)
			}
		}
	}
	return r.deleteElements(stale, "the MAC stands for other addresses now")
}

// checkMAC refuses a MAC that was chosen for another port of the bridge already. That of a
// container which is just ending, as in a restart, is waited for.
func (r *run) checkMAC(hostLink int) error {
	link, err := r.host.Link(Which{Index: hostLink})
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("giving the container the MAC %s", r.config.MAC)
	began := time.Now()
	for {
		port, err := r.portWithMAC(link)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: looking who has it: %w", doing, err)
		}
		ours, dying := port.Group == lease.Group, false
		if ours {
			dying, err = r.dying(port)
		}
		if err != nil {
			return fmt.Errorf("%s: looking who has it: %w", doing, err)
		}
		if !ours || !dying && r.graceOver(began) {
			return fmt.Errorf("%s: port %s of the bridge has it; choose another -mac", doing, port.Name)
		}
		if err := r.wait(); err != nil {
			return fmt.Errorf("%s: waiting for its holder to go: %w", doing, err)
		}
	}
}

// portWithMAC finds another port of a host link's bridge that has the MAC which was chosen.
func (r *run) portWithMAC(hostLink Link) (Link, error) {
	ports, err := r.host.Ports(hostLink.Master)
	if err != nil {
		return Link{}, err
	}
	for _, port := range ports {
		macs, err := r.host.PortMACs(port)
		if errors.Is(err, ErrNotFound) {
			continue // it went just now
		}
		if err != nil {
			return Link{}, err
		}
		if port.Index != hostLink.Index && slices.ContainsFunc(macs, func(mac net.HardwareAddr) bool { return slices.Equal(mac, r.config.MAC) }) {
			return port, nil
		}
	}
	return Link{}, ErrNotFound
}

// undoElements takes away what a run added for a host link, or may have: an answer that was lost
// may have been that another has the port. Flows that already went to the container end, too.
func (r *run) undoElements(hostLink int, added AddElements) func() error {
	return func() error {
		found, err := r.host.Find(added.Elements...)
		mine := these(found, added.Elements)
		if err != nil || len(mine) == 0 {
			return err
		}
		var others error
		mine = slices.DeleteFunc(mine, func(element firewall.Element) bool {
			theirs, err := r.isAnothers(element, hostLink)
			others = errors.Join(others, err)
			return theirs || err != nil
		})
		if len(mine) == 0 {
			return others
		}
		changes := []Change{DeleteElements{added.Set, mine}}
		for _, forget := range forgetPorts(mine, "") {
			changes = append(changes, forget.change)
		}
		return errors.Join(others, reverse(r.host, changes...)())
	}
}

// isAnothers says whether the address of an element is leased by another host link: a run for
// the same container may have cleared this one's away while it waited for the lock, and have
// got the same.
func (r *run) isAnothers(element firewall.Element, hostLink int) (bool, error) {
	addr, ok := element.ContainerAddress()
	if !ok {
		return false, nil
	}
	holder, err := r.ours(lease.AddressName(r.config.BridgeName, addr))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && holder.Index != hostLink, err
}

// these are the ones found that are as wanted, also in where they lead: a port may be
// another's by now.
func these(found, wanted []firewall.Element) []firewall.Element {
	named := firewall.ByName(wanted)
	return slices.DeleteFunc(found, func(element firewall.Element) bool {
		one, ok := named[element.Name()]
		return !ok || one.String() != element.String()
	})
}
