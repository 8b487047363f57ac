package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// group is netsetgo's mark of links.
const group = 0x6e7367

// hostLink is one of netsetgo's, as it is there.
type hostLink struct {
	name, bridge string
	namespace    int // by the number that the host gave it
	leased       []netip.Addr
	leasedOf     string
	ports        []string
	id           string
	complete     bool
}

// hostLinks reads all of them.
func hostLinks() ([]hostLink, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("reading the host's links: %w", err)
	}
	names := map[int]string{}
	for _, link := range all {
		names[link.Attrs().Index] = link.Attrs().Name
	}
	var links []hostLink
	for _, link := range all {
		attrs := link.Attrs()
		if attrs.Group != group || link.Type() != "veth" {
			continue
		}
		is := hostLink{name: attrs.Name, bridge: names[attrs.MasterIndex], namespace: attrs.NetNsID}
		for _, name := range attrs.AltNames {
			fields := strings.SplitN(name, ":", 4)
			switch kind, rest := fields[1], fields[len(fields)-1]; kind {
			case "a":
				addr, err := netip.ParseAddr(rest)
				if err != nil {
					return nil, fmt.Errorf("reading the names of %s: %w", attrs.Name, err)
				}
				is.leased, is.leasedOf = append(is.leased, addr), fields[2]
			case "p":
				is.ports = append(is.ports, name)
			case "c":
				is.id = rest
			case "n":
				is.complete = true
			}
		}
		slices.SortFunc(is.leased, netip.Addr.Compare)
		links = append(links, is)
	}
	return links, nil
}

// inside is what a container has.
type inside struct {
	addresses []netip.Addr // of veth1, but for link-local ones
	gateways  []netip.Addr // of default routes
}

func lookInside(namespace *os.File) (inside, error) {
	var is inside
	handle, err := netlink.NewHandleAt(netns.NsHandle(namespace.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return is, err
	}
	defer handle.Close()
	link, err := handle.LinkByName("veth1")
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return is, nil
	}
	if err != nil {
		return is, err
	}
	addresses, err := handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return is, err
	}
	for _, address := range addresses {
		if addr, _ := netip.AddrFromSlice(address.IP); !addr.Unmap().IsLinkLocalUnicast() {
			is.addresses = append(is.addresses, addr.Unmap())
		}
	}
	routes, err := handle.RouteList(link, netlink.FAMILY_ALL)
	if err != nil {
		return is, err
	}
	for _, route := range routes {
		if addr, ok := netip.AddrFromSlice(route.Gw); ok {
			is.gateways = append(is.gateways, addr.Unmap())
		}
	}
	slices.SortFunc(is.addresses, netip.Addr.Compare)
	slices.SortFunc(is.gateways, netip.Addr.Compare)
	return is, nil
}

// observation is all that is there at a time when nothing goes on.
type observation struct {
	s      *session
	links  [containers]*hostLink
	inside [containers]inside
	// wrong is what can't be true in any world.
	wrong []string
	// checks are what netsetgo says, by its command line.
	checks map[string][]string
}

func (s *session) observe() (*observation, error) {
	o := &observation{s: s, checks: map[string][]string{}}
	links, err := hostLinks()
	if err != nil {
		return nil, err
	}
	byNamespace, holders := map[int]int{}, map[netip.Addr]string{}
	for c, container := range s.containers {
		if container == nil {
			continue
		}
		number, err := netlink.GetNetNsIdByFd(int(container.Namespace.Fd()))
		if err != nil {
			return nil, fmt.Errorf("looking for the namespace of %s: %w", idOf(c), err)
		}
		if number >= 0 {
			byNamespace[number] = c
		}
		if o.inside[c], err = lookInside(container.Namespace); err != nil {
			return nil, fmt.Errorf("looking into %s: %w", idOf(c), err)
		}
		for _, addr := range o.inside[c].addresses {
			if holders[addr] != "" {
				o.wrong = append(o.wrong, fmt.Sprintf("%s and %s both have %s", holders[addr], idOf(c), addr))
			}
			holders[addr] = idOf(c)
		}
	}
	for _, link := range links {
		switch c, ok := byNamespace[link.namespace]; {
		case !ok:
			o.wrong = append(o.wrong, "host link "+link.name+" is nobody's")
		case o.links[c] != nil:
			o.wrong = append(o.wrong, fmt.Sprintf("%s has two host links, %s and %s", idOf(c), o.links[c].name, link.name))
		default:
			o.links[c] = &link
		}
	}
	return o, nil
}

// differences are what isn't as it would be in a world.
func (o *observation) differences(w world) []string {
	found := slices.Clone(o.wrong)
	for c, a := range w.at {
		for _, difference := range o.ofAttachment(c, a) {
			found = append(found, fmt.Sprintf("%s: %s", idOf(c), difference))
		}
	}
	if found != nil {
		return found
	}
	for c := range w.at {
		if w.alive[c] {
			found = append(found, o.ofCheck(c, w)...)
		}
	}
	for port := range ports {
		if port != 0 {
			found = append(found, o.ofPort(port, w)...)
		}
	}
	return found
}

