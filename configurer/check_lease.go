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

// compareLease looks at what makes the host link ours, and finds out its addresses.
func (c *comparison) compareLease() error {
	host, owner := c.hostLink, lease.ReadOwner(c.hostLink.Altnames)
	prefix := c.config.VethNamePrefix
	if number, ok := strings.CutPrefix(host.Name, prefix); !ok || strings.Trim(number, "0123456789") != "" {
		c.differs("name of the host link", prefix+" and a number", host.Name, anew)
	}
	for _, family := range c.config.Families() {
		addr, err := c.compareAddress(family, owner)
		if err != nil {
			return err
		}
		if addr.IsValid() {
			c.addresses = append(c.addresses, netip.PrefixFrom(addr, family.Gateway.Bits()))
		}
	}
	if len(c.addresses) < len(c.config.Families()) {
		c.addresses = nil
	}
	if id := c.config.ID; id != "" && !c.config.IDIsHint {
		name := lease.IDName(c.config.ContainerInterface, id)
		if err := c.checkHolder(name, strconv.Quote(id)); err != nil {
			return err
		}
		if owner.ID != "" && !slices.Contains(host.Altnames, name) {
			c.differs("id of "+host.Name, strconv.Quote(id), strconv.Quote(owner.ID), anew)
		} else {
			c.compareName(name)
		}
	}
	c.compareName(lease.NamespaceName(c.config.ContainerInterface, c.inode))
	return nil
}

// compareAddress looks at the lease of one family, and returns the address that the
// container should have of it.
func (c *comparison) compareAddress(family netsetgo.Family, owner lease.Owner) (netip.Addr, error) {
	what, subnet := "lease of "+c.hostLink.Name, family.Gateway.Masked()
	var leased netip.Addr
	for _, addr := range owner.Addresses {
		if addr.Is4() == subnet.Addr().Is4() {
			leased = addr
		}
	}
	addr := cmp.Or(family.Address, leased)
	if !addr.IsValid() {
		c.differs(what, "an address of "+subnet.String(), missing, anew)
		return addr, nil
	}
	name := lease.AddressName(c.config.BridgeName, addr)
	switch {
	case leased.IsValid() && leased != addr:
		c.differs(what, addr, leased, anew)
	case !subnet.Contains(addr):
		c.differs(what, "an address of "+subnet.String(), addr, anew)
	case owner.Bridge != "" && owner.Bridge != c.config.BridgeName:
		c.differs(what, "one of "+c.config.BridgeName, "one of "+owner.Bridge, anew)
	default:
		c.compareName(name)
	}
	return addr, c.checkHolder(name, addr.String())
}

// checkHolder refuses to compare with what is somebody else's: no command would mend
// that.
func (c *comparison) checkHolder(name, what string) error {
	holder, err := c.host.Link(Which{Name: name})
	if errors.Is(err, ErrNotFound) || err == nil && holder.Index == c.hostLink.Index {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("looking for %s: %s holds it, by host link %s; choose another", what, lease.ReadOwner(holder.Altnames), holder.Name)
}

func (c *comparison) compareName(name string) {
	if !slices.Contains(c.hostLink.Altnames, name) {
		c.differs("name "+name+" of "+c.hostLink.Name, present, missing, c.onHost(AddAltname{c.hostLink.Index, name}))
	}
}
