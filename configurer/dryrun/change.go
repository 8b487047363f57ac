package dryrun

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
)

const (
	// maxPorts is BR_MAX_PORTS less the one that is never given, net/bridge/br_private.h.
	maxPorts = 1023
	// newMTU is what a bridge begins with: ETH_DATA_LEN, linux/if_ether.h.
	newMTU = 1500
)

// do keeps a change, or refuses it as the kernel would.
func (c *conn) do(change configurer.Change) error {
	switch change := change.(type) {
	case configurer.AddBridge:
		return c.addBridge(change)
	case configurer.AddPair:
		return c.addPair(change)
	case configurer.DeleteLink:
		return c.deleteLink(change.Link)
	case configurer.SetUp:
		return c.setUp(change)
	case configurer.SetMTU:
		return c.set(change.Link, func(link *configurer.Link) { link.MTU = change.MTU })
	case configurer.SetMAC:
		return c.set(change.Link, func(link *configurer.Link) { link.MAC = change.MAC })
	case configurer.SetAlias:
		return c.set(change.Link, func(link *configurer.Link) { link.Alias = change.Alias })
	case configurer.AddAltname:
		if err := c.free(change.Name); err != nil {
			return err
		}
		return c.set(change.Link, func(link *configurer.Link) {
			link.Altnames = append(slices.Clone(link.Altnames), change.Name)
		})
	case configurer.AddAddress:
		return c.addAddress(change)
	case configurer.AddRoute:
		return c.checkRoute(change.Route)
	case configurer.SetPort:
		return c.set(change.Link, func(link *configurer.Link) {
			change.Port.CanLock = link.Port.CanLock
			link.Port = change.Port
		})
	case configurer.AddTable:
		c.space.tables[change.Family] = wholeTable(change)
		return nil
	case configurer.DeleteTable:
		c.space.tables[change.Family] = configurer.TableAt{}
		return nil
	case configurer.SetSysctl:
		return c.setSysctl(change)
	case configurer.AddElements:
		return c.addElements(change)
	case configurer.DeleteElements:
		c.space.deleted = append(c.space.deleted, change.Elements...)
		return nil
	// What a run never looks at again, or only undoes.
	case configurer.AddSet, configurer.AddChain, configurer.AddRule,
		configurer.AddPortMAC, configurer.ForgetFlows:
		return nil
	case configurer.SilenceIPv6, configurer.DeleteAddress, configurer.DeleteRoute:
		return nil
	}
	return fmt.Errorf("trying a run: %T isn't known to -dryRun", change)
}

// free says whether a name can be given.
func (c *conn) free(name string) error {
	_, err := c.Link(configurer.Which{Name: name})
	switch {
	case err == nil:
		return configurer.ErrExists
	case errors.Is(err, configurer.ErrNotFound):
		return nil
	}
	return err
}

// set changes a copy of a link.
func (c *conn) set(index int, change func(*configurer.Link)) error {
	link, err := c.Link(configurer.Which{Index: index})
	if err == nil {
		change(&link)
		c.space.links[index] = link
	}
	return err
}

func (c *conn) addBridge(change configurer.AddBridge) error {
	if err := c.free(change.Name); err != nil {
		return err
	}
	settings, err := c.newSettings()
	if err != nil {
		return err
	}
	*change.Index = c.space.next()
	c.space.links[*change.Index] = configurer.Link{
		Index: *change.Index, Name: change.Name, Kind: "bridge", MAC: change.MAC, Group: change.Group, MTU: newMTU,
		PeerNamespace: configurer.SameNamespace, Settings: settings,
	}
	return nil
}

// loopback is the index of lo (LOOPBACK_IFINDEX, net/net_namespace.h).
const loopback = 1

// newSettings are those that a new link begins with. What the kernel knows of, lo tells.
func (c *conn) newSettings() (configurer.Settings, error) {
	lo, err := c.Link(configurer.Which{Index: loopback})
	if err != nil {
		return configurer.Settings{}, err
	}
	settings := configurer.Settings{HasIPv6: lo.Settings.HasIPv6, HasForce: lo.Settings.HasForce}
	for key, set := range map[string]func(value string){
		"net/ipv4/conf/default/forwarding":       func(value string) { settings.Forwarding = value != "0" },
		"net/ipv4/conf/default/route_localnet":   func(value string) { settings.RouteLocalnet = value != "0" },
		"net/ipv6/conf/default/force_forwarding": func(value string) { settings.ForceForwarding = value != "0" },
		"net/ipv6/conf/default/accept_ra":        func(value string) { settings.AcceptRA, _ = strconv.Atoi(value) },
	} {
		value, err := c.Sysctl(key)
		if errors.Is(err, configurer.ErrNotFound) {
			continue
		}
		if err != nil {
			return settings, err
		}
		set(value)
	}
	return settings, nil
}

