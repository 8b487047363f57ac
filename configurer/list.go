package configurer

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// List implements netsetgo.Lister. It takes no lock: what comes or goes meanwhile
// is listed or not.
func (h *Host) List() ([]netsetgo.Listed, error) {
	host, err := h.kernel.Connect(nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = host.Close() }()
	bridges, err := host.Links(kindBridge)
	if err != nil {
		return nil, fmt.Errorf("listing bridges: %w", err)
	}
	names := map[int]string{}
	for _, bridge := range bridges {
		names[bridge.Index] = bridge.Name
	}
	hostLinks, err := host.Links(kindVeth)
	if err != nil {
		return nil, fmt.Errorf("listing host links: %w", err)
	}
	counters, err := host.Counters()
	if err != nil {
		return nil, fmt.Errorf("listing counters: %w", err)
	}
	list := []netsetgo.Listed{}
	for _, hostLink := range hostLinks {
		if hostLink.Group != lease.Group {
			continue
		}
		peer, err := host.Peer(hostLink)
		if errors.Is(err, ErrNotFound) {
			continue // its container is gone, and it is going
		}
		// From Linux 6.8 on to be asked about settles a carrier that has just come; a list doesn't.
		if !hostLink.Running {
			if settled, err := host.Link(Which{Index: hostLink.Index}); err == nil {
				hostLink.Running = settled.Running
			}
		}
		listed := listed(hostLink)
		listed.Bridge = names[hostLink.Master]
		// What the host link received, the container sent.
		listed.Received, listed.Sent = counters[hostLink.Index].Sent, counters[hostLink.Index].Received
		// A peer that can't be looked at, because this process mayn't or because the
		// container gave it too many names to fit into an answer, has no MAC here.
		if err == nil {
			listed.MAC = peer.MAC
		}
		list = append(list, listed)
	}
	return list, nil
}

// listed is what a host link says of its attachment.
func listed(hostLink Link) netsetgo.Listed {
	owner := lease.ReadOwner(hostLink.Altnames)
	l := netsetgo.Listed{
		Container: owner.ID, Interface: owner.ContainerInterface, Addresses: []netip.Addr{},
		HostLink: hostLink.Name, State: netsetgo.StateUp,
	}
	l.Addresses = append(l.Addresses, owner.Addresses...)
	switch {
	case !owner.Complete():
		l.State = netsetgo.StateIncomplete
	case !hostLink.Running:
		l.State = netsetgo.StateNoCarrier
	}
	if owner.Complete() && l.Container == "" {
		l.Container = fmt.Sprintf("net:[%d]", owner.Inode)
	}
	return l
}
