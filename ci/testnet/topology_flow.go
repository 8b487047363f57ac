package testnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// patience is how long something may take that is to arrive.
var patience = 10 * time.Second * Slow

// grace is how long is looked for what mustn't arrive, behind all that did.
const grace = 200 * time.Millisecond

// probe is one packet or connection, which is known again by its number wherever it comes.
type probe struct {
	line           string
	protocol       string // tcp, udp or icmp, and 4 or 6
	from, at       string
	to, as         netip.Addr // as isn't valid where nothing is to arrive, or from anybody
	toPort, atPort uint16
	never          bool
	number         uint16
	tap            *Tap
	server         *Server
	answered       bool
	problem        error
}

// numbers are those of probes, and the ports they come from: NAT leaves them as they are.
var numbers atomic.Uint32

// Check sends what lines say, all at once, and looks whether it arrives as they say:
//
//	a1 -> internet at internet as uplink   gets there by the host's address, and back
//	lan -> a1 never at a1                  nothing of it gets there
//	lan -> uplink:8080 at a1:80 as lan     gets to another port
//
// By TCP, UDP and, where no port is named, by ICMP; by IPv4 and IPv6 where all names have
// addresses of it. A word such as udp or tcp6 behind it asks for less.
func (w *World) Check(lines string) {
	GinkgoHelper()
	var probes []*probe
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line != "" {
			probes = append(probes, parseFlow(line)...)
		}
	}
	Expect(probes).NotTo(BeEmpty())
	taps := map[string]*Tap{}
	for _, p := range probes {
		if p.at == "host" {
			continue
		}
		if taps[p.at] == nil {
			taps[p.at] = w.Node(p.at).Tap("")
			defer taps[p.at].Close()
		}
		p.tap = taps[p.at]
	}
	for _, p := range probes {
		p.server = w.serve(p)
	}
	w.send(probes)
	var found []string
	for _, p := range probes {
		if problem := p.compare(); problem != "" {
			found = append(found, fmt.Sprintf("%s (%s): %s", p.line, p.protocol, problem))
		}
	}
	Expect(found).To(BeEmpty(), "%d of %d", len(found), len(probes))
}

func parseFlow(line string) []*probe {
	GinkgoHelper()
	fields := strings.Fields(line)
	Expect(len(fields)).To(BeNumerically(">=", 5), line)
	Expect(fields[1]).To(Equal("->"), line)
	common := probe{line: line, from: fields[0]}
	to, toPort, ported := cutPort(fields[2])
	rest := fields[3:]
	if rest[0] == "never" {
		common.never, rest = true, rest[1:]
	}
	Expect(rest[0]).To(Equal("at"), line)
	at, atPort, moved := cutPort(rest[1])
	if !moved {
		atPort = toPort
	}
	common.at, common.toPort, common.atPort = at, toPort, atPort
	rest = rest[2:]
	as := ""
	if len(rest) > 1 && rest[0] == "as" {
		as, rest = rest[1], rest[2:]
	}
	var probes []*probe
	for _, address := range Addresses(to) {
		addr := netip.MustParseAddr(address)
		family := "4"
		if addr.Is6() {
			family = "6"
		}
		for _, protocol := range []string{"tcp", "udp", "icmp"} {
			p := common
			p.to, p.protocol = addr, protocol+family
			asks := func(word string) bool { return word == protocol || word == p.protocol || word == family }
			if len(rest) > 0 && !slices.ContainsFunc(rest, asks) || protocol == "icmp" && (ported || moved) {
				continue
			}
			if as != "" {
				p.as = ofFamily(as, addr)
			}
			probes = append(probes, &p)
		}
	}
	Expect(probes).NotTo(BeEmpty(), line)
	return probes
}

const usualPort = 7000

func cutPort(text string) (name string, port uint16, given bool) {
	if addrPort, err := netip.ParseAddrPort(text); err == nil {
		return addrPort.Addr().String(), addrPort.Port(), true
	}
	name, number, given := strings.Cut(text, ":")
	if _, err := netip.ParseAddr(text); err == nil || !given {
		return text, usualPort, false
	}
	n, err := strconv.ParseUint(number, 10, 16)
	Expect(err).NotTo(HaveOccurred(), text)
	return name, uint16(n), true
}

// ofFamily is the address of a name that is of the family of another.
func ofFamily(name string, other netip.Addr) netip.Addr {
	for _, address := range Addresses(name) {
		if addr := netip.MustParseAddr(address); addr.Is4() == other.Is4() {
			return addr
		}
	}
	return netip.Addr{}
}