func (c *conn) addPair(change configurer.AddPair) error {
	if err := c.free(change.Name); err != nil {
		return err
	}
	inside, err := c.kernel.Connect(change.PeerNamespace)
	if err != nil {
		return err
	}
	container := inside.(*conn)
	defer func() { _ = container.Close() }()
	if err := container.free(change.Peer); err != nil {
		return err
	}
	ports, err := c.Ports(change.Master)
	if err != nil {
		return err
	}
	if len(ports) >= maxPorts {
		return configurer.ErrFull
	}
	number, err := c.NamespaceID(change.PeerNamespace)
	if err != nil {
		return err
	}
	canLock, err := c.locksPorts()
	if err != nil {
		return err
	}
	host := configurer.Link{
		Name: change.Name, Kind: "veth", MTU: change.MTU, MAC: change.MAC,
		Master: change.Master, Group: change.Group, PeerNamespace: number, Port: configurer.Port{Learning: true, CanLock: canLock},
	}
	peer := configurer.Link{Name: change.Peer, Kind: "veth", MTU: change.MTU, MAC: change.PeerMAC}
	host.Index, peer.Index = c.space.next(), container.space.next()
	host.Peer, peer.Peer = peer.Index, host.Index
	c.space.links[host.Index], container.space.links[peer.Index] = host, peer
	*change.Index, *change.CanLock = host.Index, canLock
	return nil
}

// setUp takes it that the other end of a port comes up as well: then it and its bridge carry.
func (c *conn) setUp(change configurer.SetUp) error {
	master := 0
	err := c.set(change.Link, func(link *configurer.Link) {
		link.Up, master = change.Up, link.Master
		link.Running = change.Up && master != 0
	})
	if err != nil || master == 0 || !change.Up {
		return err
	}
	return c.set(master, func(bridge *configurer.Link) { bridge.Running = true })
}

// locksPorts says whether the kernel knows of locked ports, which it tells of a port only: so it
// goes by its version, though there may be one that had them earlier.
func (c *conn) locksPorts() (bool, error) {
	release, err := c.Sysctl("kernel/osrelease")
	var major, minor int
	if err == nil {
		_, err = fmt.Sscanf(release, "%d.%d", &major, &minor)
	}
	return major > 5 || major == 5 && minor >= 18, err
}

// deleteLink takes a peer in a container along.
func (c *conn) deleteLink(index int) error {
	link, err := c.Link(configurer.Which{Index: index})
	if err != nil {
		return err
	}
	c.space.gone[index] = true
	c.space.links[index] = link
	for _, container := range c.kernel.containers {
		id, err := c.NamespaceID(container.namespace)
		if err != nil {
			return err
		}
		if id == link.PeerNamespace {
			container.gone[link.Peer] = true
		}
	}
	return nil
}

func (c *conn) addAddress(change configurer.AddAddress) error {
	addresses, err := c.Addresses(change.Link)
	if err != nil {
		return err
	}
	if slices.Contains(addresses, change.Address) {
		return configurer.ErrExists
	}
	c.space.added[change.Link] = append(c.space.added[change.Link], change.Address)
	return nil
}

// wholeTable is a table as it is once all of it was made: nothing else is done to one.
func wholeTable(change configurer.AddTable) configurer.TableAt {
	at := configurer.TableAt{There: true, Version: change.Version}
	for _, outline := range firewall.Outlines() {
		if outline.Family == change.Family {
			at.Uses = outline.Uses
		}
	}
	return at
}

// addElements refuses only what the kernel has otherwise.
func (c *conn) addElements(change configurer.AddElements) error {
	found, err := c.Find(change.Elements...)
	if err != nil {
		return err
	}
	for _, there := range found {
		for _, element := range change.Elements {
			if there.SameKey(element) && there.String() != element.String() {
				return configurer.ErrExists
			}
		}
	}
	c.space.elements = append(c.space.elements, change.Elements...)
	return nil
}

// setSysctl changes what is seen of a link, too.
func (c *conn) setSysctl(change configurer.SetSysctl) error {
	c.space.sysctls[change.Key] = change.Value
	parts := strings.Split(change.Key, "/") // net/ipv4/conf/LINK/NAME
	if len(parts) != 5 {
		return nil
	}
	link, err := c.Link(configurer.Which{Name: parts[3]})
	if errors.Is(err, configurer.ErrNotFound) {
		return nil // all links, or those to come
	}
	if err != nil {
		return err
	}
	return c.set(link.Index, func(link *configurer.Link) {
		switch on := change.Value != "0"; parts[1] + " " + parts[4] {
		case "ipv4 forwarding":
			link.Settings.Forwarding = on
		case "ipv4 route_localnet":
			link.Settings.RouteLocalnet = on
		case "ipv6 force_forwarding":
			link.Settings.ForceForwarding = on
		case "ipv6 accept_ra":
			link.Settings.AcceptRA, _ = strconv.Atoi(change.Value)
		}
	})
}

func (c *conn) checkRoute(route configurer.Route) error {
	routes, err := c.Routes()
	if err != nil {
		return err
	}
	for _, other := range routes {
		if other.Destination == route.Destination && other.Metric == route.Metric {
			return configurer.ErrExists
		}
	}
	return nil
}
