package configurer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
	// rulesGone says that there are no rules to look for elements in.
	rulesGone bool
	// apart is how many of found are mended apart from the attachment.
	apart int
	// addresses are those that the container should have, of each family; nil where
	// nobody can tell.
	addresses []netip.Prefix
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
	for _, compare := range []func() error{c.compareLoopback, c.compareBridge, c.compareMaster, c.compareLease, c.compareLinks, c.compareRoutes, c.compareSecurity} {
		if err == nil {
			err = compare()
		}
	}
	// Where one thing needs a new attachment, that mends the others, too; to mend them
	// one by one, before or after, could leave the old lease beside the new one.
	own := c.found[c.apart:]
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
	return Command(change, c.nameOnHost)
}

func (c *comparison) nameOnHost(index int) string {
	switch index {
	case c.bridge.Index:
		return c.bridge.Name
	case c.hostLink.Index:
		return c.hostLink.Name
	}
	return c.remembered[index].Name
}

func (c *comparison) inside(change Change) string {
	return InNamespace(c.namespace, Command(change, c.nameInside))
}

func (c *comparison) nameInside(index int) string {
	if index == loopback {
		return "lo"
	}
	return c.peer.Name
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

// compareBridge looks at the bridge that is asked for, and how the host reaches the
// container by it.
func (c *comparison) compareBridge() error {
	name := c.config.BridgeName
	bridge, err := c.host.Link(Which{Name: name})
	if errors.Is(err, ErrNotFound) {
		return nil // which compareMaster tells
	}
	if err == nil && (bridge.Kind != kindBridge || bridge.Name != name) {
		err = fmt.Errorf("looking for bridge %s: that is a name of %s; choose another -bridgeName", name, describe(bridge))
	}
	if err != nil {
		return err
	}
	c.bridge = bridge
	ours := wasOurs(bridge)
	if ours {
		c.differs("group of "+name, lease.Group, bridge.Group, fmt.Sprintf("ip link set dev %s group %d", Quote(name), lease.Group))
	}
	c.differs("state of "+name, "up", state(bridge), c.onHost(SetUp{bridge.Index, true}))
	addresses, err := c.host.Addresses(bridge.Index)
	if err != nil {
		return err
	}
	// That of any of its addresses: it was made with one, and may have got others.
	derived := func(address netip.Prefix) bool { return slices.Equal(lease.ContainerMAC(address.Addr()), bridge.MAC) }
	if first := c.config.Families()[0].Gateway; ours && !derived(first) && !slices.ContainsFunc(addresses, derived) {
		mac := lease.ContainerMAC(first.Addr())
		c.differs("MAC of "+name, mac, bridge.MAC, c.onHost(SetMAC{bridge.Index, mac}))
	}
	for _, family := range c.config.Families() {
		var err error
		switch gateway := family.Gateway; {
		case !slices.Contains(addresses, gateway): // which brings the route
			c.differs("address of "+name, gateway, list(addresses), c.onHost(AddAddress{bridge.Index, gateway}))
		case ours: // else, how it is reached is somebody else's to say
			err = c.compareSubnet(c.host, bridge, gateway)
		}
		if err != nil {
			return err
		}
	}
	if ours {
		return c.compareProtection()
	}
	err = c.compareRules()
	if errors.Is(err, ErrNoFirewall) && c.config.SpoofCheck == netsetgo.No {
		c.rulesGone = true // and nothing needs them
		return nil
	}
	return err
}

// compareSubnet looks at the route that comes with an address and with a link that
// is up.
func (c *comparison) compareSubnet(conn Conn, link Link, address netip.Prefix) error {
	routes, err := conn.Routes()
	if err != nil || !link.Up {
		return err
	}
	there := func(route Route) bool {
		return route.Link == link.Index && route.Destination == address.Masked() && !route.Gateway.IsValid()
	}
	if slices.ContainsFunc(routes, there) {
		return nil
	}
	mend := fmt.Sprintf("ip route replace %s dev %s proto kernel scope link src %s", address.Masked(), Quote(link.Name), address.Addr())
	if address.Addr().Is6() {
		mend = fmt.Sprintf("ip -6 route replace %s dev %s proto kernel metric 256", address.Masked(), Quote(link.Name))
	}
	if conn == c.container {
		mend = InNamespace(c.namespace, mend)
	}
	c.differs(fmt.Sprintf("route %s by %s", address.Masked(), link.Name), present, missing, mend)
	return nil
}

// compareMaster looks whether the host link is ours, and on the bridge. From here on
// it is the attachment that is looked at.
func (c *comparison) compareMaster() error {
	host := c.hostLink
	c.differs("group of "+host.Name, lease.Group, host.Group, fmt.Sprintf("ip link set dev %s group %d", Quote(host.Name), lease.Group))
	c.apart = len(c.found)
	if c.bridge.Index == 0 {
		c.differs("bridge "+c.config.BridgeName, present, missing, anew)
		return c.checkAnew()
	}
	master := "none"
	if host.Master != 0 {
		link, err := c.host.Link(Which{Index: host.Master})
		if err != nil {
			return err
		}
		master = link.Name
	}
	c.differs("master of "+host.Name, c.bridge.Name, master,
		fmt.Sprintf("ip link set dev %s master %s", Quote(host.Name), Quote(c.bridge.Name)))
	return nil
}

// checkAnew refuses to offer a new attachment to a bridge that couldn't be made: the
// old one would be gone by then. A bridge that goes with the old one is in nobody's way.
func (c *comparison) checkAnew() error {
	if c.hostLink.Master != 0 {
		ports, err := c.host.Ports(c.hostLink.Master)
		if err != nil || len(ports) == 1 {
			return err
		}
	}
	for _, family := range c.config.Families() {
		if err := c.checkSubnet(family.Gateway); err != nil {
			return err
		}
	}
	return nil
}

func state(link Link) string {
	if link.Up {
		return "up"
	}
	return "down"
}
