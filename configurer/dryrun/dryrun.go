// Package dryrun is a kernel on which a run can be tried: it answers as the real one
// does, but keeps what is changed to itself, as far as a run looks at it again. It
// never changes anything, and takes no lock.
package dryrun

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
)

// Kernel returns a kernel that shows what another has, and all changes made to it
// since.
func Kernel(kernel configurer.Kernel) configurer.Kernel {
	return &dry{Kernel: kernel, host: newSpace(nil), containers: map[uint64]*space{}}
}

type dry struct {
	configurer.Kernel
	host *space
	// containers are known by the inodes of their namespaces.
	containers map[uint64]*space
}

// Connect implements configurer.Kernel.
func (k *dry) Connect(container *os.File) (configurer.Conn, error) {
	inner, err := k.Kernel.Connect(container)
	if err != nil {
		return nil, err
	}
	s := k.host
	if container != nil {
		if s, err = k.container(container); err != nil {
			return nil, errors.Join(err, inner.Close())
		}
	}
	return &conn{Conn: inner, kernel: k, space: s}, nil
}

func (k *dry) container(namespace *os.File) (*space, error) {
	inode, err := k.Inode(namespace)
	if err != nil {
		return nil, err
	}
	if k.containers[inode] == nil {
		k.containers[inode] = newSpace(namespace)
	}
	return k.containers[inode], nil
}

// TryLock implements configurer.Kernel: what changes nothing is in nobody's way.
func (k *dry) TryLock(configurer.Lock, bool) (configurer.Lock, error) { return nothing{}, nil }

type nothing struct{}

func (nothing) Release() error { return nil }

// space is what differs, in one namespace, from what is there.
type space struct {
	namespace *os.File // nil on the host
	// links that were made or changed, as they would be. Those that were made have
	// indices below 0, which no real link has.
	links map[int]configurer.Link
	gone  map[int]bool
	added map[int][]netip.Prefix // addresses, by link
	// tables are those that were made or deleted.
	tables map[firewall.Family]configurer.TableAt
	// elements of the rules' sets were added, deleted ones taken away.
	elements, deleted []firewall.Element
	sysctls           map[string]string
}

func newSpace(namespace *os.File) *space {
	return &space{
		namespace: namespace, links: map[int]configurer.Link{}, gone: map[int]bool{}, added: map[int][]netip.Prefix{},
		tables: map[firewall.Family]configurer.TableAt{}, sysctls: map[string]string{},
	}
}

// next is the index of a new link.
func (s *space) next() int { return -1 - len(s.links) }

// newNamespace is the number of a container's namespace that the host hasn't numbered
// yet: the kernel would do so with the first pair.
const newNamespace = 1 << 30

type conn struct {
	configurer.Conn
	kernel *dry
	space  *space
}

// Link implements configurer.Reader.
func (c *conn) Link(which configurer.Which) (configurer.Link, error) {
	for _, link := range c.space.links {
		named := link.Name == which.Name || slices.Contains(link.Altnames, which.Name)
		if !c.space.gone[link.Index] && (link.Index == which.Index || which.Index == 0 && named) {
			return link, nil
		}
	}
	if which.Index < 0 {
		return configurer.Link{}, configurer.ErrNotFound
	}
	link, err := c.Conn.Link(which)
	if err == nil && c.space.gone[link.Index] {
		return configurer.Link{}, configurer.ErrNotFound
	}
	return link, err
}

// Links implements configurer.Reader.
func (c *conn) Links(kind string) ([]configurer.Link, error) {
	links, err := c.Conn.Links(kind)
	return c.merge(links, func(link configurer.Link) bool { return link.Kind == kind }), err
}

// Ports implements configurer.Reader.
func (c *conn) Ports(bridge int) ([]configurer.Link, error) {
	var links []configurer.Link
	var err error
	if bridge > 0 {
		links, err = c.Conn.Ports(bridge)
	}
	return c.merge(links, func(link configurer.Link) bool { return link.Master == bridge }), err
}

