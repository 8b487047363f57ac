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

	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/netsetgo/netsetgo/configurer/lease"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// observation is what is there at a time when nothing goes on.
type observation struct {
	s *session
	// attached tells what each container has.
	attached [containers]string
	// idle are the bridges of netsetgo's that nobody is on.
	idle []string
	// wrong is what can't be so in any world.
	wrong []string
	// checks are what netsetgo says, by its command line.
	checks map[string]string
}

// How a container is told of that isn't connected, and one that is.
const (
	notConnected = "no host link"
	incomplete   = "an incomplete host link"
	connected    = "a host link on bridge %q, with %d addresses of %q, ports %v and id %q, inside the same addresses: %t, routes via %v"
)

// should tells what a container should have.
func (a attachment) should(container int) string {
	if !a.complete {
		if a.bridge == 0 {
			return notConnected
		}
		return incomplete
	}
	bridge := bridges[a.bridge]
	master, id, published, gateways := bridge.name, "", []string{}, []netip.Addr{}
	if a.off {
		master = ""
	}
	if a.id {
		id = idOf(container)
	}
	if a.port != 0 {
		published = append(published, ports[a.port].flag)
	}
	for address := range strings.SplitSeq(bridge.addresses, ",") {
		gateways = append(gateways, netip.MustParsePrefix(address).Addr())
	}
	return fmt.Sprintf(connected, master, len(gateways), bridge.name, published, id, true, gateways)
}

// tell tells worlds to people.
func tell(worlds map[world]bool) string {
	var lines []string
	for w := range worlds {
		for c, a := range w.at {
			lines = append(lines, fmt.Sprintf("%s: %s", idOf(c), a.should(c)))
		}
		lines = append(lines, fmt.Sprintf("rules: %s", [...]string{whole: "there", gone: "not there", unsure: "perhaps there"}[w.rules]))
	}
	return strings.Join(lines, "\n    ")
}

// observe reads what all containers have.
func (s *session) observe() (*observation, error) {
	o := &observation{s: s, checks: map[string]string{}}
	links, err := testbed.Links()
	if err != nil {
		return nil, fmt.Errorf("reading the host's links: %w", err)
	}
	names, hostLinks := map[int]string{}, map[int][]*netlink.LinkAttrs{}
	for _, link := range links {
		attrs := link.Attrs()
		names[attrs.Index] = attrs.Name
		switch {
		case attrs.Group != lease.Group:
		case link.Type() == "veth":
			hostLinks[attrs.NetNsID] = append(hostLinks[attrs.NetNsID], attrs)
		case !slices.ContainsFunc(links, func(other netlink.Link) bool { return other.Attrs().MasterIndex == attrs.Index }):
			o.idle = append(o.idle, attrs.Name)
		}
	}
	holders := map[netip.Addr]int{}
	for c, container := range s.containers {
		o.attached[c] = notConnected
		if container == nil {
			continue
		}
		number, err := netlink.GetNetNsIdByFd(int(container.Namespace.Fd()))
		if err != nil {
			return nil, fmt.Errorf("looking for the namespace of %s: %w", idOf(c), err)
		}
		ends := hostLinks[number]
		if number < 0 || ends == nil {
			continue
		}
		delete(hostLinks, number)
		addresses, gateways, err := lookInside(container.Namespace)
		if err != nil {
			return nil, fmt.Errorf("looking into %s: %w", idOf(c), err)
		}
		for _, addr := range addresses {
			if other, ok := holders[addr]; ok {
				o.wrong = append(o.wrong, fmt.Sprintf("%s and %s both have %s", idOf(other), idOf(c), addr))
			}
			holders[addr] = c
		}
		if o.attached[c] = incomplete; len(ends) > 1 {
			o.wrong = append(o.wrong, fmt.Sprintf("%s has %d host links", idOf(c), len(ends)))
		} else if owner := lease.ReadOwner(ends[0].AltNames); owner.Complete() {
			o.attached[c] = fmt.Sprintf(connected, names[ends[0].MasterIndex], len(owner.Addresses), owner.Bridge,
				owner.Ports, owner.ID, slices.Equal(owner.Addresses, addresses), gateways)
		}
	}
	for _, ends := range hostLinks {
		o.wrong = append(o.wrong, "host link "+ends[0].Name+" is nobody's")
	}
	return o, nil
}

