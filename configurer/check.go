package configurer

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// Check implements netsetgo.Checker. It takes no lock, which would make a file.
func (h *Host) Check(netConfig netsetgo.NetworkConfig, pid int) ([]netsetgo.Difference, error) {
	r := newRun(h.kernel, netConfig)
	defer r.close()
	if err := r.enter(pid); err != nil {
		return nil, err
	}
	if err := r.connect(); err != nil {
		return nil, err
	}
	c := comparison{run: r, found: []netsetgo.Difference{}}
	if err := c.compare(); err != nil {
		return nil, fmt.Errorf("checking %s: %w", r.config.ContainerInterface, err)
	}
	return c.found, nil
}

// comparison is of an attachment with what is asked for.
type comparison struct {
	*run
	found []netsetgo.Difference

	hostLink, bridge, peer Link
	// ofBridge is how many of found are of the bridge alone.
	ofBridge int
	// address is the one that the container should have; the zero Addr where nobody
	// can tell.
	address netip.Addr
}

const (
	// anew is the remedy where no single command is one.
	anew = ""

	present = "present"
	missing = netsetgo.Missing
)

func (c *comparison) compare() error {
	err := c.find()
	if errors.Is(err, ErrNotFound) || errors.Is(err, errForeign) {
		c.differs("attachment of "+c.config.ContainerInterface, present, missing, anew)
		return nil
	}
	for _, compare := range []func() error{c.compareBridge, c.compareLease, c.compareLinks, c.compareLoopback, c.compareRoutes} {
		if err == nil {
			err = compare()
		}
	}
	// Where one thing needs a new attachment, that mends the others, too; to mend them
	// one by one, before or after, could leave the old lease beside the new one.
	own := c.found[c.ofBridge:]
	if slices.ContainsFunc(own, func(d netsetgo.Difference) bool { return d.Mend == anew }) {
		for i := range own {
			own[i].Mend = anew
		}
	}
	return err
}

// differs notes a difference, if it is one.
func (c *comparison) differs(what string, asked, is any, mend string) {
	if asked, is := fmt.Sprint(asked), fmt.Sprint(is); asked != is {
		c.found = append(c.found, netsetgo.Difference{What: what, Asked: asked, Is: is, Mend: mend})
	}
}

// onHost and inside are changes as commands typed on the host.
func (c *comparison) onHost(change Change) string {
	return Command(change, func(index int) string {
		if index == c.bridge.Index {
			return c.bridge.Name
		}
		return c.hostLink.Name
	})
}

func (c *comparison) inside(change Change) string {
	return InNamespace(c.namespace, Command(change, func(index int) string {
		if index == loopback {
			return "lo"
		}
		return c.peer.Name
	}))
}

// find looks for the two ends in every way: what one goes by may be what is wrong.
func (c *comparison) find() error {
	hostLink, err := c.host.Link(Which{Name: lease.NamespaceName(c.config.ContainerInterface, c.inode)})
	if err == nil {
		var here bool
		if here, err = c.peerIsHere(hostLink); err == nil && !here {
			err = ErrNotFound
		}
	}
	if errors.Is(err, ErrNotFound) {
		var peer Link
		if peer, err = c.container.Link(Which{Name: c.config.ContainerInterface}); err == nil {
			hostLink, err = c.run.hostLink(peer)
		}
	}
	if err != nil {
		return err
	}
	c.hostLink = hostLink
	c.peer, err = c.container.Link(Which{Index: hostLink.Peer})
	return err
}

// compareBridge looks at the bridge that is asked for, and whether the host link is
// on it.
func (c *comparison) compareBridge() error {
	name, gateway := c.config.BridgeName, c.config.Gateway()
	bridge, err := c.host.Link(Which{Name: name})
	if errors.Is(err, ErrNotFound) || err == nil && (bridge.Kind != kindBridge || bridge.Name != name) {
		c.differs("bridge "+name, present, missing, anew)
		return nil
	}
	if err != nil {
		return err
	}
	c.bridge = bridge
	c.differs("state of "+name, "up", state(bridge), c.onHost(SetUp{bridge.Index, true}))
	addresses, err := c.host.Addresses(bridge.Index)
	if err != nil {
		return err
	}
	// That of any of its addresses: it was made with one, and may have got others.
	derived := func(address netip.Prefix) bool { return slices.Equal(lease.ContainerMAC(address.Addr()), bridge.MAC) }
	if bridge.Group == lease.Group && !derived(gateway) && !slices.ContainsFunc(addresses, derived) {
		mac := lease.ContainerMAC(gateway.Addr())
		c.differs("MAC of "+name, mac, bridge.MAC, c.onHost(SetMAC{bridge.Index, mac}))
	}
	if !slices.Contains(addresses, gateway) {
		c.differs("address of "+name, gateway, list(addresses), c.onHost(AddAddress{bridge.Index, gateway}))
	}
	c.ofBridge = len(c.found)
	master := "none"
	if c.hostLink.Master != 0 {
		link, err := c.host.Link(Which{Index: c.hostLink.Master})
		if err != nil {
			return err
		}
		master = link.Name
	}
	c.differs("master of "+c.hostLink.Name, name, master, fmt.Sprintf("ip link set dev %s master %s", Quote(c.hostLink.Name), Quote(name)))
	return nil
}

func state(link Link) string {
	if link.Up {
		return "up"
	}
	return "down"
}

