// Package dryrun is a kernel on which a run can be tried: it answers as the real one
// does, but keeps what is changed to itself, as far as a run looks at it again. It
// never changes anything, and takes no lock.
package dryrun

import (
	"errors"
	"net/netip"
	"os"
	"slices"

	"github.com/netsetgo/netsetgo/configurer"
)

// Kernel returns a kernel that shows what another has, and all changes made to it
// since.
func Kernel(kernel configurer.Kernel) configurer.Kernel {
	return &dry{Kernel: kernel, host: newSpace(), containers: map[uint64]*space{}}
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
		k.containers[inode] = newSpace()
	}
	return k.containers[inode], nil
}

// TryLock implements configurer.Kernel: what changes nothing is in nobody's way.
func (k *dry) TryLock(configurer.Lock, bool) (configurer.Lock, error) { return nothing{}, nil }

type nothing struct{}

func (nothing) Release() error { return nil }

// space is what differs, in one namespace, from what is there.
type space struct {
	// links that were made or changed, as they would be. Those that were made have
	// indices below 0, which no real link has.
	links map[int]configurer.Link
	gone  map[int]bool
}

func newSpace() *space {
	return &space{links: map[int]configurer.Link{}, gone: map[int]bool{}}
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
		if link.Index == which.Index || which.Index == 0 && named {
			return c.present(link)
		}
	}
	if which.Index < 0 {
		return configurer.Link{}, configurer.ErrNotFound
	}
	link, err := c.Conn.Link(which)
	if err != nil {
		return configurer.Link{}, err
	}
	return c.present(link)
}

func (c *conn) present(link configurer.Link) (configurer.Link, error) {
	withPeer := c.space != c.kernel.host && link.Peer != 0 && c.kernel.host.gone[link.Peer]
	if c.space.gone[link.Index] || withPeer {
		return configurer.Link{}, configurer.ErrNotFound
	}
	return link, nil
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
		return changed || c.space.gone[link.Index]
	})
	for _, link := range c.space.links {
		if wanted(link) && !c.space.gone[link.Index] {
			merged = append(merged, link)
		}
	}
	return merged
}

// Peer implements configurer.Reader.
func (c *conn) Peer(link configurer.Link) (configurer.Link, error) {
	if link.Peer > 0 {
		return c.Conn.Peer(link)
	}
	for _, container := range c.kernel.containers {
		if peer, ok := container.links[link.Peer]; ok && peer.Peer == link.Index {
			return peer, nil
		}
	}
	return configurer.Link{}, configurer.ErrNotFound
}

// Addresses implements configurer.Reader.
func (c *conn) Addresses(link int) ([]netip.Prefix, error) {
	if link < 0 {
		return nil, nil
	}
	return c.Conn.Addresses(link)
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
