package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// mostContainers is how many are connected to one bridge, whose limit is 1,023.
	mostContainers = 1000
	// first is how many are compared: the first, and those before mostContainers.
	first = 100
)

const whyGrowth = `it sends no message more, but with each port the kernel walks all others, and all routes of IPv6 of the
  host, when a port is added and when it comes up, of which the floor's row tells; and when its carrier is seen, for which the floor
  doesn't wait, and when the bridge is given the note in which the next run looks where to begin.`

// benchGrowth fills a bridge for each of some peers, by turns. While they connect their last
// hundred, each connects its first hundred to a bridge of another host: a machine is faster at
// one time than at another, and only what was measured together is compared.
func benchGrowth(o options, r *report) error {
	// First all hosts: each has a copy of the mounts of the one before it, and those that hold a
	// namespace of that one's would hold it for ever.
	var many, few []*ground
	for _, p := range []peer{floor, plain, full, byCNI} {
		one, err := newGround(p, mostContainers)
		if err != nil {
			return err
		}
		another, err := newGround(p, first)
		if err != nil {
			return err
		}
		many, few = append(many, one), append(few, another)
	}
	grounds := append(slices.Clip(many), few...)
	for _, g := range grounds {
		if err := g.prepare(o); err != nil {
			return err
		}
	}
	shuffle := rand.New(rand.NewPCG(1, 2)) // the same each time
	for i := range mostContainers {
		// Nobody always comes behind the same: what one leaves to the kernel takes time from the next.
		for _, k := range shuffle.Perm(len(grounds)) {
			if err := grounds[k].next(mostContainers - i); err != nil {
				return fmt.Errorf("%s, with %d there: %w", grounds[k].peer.name, len(grounds[k].took), err)
			}
		}
		for _, g := range many {
			if err := g.count(); err != nil {
				return err
			}
		}
	}
	tellGrowth(many, few, r)
	for _, g := range grounds {
		if err := g.leave(); err != nil {
			return err
		}
	}
	return ports(o, r)
}

func tellGrowth(many, few []*ground, r *report) {
	r.printf("\nAs a bridge fills, beside one that keeps it, by turns on %d hosts: milliseconds of the second, and medians of the first ten,\nof the first hundred, and, measured together with these, of the hundred before 1,000\n  %-36s %9s %9s %9s %9s\n", len(many)+len(few), "", "2", "10", "100", "1000")
	last := map[string]time.Duration{}
	for i, g := range many {
		early := few[i].took
		before, after := quantile(early, 0.5), quantile(g.took[mostContainers-first:], 0.5)
		last[g.peer.name] = after
		r.printf("  %-36s %9.2f %9.2f %9.2f %9.2f\n", g.peer.name, milli(early[1]), milli(quantile(early[:10], 0.5)), milli(before), milli(after))
		if len(g.messages) > 0 {
			r.printf("    messages of one more, 1, 10, 100 and 1,000 there: %d, %d, %d and %d\n", g.messages[0], g.messages[1], g.messages[2], g.messages[3])
		}
		line := growth{Name: g.peer.name}
		for from := 0; from < mostContainers; from += 50 {
			line.Counts = append(line.Counts, float64(from+25))
			line.Times = append(line.Times, milli(quantile(g.took[from:from+50], 0.5)))
		}
		r.Growth = append(r.Growth, line)
		if g.peer.name == plainName {
			r.Bars = append(r.Bars,
				bar{What: "netsetgo -nat=false, the hundred before 1,000 / the first hundred", Value: float64(after) / float64(before), Most: 1.5, Limit: 2.5, Why: whyGrowth},
				bar{What: "messages of the next one, 1,000 there / 10 there", Value: float64(g.messages[3]) / float64(g.messages[1]), Most: 1},
			)
		}
	}
	r.Bars = append(r.Bars, bar{What: "netsetgo -nat=false / CNI, the hundred before 1,000", Value: float64(last[plainName]) / float64(last[cniName]), Most: 0.1, Limit: 0.6, Why: "a program that does nothing takes its part of that as well; and " + whyGrowth})
}

// ground is a host with a bridge, and the namespaces that a peer connects to it.
type ground struct {
	peer            peer
	network, mounts *os.File
	stage           *stage
	names           []string
	took            []time.Duration
	messages        []int // that one more sends at 1, 10, 100 and all
}

// newGround leaves the host for a new one.
func newGround(p peer, containers int) (*ground, error) {
	if err := anotherHost(); err != nil {
		return nil, err
	}
	g := &ground{peer: p, names: make([]string, containers)}
	var err error
	if g.network, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, fmt.Errorf("making another host: %w", err)
	}
	if g.mounts, err = os.Open("/proc/thread-self/ns/mnt"); err != nil {
		return nil, fmt.Errorf("making another host: %w", err)
	}
	return g, nil
}

// enter makes it the host on which all happens. The working directory is / from then on.
func (g *ground) enter() error {
	err := unix.Setns(int(g.network.Fd()), unix.CLONE_NEWNET)
	if err == nil {
		err = unix.Setns(int(g.mounts.Fd()), unix.CLONE_NEWNS)
	}
	if err != nil {
		return fmt.Errorf("going to another host: %w", err)
	}
	return nil
}

