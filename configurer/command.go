package configurer

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/netsetgo/netsetgo"
)

// Names tells the name of a link by its index, as commands have it.
type Names func(index int) string

// Command is a change as somebody would type it, in the namespace of its links; see
// ip-link(8), ip-address(8) and ip-route(8).
func Command(change Change, names Names) string { return change.command(names) }

func (c AddBridge) command(Names) string {
	return fmt.Sprintf("ip link add name %s address %s group %d type bridge", Quote(c.Name), c.MAC, c.Group)
}

// Both ends are made in their places by one line of ip too.
func (c AddPair) command(names Names) string {
	const queues = "numtxqueues 1 numrxqueues 1"
	return fmt.Sprintf("ip link add name %s address %s mtu %d master %s group %d %s type veth peer name %s address %s mtu %d %s netns %s",
		Quote(c.Name), c.MAC, c.MTU, Quote(names(c.Master)), c.Group, queues,
		Quote(c.Peer), c.PeerMAC, c.MTU, queues, Quote(cmp.Or(namedNamespace(c.PeerNamespace), c.PeerNamespace.Name())))
}

func (c DeleteLink) command(names Names) string {
	return "ip link delete dev " + Quote(names(c.Link))
}

func (c SetUp) command(names Names) string {
	state := "down"
	if c.Up {
		state = "up"
	}
	return setLink(names, c.Link, state)
}

func (c SetMTU) command(names Names) string {
	return setLink(names, c.Link, "mtu "+strconv.Itoa(c.MTU))
}

func (c SetMAC) command(names Names) string {
	return setLink(names, c.Link, "address "+c.MAC.String())
}

func (c SetAlias) command(names Names) string {
	return setLink(names, c.Link, "alias "+Quote(c.Alias))
}

func (c SilenceIPv6) command(names Names) string {
	return setLink(names, c.Link, "addrgenmode none")
}

func (c AddAltname) command(names Names) string {
	return fmt.Sprintf("ip link property add dev %s altname %s", Quote(names(c.Link)), Quote(c.Name))
}

func (c AddAddress) command(names Names) string {
	// Leased addresses are nobody else's: there is nothing to wait for.
	how := "nodad"
	if c.Address.Addr().Is4() {
		how = "broadcast " + netsetgo.Broadcast(c.Address).String()
	}
	return fmt.Sprintf("ip address add %s %s dev %s", c.Address, how, Quote(names(c.Link)))
}

func (c DeleteAddress) command(names Names) string {
	return fmt.Sprintf("ip address delete %s dev %s", c.Address, Quote(names(c.Link)))
}

func (c AddRoute) command(names Names) string { return c.Route.command("add", names) }

func (c DeleteRoute) command(names Names) string { return c.Route.command("delete", names) }

func setLink(names Names, index int, what string) string {
	return fmt.Sprintf("ip link set dev %s %s", Quote(names(index)), what)
}

// command names the protocol too, for which ip(8) has a default of its own; a route is
// deleted whoever made it.
func (r Route) command(verb string, names Names) string {
	destination := r.Destination.String()
	if r.Destination.Bits() == 0 {
		destination = "default"
	}
	ip := "ip"
	if r.Destination.Addr().Is6() {
		ip = "ip -6"
	}
	text := fmt.Sprintf("%s route %s %s", ip, verb, destination)
	if r.Gateway.IsValid() {
		text += " via " + r.Gateway.String()
	}
	text += " dev " + Quote(names(r.Link))
	if verb != "delete" {
		text += " proto static"
	}
	if r.Metric != 0 {
		text += " metric " + strconv.Itoa(r.Metric)
	}
	return text
}

// namedNamespaces is where `ip netns` keeps its namespaces.
const namedNamespaces = "/run/netns"

// namedNamespace is the name that `ip netns` knows a namespace by, or "".
func namedNamespace(namespace *os.File) string {
	directory, name := filepath.Split(namespace.Name())
	if filepath.Clean(directory) == namedNamespaces {
		return name
	}
	return ""
}

// InNamespace is a command as it is typed outside of the namespace that it is for.
func InNamespace(namespace *os.File, command string) string {
	if name := namedNamespace(namespace); name != "" {
		if rest, ok := strings.CutPrefix(command, "ip "); ok {
			return "ip -netns " + Quote(name) + " " + rest
		}
	}
	return "nsenter --net=" + Quote(namespace.Name()) + " " + command
}

// Quote is a text as one word for any POSIX shell, printable whatever is in it: names
// may come from containers. A line's end at the text's own end is lost.
func Quote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	}
	odd := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsGraphic(r) }
	switch {
	case strings.ContainsFunc(text, odd):
		// By numbers, what can't be seen, and what means something to printf or a shell.
		var escaped strings.Builder
		for _, b := range []byte(text) {
			if b >= ' ' && b <= '~' && !strings.ContainsRune(`'\%-!`, rune(b)) {
				escaped.WriteByte(b)
			} else {
				fmt.Fprintf(&escaped, `\%03o`, b)
			}
		}
		return `"$(printf '` + escaped.String() + `')"`
	case text == "" || strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }):
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}