// send sends probes, and waits for all that are to be answered.
func (w *World) send(probes []*probe) {
	GinkgoHelper()
	const first, last = 20000, 60000
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	never, cancelNever := context.WithCancel(ctx)
	defer cancelNever()
	var answers, others sync.WaitGroup
	for _, p := range probes {
		p.number = uint16(first + numbers.Add(1)%(last-first))
		ctx, done := ctx, &answers
		if p.never {
			ctx, done = never, &others
		}
		from := w.Node(p.from)
		done.Go(func() { p.problem = from.In(func() error { return p.dial(ctx) }) })
	}
	answers.Wait()
	if slices.ContainsFunc(probes, func(p *probe) bool { return p.never }) {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		<-timer.C
	}
	cancelNever()
	others.Wait()
}

func (p *probe) mark() []byte { return fmt.Appendf(nil, "netsetgo probe %d.", p.number) }

// dial sends the probe, and waits for the answer.
func (p *probe) dial(ctx context.Context) error {
	network := p.protocol
	target := netip.AddrPortFrom(p.to, p.toPort).String()
	dialer := net.Dialer{}
	switch p.protocol {
	case "tcp4", "tcp6":
		dialer.LocalAddr = &net.TCPAddr{Port: int(p.number)}
	case "udp4", "udp6":
		dialer.LocalAddr = &net.UDPAddr{Port: int(p.number)}
	case "icmp4":
		network, target = "ip4:icmp", p.to.String()
	case "icmp6":
		network, target = "ip6:ipv6-icmp", p.to.String()
	}
	conn, err := dialer.DialContext(ctx, network, target)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it was looked at what came by it
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(p.question()); err != nil {
		return err
	}
	buffer := make([]byte, 2048)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return err
		}
		if p.isAnswer(buffer[:n]) {
			p.answered = true
			return nil
		}
	}
}

// Types of echoes (RFC 792, RFC 4443).
const (
	echo4, echoReply4 = 8, 0
	echo6, echoReply6 = 128, 129
)

func (p *probe) question() []byte {
	body := Join(words(p.number, 1), p.mark())
	switch p.protocol {
	case "icmp4":
		return ICMP4(echo4, body)
	case "icmp6":
		return Join([]byte{echo6, 0, 0, 0}, body) // the kernel fills in the checksum
	}
	return p.mark()
}

func (p *probe) isAnswer(message []byte) bool {
	if !bytes.Contains(message, p.mark()) {
		return false
	}
	switch p.protocol {
	case "icmp4":
		return ReadPacket(Ether(make([]byte, 6), make([]byte, 6), EtherIPv4, message)).Type == echoReply4
	case "icmp6":
		return message[0] == echoReply6
	}
	return true
}

// arrived are those who the receiver takes for the sender, one for each packet.
func (p *probe) arrived() []netip.Addr {
	if p.tap == nil {
		return p.server.From(p.number)
	}
	var senders []netip.Addr
	for _, packet := range p.tap.Seen(func(packet Packet) bool {
		switch p.protocol[:3] {
		case "tcp":
			return packet.OpensTCP && packet.FromPort == p.number && packet.ToPort == p.atPort && packet.From.Is4() == p.to.Is4()
		case "udp":
			return packet.Protocol == UDP && packet.ToPort == p.atPort && bytes.Contains(packet.Frame, p.mark())
		}
		return (packet.Type == echo4 || packet.Type == echo6) && bytes.Contains(packet.Frame, p.mark())
	}) {
		senders = append(senders, packet.From)
	}
	return senders
}

// compare says what isn't as it should be, or "".
func (p *probe) compare() string {
	arrived := p.arrived()
	if p.never {
		if len(arrived) > 0 || p.answered {
			return fmt.Sprintf("arrived from %s, answered: %t", arrived, p.answered)
		}
		return ""
	}
	switch {
	case p.problem != nil && !errors.Is(p.problem, context.DeadlineExceeded):
		return fmt.Sprintf("%v; arrived: %s", p.problem, arrived)
	case !p.answered:
		return fmt.Sprintf("no answer; arrived: %s", arrived)
	case p.at == "host" && strings.HasPrefix(p.protocol, "icmp"):
		return ""
	case len(arrived) == 0 || p.protocol[:3] == "udp" && len(arrived) > 1:
		return fmt.Sprintf("it was answered, and arrived %d times", len(arrived))
	case p.as.IsValid() && arrived[0] != p.as:
		return fmt.Sprintf("arrived from %s", arrived[0])
	}
	return ""
}
