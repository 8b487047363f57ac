package configurer

import (
	"net"
	"slices"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// compareSecurity looks at what the container may send, and which ports lead to it.
func (c *comparison) compareSecurity() error {
	if c.addresses == nil || c.bridge.Index == 0 {
		return nil
	}
	note, _ := lease.ReadNote(c.bridge.Alias)
	for _, flag := range c.policyFlags(note) {
		if c.bridge.Group == lease.Group && flag.differs() {
			c.differs(flag.name+" of "+c.bridge.Name, !flag.has, flag.has, anew)
		}
	}
	addrs, checks := addressesOf(c.addresses), c.config.SpoofCheck == netsetgo.Yes
	c.differs("spoofCheck of "+c.hostLink.Name, checks, !lease.ReadOwner(c.hostLink.Altnames).Unchecked, anew)
	// Off a bridge, a link doesn't say what it could be as a port.
	canLock := c.hostLink.Port.CanLock || c.hostLink.Master == 0
	asked := Port{CanLock: canLock, Learning: !checks, Locked: checks && canLock, Isolated: firewall.ParsePolicy(note.Policy).Isolated, Hairpin: c.hostLink.Port.Hairpin || len(c.config.Publish) > 0}
	is := c.hostLink.Port
	is.CanLock = canLock
	if is != asked {
		change := SetPort{Link: c.hostLink.Index, Port: asked}
		c.differs("port "+c.hostLink.Name, asked, is, c.onHost(change))
	}
	wanted := []firewall.Element{firewall.Unchecked(c.hostLink.Index)}
	if checks {
		mac := c.mac(addrs)
		wanted = firewall.Sender(mac, addrs)
		if !asked.CanLock {
			wanted = append(wanted, firewall.Locked(c.hostLink.Index, mac)...)
		}
		macs, err := c.host.PortMACs(c.hostLink)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(macs, func(known net.HardwareAddr) bool { return slices.Equal(known, mac) }) {
			c.differs("MAC known of port "+c.hostLink.Name, mac, missing, c.onHost(AddPortMAC{c.hostLink.Index, mac}))
		}
	}
	for _, port := range c.config.Publish {
		c.compareName(lease.PortName(port))
		wanted = append(wanted, firewall.Ports(port, addrs)...)
	}
	return c.compareElements(wanted, nil)
}