func (o *observation) ofAttachment(c int, a attachment) []string {
	link := o.links[c]
	if a == (attachment{}) {
		if link != nil {
			return []string{fmt.Sprintf("it should have no host link, and has %+v", *link)}
		}
		return nil
	}
	if link == nil {
		return []string{fmt.Sprintf("it should have a host link (%+v), and has none", a)}
	}
	if !a.complete {
		if link.complete {
			return []string{"its host link should be incomplete"}
		}
		return nil
	}
	var found []string
	differs := func(what string, should, is any) {
		if should, is := fmt.Sprint(should), fmt.Sprint(is); should != is {
			found = append(found, fmt.Sprintf("%s should be %s, and is %s", what, should, is))
		}
	}
	bridge := bridges[a.bridge]
	master, id, published := bridge.name, "", []string{}
	if a.off {
		master = ""
	}
	if a.id {
		id = idOf(c)
	}
	if a.port != 0 {
		port, protocol, _ := strings.Cut(ports[a.port], "/")
		published = []string{"netsetgo:p:" + strings.TrimSuffix(protocol+"tcp", "tcp") + ":" + port + ":*"}
		if protocol == "" {
			published = []string{"netsetgo:p:tcp:" + port + ":*"}
		}
	}
	var gateways []netip.Addr
	for i, text := range strings.Split(bridge.addresses, ",") {
		subnet := netip.MustParsePrefix(text)
		gateways = append(gateways, subnet.Addr())
		if i < len(link.leased) && !subnet.Contains(link.leased[i]) {
			differs("its lease", "of "+subnet.Masked().String(), link.leased[i])
		}
	}
	differs("that it is complete", true, link.complete)
	differs("the bridge of "+link.name, master, link.bridge)
	differs("the bridge of its lease", bridge.name, link.leasedOf)
	differs("its id", id, link.id)
	differs("its ports", published, link.ports)
	differs("the number of its leases", len(gateways), len(link.leased))
	differs("its addresses", link.leased, o.inside[c].addresses)
	differs("its gateways", gateways, o.inside[c].gateways)
	return found
}

// ofCheck compares what netsetgo says of a container.
func (o *observation) ofCheck(c int, w world) []string {
	a := w.at[c]
	asked := a.wish
	if asked.bridge == 0 {
		asked.bridge = 1
	}
	command := operation{what: check, container: c, wish: asked}.command(o.s.targets[c])
	lines, ok := o.checks[command]
	if !ok {
		words := strings.Fields(command)
		out, err := exec.Command(o.s.binary, words[1:]...).CombinedOutput()
		lines = strings.Split(strings.TrimSpace(string(out)), "\n")
		if err != nil {
			lines = append(lines, err.Error())
		}
		o.checks[command] = lines
	}
	wants := func(should ...string) []string {
		is := slices.Clone(lines)
		for _, begins := range should {
			is = slices.DeleteFunc(is, func(line string) bool { return strings.HasPrefix(line, begins) })
		}
		if len(is) == 0 && len(lines) >= len(should) {
			return nil
		}
		return []string{fmt.Sprintf("%s should say %q, and says %q", command, should, lines)}
	}
	const differs = "exit status 3"
	switch {
	case a == attachment{}:
		return wants("attachment of veth1 is missing", differs)
	case !a.complete || a.off || a.doubtful || w.rules == unsure:
		if last := lines[len(lines)-1]; last != differs && (last != "" || !a.complete || a.off) {
			return wants("something", differs)
		}
		return nil
	case w.rules == gone:
		return wants("rules of table inet netsetgo is missing", "rules of table bridge netsetgo is missing", differs)
	}
	return wants("")
}

// ofPort looks who answers on a port of the host.
func (o *observation) ofPort(port int, w world) []string {
	should := ""
	for c, a := range w.at {
		switch {
		case a.port != port:
		case !a.complete || a.off || a.doubtful || w.rules != whole:
			return nil
		default:
			should = idOf(c)
		}
	}
	// What nobody has may lead to where nobody is, of which nobody is told.
	patience := 20 * time.Millisecond
	if should != "" {
		patience = time.Second
	}
	is := ask(port, patience)
	if is != should {
		return []string{fmt.Sprintf("port %s should lead to %q, and leads to %q", ports[port], should, is)}
	}
	return nil
}

// ask returns who answers; "" where nobody does.
func ask(port int, patience time.Duration) string {
	number, protocol, _ := strings.Cut(ports[port], ":80")
	if protocol = strings.TrimPrefix(protocol, "/"); protocol == "" {
		protocol = "tcp"
	}
	conn, err := net.DialTimeout(protocol, "192.0.2.1:"+number, patience)
	if err != nil {
		return ""
	}
	defer conn.Close() //nolint:errcheck // all was said
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("?")); err != nil {
		return ""
	}
	answer := make([]byte, 16)
	n, _ := conn.Read(answer)
	return string(answer[:n])
}