// prepare makes its bridges and namespaces.
func (g *ground) prepare(o options) error {
	if err := g.enter(); err != nil {
		return err
	}
	// A container that keeps another bridge may have the number that the next run tries for its
	// host link: only where that bridge fills, it is there.
	var bridges []peer
	if g.peer.name == fullName {
		bridges = []peer{full}
	}
	var err error
	if g.stage, err = newStage(o, bridges...); err != nil {
		return err
	}
	for i := range g.names {
		if g.names[i], err = g.stage.namespace(); err != nil {
			return err
		}
	}
	return nil
}

// next connects one more, unless those that are to come in so many rounds are enough.
func (g *ground) next(rounds int) error {
	i := len(g.took)
	if rounds > len(g.names)-i {
		return nil
	}
	if err := g.enter(); err != nil {
		return err
	}
	spent, err := g.stage.run(g.peer.connect(g.stage, g.names[i], i))
	g.took = append(g.took, spent)
	return err
}

// count counts the messages of one more, at some numbers.
func (g *ground) count() error {
	config, ours := configs[g.peer.name]
	if !ours || !slices.Contains([]int{1, 10, 100, mostContainers}, len(g.took)) {
		return nil
	}
	if err := g.enter(); err != nil {
		return err
	}
	sent, err := g.stage.messages(config)
	g.messages = append(g.messages, sent)
	return err
}

func (g *ground) leave() error {
	if err := g.enter(); err != nil {
		return err
	}
	return errors.Join(g.stage.leave(g.names), g.network.Close(), g.mounts.Close())
}

// configs are what the flags of some peers come to.
var configs = map[string]netsetgo.NetworkConfig{
	plainName: {NAT: netsetgo.No, BridgeIP: net.IPv4(10, 10, 0, 1), Subnet: &net.IPNet{IP: net.IPv4(10, 10, 0, 0), Mask: net.CIDRMask(16, 32)}},
	fullName:  {BridgeName: "brg1", BridgeIP: net.IPv4(10, 20, 0, 1), Subnet: &net.IPNet{IP: net.IPv4(10, 20, 0, 0), Mask: net.CIDRMask(16, 32)}},
}

// messages counts what the next run sends, in this process, and takes its container down again.
func (s *stage) messages(config netsetgo.NetworkConfig) (sent int, err error) {
	if config.Namespace, err = testbed.NewNamespace(); err != nil {
		return 0, err
	}
	defer func() { _ = config.Namespace.Close() }()
	if err := netset(kernel.System{Sent: func(uint16) { sent++ }}).Up(config, 0); err != nil {
		return 0, err
	}
	return sent, netset(kernel.System{}).Down(config, 0)
}

// ports connects containers beside one that has 1,000 ports published.
func ports(o options, r *report) error {
	if err := anotherHost(); err != nil {
		return err
	}
	s, err := newStage(o, full)
	if err != nil {
		return err
	}
	without, err := s.measure([]peer{full}, 50)
	if err != nil {
		return err
	}
	fewMessages, err := s.messages(configs[fullName])
	if err != nil {
		return err
	}
	name, err := s.namespace()
	if err != nil {
		return err
	}
	many, err := s.run(byNetsetgo(append(slices.Clone(fullFlags), "-publish", "10000-10999:10000")...)(s, name, 0))
	if err == nil {
		err = s.keep()
	}
	if err != nil {
		return err
	}
	with, err := s.measure([]peer{full}, 50)
	if err != nil {
		return err
	}
	messages, err := s.messages(configs[fullName])
	if err != nil {
		return err
	}
	r.printf("\nThe next one beside 1,000 published ports, 50 times: milliseconds, median (and quartiles)\n")
	before, after := r.row("none published", without[0].connect), r.row("1,000 published", with[0].connect)
	r.printf("  to publish them took %.1f ms; the messages of the next one are %d, and were %d\n", milli(many), messages, fewMessages)
	r.Bars = append(r.Bars,
		bar{What: "the next one beside 1,000 published ports / beside none", Value: float64(after) / float64(before), Most: 1.5},
		bar{What: "its messages / those beside none", Value: float64(messages) / float64(fewMessages), Most: 1},
	)
	return nil
}

// anotherHost leaves the host for a new one.
func anotherHost() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("making another host: %w", err)
	}
	return newHost()
}

// cleared waits until the kernel has taken apart the namespaces that were left: it does so one
// after another, so that of one which is left now is the last.
func cleared() error {
	last, err := testbed.NewNamespace()
	if err != nil {
		return err
	}
	defer func() { _ = last.Close() }()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "last0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "last0", PeerNamespace: netlink.NsFd(int(last.Fd()))}); err != nil {
		return fmt.Errorf("waiting for the kernel: %w", err)
	}
	if err := last.Close(); err != nil {
		return err
	}
	const patience = 3 * time.Minute
	for began := time.Now(); time.Since(began) < patience; time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // the kernel tells nobody
		var gone netlink.LinkNotFoundError
		if _, err := netlink.LinkByName("last0"); errors.As(err, &gone) {
			return nil
		} else if err != nil {
			return fmt.Errorf("waiting for the kernel: %w", err)
		}
	}
	return errors.New("the kernel is still taking namespaces apart after three minutes")
}
