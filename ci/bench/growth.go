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
	first          = 100
)

const whyGrowth = `it sends no message more, but with each port the kernel walks all others, and all routes of IPv6 of the
  host, when a port is added and when it comes up, of which the floor's row tells; and when its carrier is seen, for which the floor
  doesn't wait, and when the bridge is given the note in which the next run looks where to begin.`

// benchGrowth fills the bridges of some peers, by turns. At the end of that, each connects as
// many as that to a new bridge, too: a machine is faster at one time than at another, and only
// what was measured together is compared.
func benchGrowth(o options, r *report) error {
	var filled []*filling
	for _, p := range []peer{floor, plain, full, byCNI} {
		many, err := newGround(mostContainers)
		if err != nil {
			return err
		}
		few, err := newGround(first)
		if err != nil {
			return err
		}
		filled = append(filled, &filling{peer: p, many: many, few: few})
	}
	for _, f := range filled {
		// Nobody else's host links are to have the numbers that the next ones try.
		var bridges []peer
		if f.peer.name == fullName {
			bridges = []peer{full}
		}
		if err := errors.Join(f.many.prepare(o, bridges...), f.few.prepare(o, bridges...)); err != nil {
			return err
		}
	}
	shuffle := rand.New(rand.NewPCG(1, 2)) // the same each time
	for i := range mostContainers {
		for _, k := range shuffle.Perm(len(filled)) {
			if err := filled[k].next(i); err != nil {
				return fmt.Errorf("%s, with %d there: %w", filled[k].peer.name, i, err)
			}
		}
	}
	tellGrowth(filled, r)
	for _, f := range filled {
		if err := errors.Join(f.many.leave(), f.few.leave()); err != nil {
			return err
		}
	}
	return ports(o, r)
}

func tellGrowth(filled []*filling, r *report) {
	r.printf("\nAs a bridge fills, beside one that keeps it, by turns: milliseconds of the second, the tenth and the first hundred, measured together\nwith the hundred before 1,000: medians\n  %-36s %9s %9s %9s %9s\n", "", "2", "10", "100", "1000")
	last := map[string]time.Duration{}
	for _, f := range filled {
		before, after := quantile(f.few.took, 0.5), quantile(f.many.took[mostContainers-first:], 0.5)
		last[f.peer.name] = after
		r.printf("  %-36s %9.2f %9.2f %9.2f %9.2f\n", f.peer.name, milli(f.few.took[1]), milli(quantile(f.few.took[:10], 0.5)), milli(before), milli(after))
		if len(f.messages) > 0 {
			r.printf("    messages to the kernel             %9d %9d %9d %9d\n", f.messages[0], f.messages[1], f.messages[2], f.messages[3])
		}
		line := growth{Name: f.peer.name}
		for from := 0; from < mostContainers; from += 50 {
			line.Counts = append(line.Counts, float64(from+25))
			line.Times = append(line.Times, milli(quantile(f.many.took[from:from+50], 0.5)))
		}
		r.Growth = append(r.Growth, line)
		if f.peer.name == plainName {
			r.Bars = append(r.Bars,
				bar{What: "netsetgo -nat=false, the hundred before 1,000 / the first hundred", Value: float64(after) / float64(before), Most: 1.5, Limit: 2.5, Why: whyGrowth},
				bar{What: "messages of the next one, 1,000 there / 10 there", Value: float64(f.messages[3]) / float64(f.messages[1]), Most: 1},
			)
		}
	}
	r.Bars = append(r.Bars, bar{What: "netsetgo -nat=false / CNI, the hundred before 1,000", Value: float64(last[plainName]) / float64(last[cniName]), Most: 0.1, Limit: 0.6, Why: "a program that does nothing takes its part of that as well; and " + whyGrowth})
}

// filling is a peer that connects containers until there are as many as can be, on a host of
// its own; and its first ones on another.
type filling struct {
	peer      peer
	many, few *ground
	messages  []int // that one more sends at 1, 10, 100 and all
}

// next connects the ith.
func (f *filling) next(i int) error {
	if err := f.many.connect(f.peer, i); err != nil {
		return err
	}
	if config, ours := configs[f.peer.name]; ours && slices.Contains([]int{1, 10, 100, mostContainers}, i+1) {
		sent, err := f.many.stage.messages(config)
		if err != nil {
			return err
		}
		f.messages = append(f.messages, sent)
	}
	if early := i - (mostContainers - first); early >= 0 {
		return f.few.connect(f.peer, early)
	}
	return nil
}

// ground is a host with a bridge, and the namespaces that are to be connected to it.
type ground struct {
	network, mounts *os.File
	stage           *stage
	names           []string
	took            []time.Duration
}

// newGround leaves the host for a new one.
func newGround(containers int) (*ground, error) {
	if err := anotherHost(); err != nil {
		return nil, err
	}
	g := &ground{names: make([]string, containers)}
	var err error
	if g.network, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, fmt.Errorf("making another host: %w", err)
	}
	if g.mounts, err = os.Open("/proc/thread-self/ns/mnt"); err != nil {
		return nil, fmt.Errorf("making another host: %w", err)
	}
	return g, nil
}

// enter makes it the host on which all happens.
func (g *ground) enter() error {
	for file, kind := range map[*os.File]int{g.network: unix.CLONE_NEWNET, g.mounts: unix.CLONE_NEWNS} {
		if err := unix.Setns(int(file.Fd()), kind); err != nil {
			return fmt.Errorf("going to another host: %w", err)
		}
	}
	return nil
}

// prepare makes its bridges and namespaces.
func (g *ground) prepare(o options, bridges ...peer) error {
	err := g.enter()
	if err == nil {
		g.stage, err = newStage(o, bridges...)
	}
	for i := range g.names {
		if err == nil {
			g.names[i], err = g.stage.namespace()
		}
	}
	return err
}

func (g *ground) connect(p peer, i int) error {
	if err := g.enter(); err != nil {
		return err
	}
	spent, err := g.stage.run(p.connect(g.stage, g.names[i], i))
	g.took = append(g.took, spent)
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