// merge puts the links that were made or changed among those that are there.
func (c *conn) merge(links []configurer.Link, wanted func(configurer.Link) bool) []configurer.Link {
	merged := slices.DeleteFunc(links, func(link configurer.Link) bool {
		_, changed := c.space.links[link.Index]
		return changed
	})
	for _, link := range c.space.links {
		if wanted(link) && !c.space.gone[link.Index] {
			merged = append(merged, link)
		}
	}
	return merged
}

// Addresses implements configurer.Reader.
func (c *conn) Addresses(link int) ([]netip.Prefix, error) {
	var addresses []netip.Prefix
	var err error
	if link >= 0 {
		addresses, err = c.Conn.Addresses(link)
	}
	return append(addresses, c.space.added[link]...), err
}

// Routes implements configurer.Reader: those of links that are gone went with them.
func (c *conn) Routes() ([]configurer.Route, error) {
	routes, err := c.Conn.Routes()
	return slices.DeleteFunc(routes, func(route configurer.Route) bool { return c.space.gone[route.Link] }), err
}

// Table implements configurer.Reader.
func (c *conn) Table(table firewall.Outline) (configurer.TableAt, error) {
	if at, changed := c.space.tables[table.Family]; changed {
		return at, nil
	}
	return c.Conn.Table(table)
}

// Find implements configurer.Reader.
func (c *conn) Find(elements ...firewall.Element) ([]firewall.Element, error) {
	var found, others []firewall.Element
	for _, element := range elements {
		at := slices.IndexFunc(c.space.elements, element.SameKey)
		switch _, anew := c.space.tables[element.Set.Family]; {
		case at >= 0:
			found = append(found, c.space.elements[at])
		case !anew: // what is made anew has what it is given
			others = append(others, element)
		}
	}
	if len(others) == 0 {
		return c.without(found), nil
	}
	there, err := c.Conn.Find(others...)
	return c.without(append(found, there...)), err
}

// Elements implements configurer.Reader.
func (c *conn) Elements(set firewall.Set) ([]firewall.Element, error) {
	var elements []firewall.Element
	for _, element := range c.space.elements {
		if element.Set.Name == set.Name {
			elements = append(elements, element)
		}
	}
	if _, anew := c.space.tables[set.Family]; anew {
		return c.without(elements), nil
	}
	there, err := c.Conn.Elements(set)
	return c.without(append(elements, there...)), err
}

// Sysctl implements configurer.Reader.
func (c *conn) Sysctl(key string) (string, error) {
	if value, changed := c.space.sysctls[key]; changed {
		return value, nil
	}
	return c.Conn.Sysctl(key)
}

// without leaves out what was deleted.
func (c *conn) without(elements []firewall.Element) []firewall.Element {
	return slices.DeleteFunc(elements, func(element firewall.Element) bool {
		return slices.ContainsFunc(c.space.deleted, element.SameKey)
	})
}

// PortMACs implements configurer.Reader.
func (c *conn) PortMACs(port configurer.Link) ([]net.HardwareAddr, error) {
	if port.Index < 0 {
		return nil, nil
	}
	return c.Conn.PortMACs(port)
}

// RouteTo implements configurer.Reader: an address that was added leads to itself.
func (c *conn) RouteTo(addr netip.Addr) (configurer.Route, error) {
	for link, addresses := range c.space.added {
		for _, address := range addresses {
			if address.Addr() == addr {
				route := configurer.Route{Link: link}
				route.Destination = netip.PrefixFrom(addr, addr.BitLen())
				return route, nil
			}
		}
	}
	return c.Conn.RouteTo(addr)
}

// NamespaceID implements configurer.Reader.
func (c *conn) NamespaceID(namespace *os.File) (int, error) {
	id, err := c.Conn.NamespaceID(namespace)
	if errors.Is(err, configurer.ErrNotFound) {
		return newNamespace, nil
	}
	return id, err
}

// Do implements configurer.Conn.
func (c *conn) Do(steps ...configurer.Step) []error {
	errs := make([]error, len(steps))
	for i, step := range steps {
		errs[i] = c.do(step.Change)
	}
	return errs
}