// compareLease looks at what makes the host link ours, and finds out its address.
func (c *comparison) compareLease() error {
	host, owner := c.hostLink, lease.ReadOwner(c.hostLink.Altnames)
	c.differs("group of "+host.Name, lease.Group, host.Group, fmt.Sprintf("ip link set dev %s group %d", Quote(host.Name), lease.Group))
	prefix := c.config.VethNamePrefix
	if number, ok := strings.CutPrefix(host.Name, prefix); !ok || strings.Trim(number, "0123456789") != "" {
		c.differs("name of the host link", prefix+" and a number", host.Name, anew)
	}
	c.address = cmp.Or(c.config.ContainerAddr(), owner.Address)
	subnet := c.config.Gateway().Masked()
	switch {
	case !c.address.IsValid():
		c.differs("lease of "+host.Name, present, missing, anew)
	case owner.Address.IsValid() && owner.Address != c.address:
		c.differs("lease of "+host.Name, c.address, owner.Address, anew)
	case !subnet.Contains(c.address):
		c.differs("lease of "+host.Name, "an address of "+subnet.String(), c.address, anew)
	case owner.Bridge != "" && owner.Bridge != c.config.BridgeName:
		c.differs("lease of "+host.Name, "one of "+c.config.BridgeName, "one of "+owner.Bridge, anew)
	default:
		c.compareName(lease.AddressName(c.config.BridgeName, c.address))
	}
	if id := c.config.ID; id != "" && !c.config.IDIsHint {
		name := lease.IDName(c.config.ContainerInterface, id)
		if owner.ID != "" && !slices.Contains(host.Altnames, name) {
			c.differs("id of "+host.Name, strconv.Quote(id), strconv.Quote(owner.ID), anew)
		} else {
			c.compareName(name)
		}
	}
	c.compareName(lease.NamespaceName(c.config.ContainerInterface, c.inode))
	return nil
}

func (c *comparison) compareName(name string) {
	if !slices.Contains(c.hostLink.Altnames, name) {
		c.differs("name "+name+" of "+c.hostLink.Name, present, missing, c.onHost(AddAltname{c.hostLink.Index, name}))
	}
}

// compareLinks looks at the two ends.
func (c *comparison) compareLinks() error {
	host, peer := c.hostLink, c.peer
	mtu, err := c.mtu()
	if err != nil {
		return err
	}
	if mtu == 0 {
		// The bridge's, which follows its ports: of the two ends, the lower was changed.
		mtu = max(host.MTU, peer.MTU)
	}
	there := c.config.ContainerInterface + " in the container"
	c.differs("name of "+there, c.config.ContainerInterface, peer.Name, anew)
	c.differs("state of "+host.Name, "up", state(host), c.onHost(SetUp{host.Index, true}))
	c.differs("state of "+there, "up", state(peer), c.inside(SetUp{peer.Index, true}))
	c.differs("MTU of "+host.Name, mtu, host.MTU, c.onHost(SetMTU{host.Index, mtu}))
	c.differs("MTU of "+there, mtu, peer.MTU, c.inside(SetMTU{peer.Index, mtu}))
	if !c.address.IsValid() {
		return nil
	}
	mac := c.config.MAC
	if mac == nil {
		mac = lease.ContainerMAC(c.address)
	}
	c.differs("MAC of "+there, mac, peer.MAC, c.inside(SetMAC{peer.Index, mac}))
	addresses, err := c.container.Addresses(peer.Index)
	if asked := netip.PrefixFrom(c.address, c.config.Gateway().Bits()); err == nil && !slices.Contains(addresses, asked) {
		c.differs("address of "+there, asked, list(addresses), c.inside(AddAddress{peer.Index, asked}))
	}
	return err
}

func (c *comparison) compareLoopback() error {
	lo, err := c.container.Link(Which{Index: loopback})
	if err != nil {
		return err
	}
	c.differs("state of lo in the container", "up", state(lo), c.inside(SetUp{loopback, true}))
	if !lo.Up {
		return nil // what brings it up gives it its address (inetdev_event, net/ipv4/devinet.c)
	}
	addresses, err := c.container.Addresses(loopback)
	const asked = "127.0.0.1/8"
	if err == nil && !slices.Contains(addresses, netip.MustParsePrefix(asked)) {
		c.differs("address of lo in the container", asked, list(addresses), InNamespace(c.namespace, "ip address add "+asked+" dev lo"))
	}
	return err
}

func (c *comparison) compareRoutes() error {
	routes, err := c.container.Routes()
	if err != nil {
		return err
	}
	asked := c.config.AllRoutes()
	for _, each := range asked {
		route := Route{Route: each, Link: c.peer.Index}
		if !slices.Contains(routes, route) {
			c.differs("route "+describeRoute(each)+" of the container", present, missing, c.inside(AddRoute{route}))
		}
	}
	for _, route := range routes {
		if c.config.DefaultRoute == netsetgo.No && route.Link == c.peer.Index && route.Destination.Bits() == 0 && !slices.Contains(asked, route.Route) {
			c.differs("route "+describeRoute(route.Route)+" of the container", "none", present, c.deleteDefault(route))
		}
	}
	return nil
}

// deleteDefault is for a route that somebody else made, by whatever protocol.
func (c *comparison) deleteDefault(route Route) string {
	command := "ip route delete default dev " + Quote(c.peer.Name)
	if route.Gateway.IsValid() {
		command += " via " + route.Gateway.String()
	}
	if route.Metric != 0 {
		command += " metric " + strconv.Itoa(route.Metric)
	}
	return InNamespace(c.namespace, command)
}
