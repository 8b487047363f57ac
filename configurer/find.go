package configurer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// errForeign is of a container interface that netsetgo didn't make.
var errForeign = errors.New("a network interface of that name is there already, and isn't netsetgo's; " +
	"remove it, or choose another -containerInterface")

// errStale is of a host link with the number of the container's namespace, whose peer
// is elsewhere: moved by the container, or by another whose namespace had the number
// before. Either way nobody else's attachment.
var errStale = errors.New("the peer isn't in the container")

// byOwner finds the host link of the container's finished attachment by the name
// of its namespace: ErrNotFound where there is none, errStale beside one that is to
// be deleted.
func (r *run) byOwner() (Link, error) {
	host, err := r.ours(lease.NamespaceName(r.config.ContainerInterface, r.inode))
	if err != nil {
		return Link{}, err
	}
	here, err := r.peerIsHere(host)
	if err == nil && !here {
		err = errStale
	}
	return host, err
}

// ours finds a link of netsetgo's by a name: ErrNotFound also where somebody else's
// has it.
func (r *run) ours(name string) (Link, error) {
	link, err := r.host.Link(Which{Name: name})
	if err == nil && link.Group != lease.Group {
		err = ErrNotFound
	}
	return link, err
}

// hostLink finds the host link behind an interface of the container, which is not
// believed: a host link is of our group, and its peer is that very interface in
// that very namespace. Otherwise errForeign.
func (r *run) hostLink(peer Link) (Link, error) {
	if peer.Name != r.config.ContainerInterface {
		return Link{}, errForeign
	}
	host, err := r.host.Link(Which{Index: peer.Peer})
	if errors.Is(err, ErrNotFound) {
		return Link{}, errForeign
	}
	if err != nil {
		return Link{}, err
	}
	if host.Group != lease.Group || host.Peer != peer.Index {
		return Link{}, errForeign
	}
	ours, err := r.peerIsHere(host)
	if err == nil && !ours {
		err = errForeign
	}
	return host, err
}

// peerIsHere says whether the peer of a host link is in the container's namespace.
func (r *run) peerIsHere(host Link) (bool, error) {
	id, err := r.host.NamespaceID(r.namespace)
	if errors.Is(err, ErrNotFound) {
		return false, nil // no link of this host has its peer there
	}
	return err == nil && id == host.PeerNamespace, err
}

// dying says whether a host link is about to vanish with the container at its
// other end, whose namespace has no user any more.
func (r *run) dying(host Link) (bool, error) {
	switch host.PeerNamespace {
	case NoNamespace:
		return true, nil
	case SameNamespace:
		return false, nil
	}
	lives, err := r.host.NamespaceLives(host.PeerNamespace)
	return err == nil && !lives, err
}

// inspect reads an attachment of the container back, from its host link.
func (r *run) inspect(host Link) (netsetgo.Attachment, error) {
	owner := lease.ReadOwner(host.Altnames)
	attachment := netsetgo.Attachment{
		HostLink: netsetgo.Interface{Name: host.Name, MAC: host.MAC, MTU: host.MTU},
		Sandbox:  r.namespace.Name(),
		ID:       r.idOf(host, owner),

		SpoofCheck: !owner.Unchecked,
		Publish:    owner.Ports,
	}
	if err := r.inspectBridge(&attachment, host, owner); err != nil {
		return attachment, err
	}
	peer, err := r.container.Link(Which{Index: host.Peer})
	if err != nil {
		return attachment, fmt.Errorf("looking at %s in the container: %w", owner.ContainerInterface, err)
	}
	attachment.Container = netsetgo.Interface{Name: owner.ContainerInterface, MAC: peer.MAC, MTU: peer.MTU}
	routes, err := r.container.Routes()
	if err != nil {
		return attachment, fmt.Errorf("reading the routes of the container: %w", err)
	}
	for _, route := range routes {
		if route.Link == peer.Index && route.Gateway.IsValid() {
			attachment.Routes = append(attachment.Routes, route.Route)
		}
	}
	return attachment, nil
}

func (r *run) inspectBridge(attachment *netsetgo.Attachment, host Link, owner lease.Owner) error {
	if host.Master == 0 {
		return nil
	}
	bridge, err := r.host.Link(Which{Index: host.Master})
	if err != nil {
		return fmt.Errorf("looking at the bridge of %s: %w", host.Name, err)
	}
	attachment.Bridge = netsetgo.Interface{Name: bridge.Name, MAC: bridge.MAC, MTU: bridge.MTU}
	if note, _ := lease.ReadNote(bridge.Alias); bridge.Group == lease.Group && note.Policy != "" {
		policy := firewall.ParsePolicy(note.Policy)
		attachment.NAT, attachment.AllowInbound, attachment.Isolated = choice(policy.NAT), choice(policy.Inbound), choice(policy.Isolated)
	}
	attachment.BridgeAddresses, err = r.host.Addresses(bridge.Index)
	if err != nil {
		return fmt.Errorf("reading the addresses of bridge %s: %w", bridge.Name, err)
	}
	for _, addr := range owner.Addresses {
		leased := netsetgo.Lease{Address: addr}
		for _, prefix := range attachment.BridgeAddresses {
			if prefix.Contains(addr) {
				leased.Gateway = prefix
			}
		}
		attachment.Leases = append(attachment.Leases, leased)
	}
	return nil
}

func choice(yes bool) netsetgo.Choice {
	if yes {
		return netsetgo.Yes
	}
	return netsetgo.No
}

// idOf is the id that a host link was claimed by: the one asked for, where its name
// is there, of which a long one shows only a part.
func (r *run) idOf(host Link, owner lease.Owner) string {
	if r.asked.ID != "" && slices.Contains(host.Altnames, lease.IDName(owner.ContainerInterface, r.asked.ID)) {
		return r.asked.ID
	}
	return owner.ID
}