// lookInside returns the addresses of veth1, but for link-local ones, and the gateways of its
// routes.
func lookInside(namespace *os.File) (addresses, gateways []netip.Addr, err error) {
	handle, err := netlink.NewHandleAt(netns.NsHandle(namespace.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, err
	}
	defer handle.Close()
	link, err := handle.LinkByName("veth1")
	if err != nil {
		return nil, nil, err
	}
	has, err := handle.AddrList(link, netlink.FAMILY_ALL)
	routes, err2 := handle.RouteList(link, netlink.FAMILY_ALL)
	for _, address := range has {
		if addr, _ := netip.AddrFromSlice(address.IP); !addr.Unmap().IsLinkLocalUnicast() {
			addresses = append(addresses, addr.Unmap())
		}
	}
	for _, route := range routes {
		if addr, ok := netip.AddrFromSlice(route.Gw); ok {
			gateways = append(gateways, addr.Unmap())
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	slices.SortFunc(gateways, netip.Addr.Compare)
	return addresses, gateways, errors.Join(err, err2)
}

// differences are what isn't as it would be in a world; near says that all are connected so.
func (o *observation) differences(w world) (found []string, near bool) {
	found = slices.Clone(o.wrong)
	for c, a := range w.at {
		if should := a.should(c); should != o.attached[c] {
			found = append(found, fmt.Sprintf("%s should have %s, and has %s", idOf(c), should, o.attached[c]))
		}
	}
	if len(found) > 0 {
		return found, false
	}
	for c := range w.at {
		if o.s.containers[c] != nil {
			found = append(found, o.ofCheck(c, w)...)
		}
	}
	for port := 1; port < len(ports); port++ {
		found = append(found, o.ofPort(port, w)...)
	}
	return found, true
}

// leavesIdle says whether a run that went alone left bridges that it shouldn't: down takes all
// away that nobody is on, and an up that fails leaves no more of them than there were. That of
// a killed run stays for the next down, if what that left on it is cleared away.
func (o *observation) leavesIdle(before *observation, run outcome) bool {
	switch {
	case run.what == down && run.code == 0:
		return len(o.idle) > 0
	case run.what == up && run.code == 1:
		return len(o.idle) > len(before.idle) && before.attached[run.container] == notConnected
	}
	return false
}

// ofCheck compares what netsetgo says of a container with the damage that was done.
func (o *observation) ofCheck(c int, w world) []string {
	a := w.at[c]
	asked := a.wish
	if asked.bridge == 0 {
		asked.bridge = 1
	}
	command := operation{what: check, container: c, wish: asked}.command(o.s.targets[c])
	said, ok := o.checks[command]
	if !ok {
		out, err := exec.Command(o.s.binary, strings.Fields(command)[1:]...).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			what, _, _ := strings.Cut(line, "; to mend it")
			said += what + "; "
		}
		if said += "exit status 0"; err != nil {
			said = fmt.Sprint(strings.TrimSuffix(said, "exit status 0"), err)
		}
		o.checks[command] = said
	}
	should := "exit status 0"
	switch {
	case a == attachment{}:
		should = "attachment of veth1 is missing; exit status 3"
	case !a.complete || a.off:
		// Of a bridge that is gone, or a run that was killed, there is much to say.
		if said == should || !strings.HasSuffix(said, "; exit status 3") {
			return []string{command + " should find much, and says: " + said}
		}
		return nil
	case a.doubtful || w.rules == unsure:
		return nil
	case w.rules == gone:
		should = "rules of table inet netsetgo is missing; rules of table bridge netsetgo is missing; exit status 3"
	}
	if said == should {
		return nil
	}
	return []string{fmt.Sprintf("%s should say: %s, and says: %s", command, should, said)}
}

// ofPort looks who answers on a port of the host: its container, or nobody where none has it.
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
	if should == "" && o.s.flushed && ports[port].network == "udp" {
		return nil // flows outlive the rules that say which to forget
	}
	// What nobody has may lead to where nobody is, of which nobody is told.
	patience := 20 * time.Millisecond
	if should != "" {
		patience = time.Second
	}
	if is := ask(port, patience); is != should {
		return []string{fmt.Sprintf("port %s should lead to %q, and leads to %q", ports[port].flag, should, is)}
	}
	return nil
}

// ask returns who answers; "" where nobody does.
func ask(port int, patience time.Duration) string {
	dialer := net.Dialer{Timeout: patience}
	if ports[port].network == "udp" {
		// Always the same flow, which the kernel must have forgotten where it led elsewhere.
		dialer.LocalAddr = &net.UDPAddr{Port: 40000}
	}
	conn, err := dialer.Dial(ports[port].network, "192.0.2.1:"+ports[port].number)
	if err != nil {
		return ""
	}
	defer conn.Close() //nolint:errcheck // all was said
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write([]byte("?"))
	answer := make([]byte, 16)
	n, _ := conn.Read(answer)
	return string(answer[:n])
}
