// Package trace shows the changes that the configurers ask of a kernel, as commands
// that can be pasted into a shell. It stands between the two and sees the very
// calls that are made; it never makes, leaves out or alters one.
package trace

import (
	"fmt"
	"os"

	"github.com/netsetgo/netsetgo/configurer"
)

// Event is one change, after it was tried.
type Event struct {
	// Command makes the same change, typed on the host.
	Command string
	// Why is a few words.
	Why string
	// Err is nil where the change was made.
	Err error
}

// Kernel returns a kernel that tells report of each change.
func Kernel(kernel configurer.Kernel, report func(Event)) configurer.Kernel {
	return traced{kernel, report}
}

type traced struct {
	configurer.Kernel
	report func(Event)
}

// Connect implements configurer.Kernel.
func (k traced) Connect(container *os.File) (configurer.Conn, error) {
	inner, err := k.Kernel.Connect(container)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, container: container, report: k.report, names: map[int]string{}}, nil
}

// conn remembers the names of the links that pass by: whoever changes a link has
// looked at it, or made it, so that nothing has to be asked for the sake of showing.
type conn struct {
	configurer.Conn
	container *os.File // nil on the host
	report    func(Event)
	names     map[int]string
}

// Link implements configurer.Reader.
func (c *conn) Link(which configurer.Which) (configurer.Link, error) {
	link, err := c.Conn.Link(which)
	if err == nil {
		c.names[link.Index] = link.Name
	}
	return link, err
}

// Links implements configurer.Reader.
func (c *conn) Links(kind string) ([]configurer.Link, error) { return c.seen(c.Conn.Links(kind)) }

// Ports implements configurer.Reader.
func (c *conn) Ports(bridge int) ([]configurer.Link, error) { return c.seen(c.Conn.Ports(bridge)) }

func (c *conn) seen(links []configurer.Link, err error) ([]configurer.Link, error) {
	for _, link := range links {
		c.names[link.Index] = link.Name
	}
	return links, err
}

// name is a link's; where it wasn't seen, a form that ip(8) takes for its index
// (ll_name_to_index, iproute2's lib/ll_map.c).
func (c *conn) name(index int) string {
	if name, ok := c.names[index]; ok {
		return name
	}
	return fmt.Sprintf("if%d", index)
}

// Do implements configurer.Conn.
func (c *conn) Do(steps ...configurer.Step) []error {
	events := make([]Event, len(steps))
	for i, step := range steps {
		command := configurer.Command(step.Change, c.name)
		if c.container != nil {
			command = configurer.InNamespace(c.container, command)
		}
		events[i] = Event{Command: command, Why: step.Why}
	}
	errs := c.Conn.Do(steps...)
	for i, err := range errs {
		events[i].Err = err
		c.report(events[i])
		switch change := steps[i].Change.(type) {
		case configurer.AddBridge:
			c.names[*change.Index] = change.Name
		case configurer.AddPair:
			c.names[*change.Index] = change.Name
		}
	}
	return errs
}
