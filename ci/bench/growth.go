package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// mostContainers is how many are connected to one bridge, whose limit is 1,023.
const mostContainers = 1000

const whyGrowth = `it sends no message more, but with each port the kernel walks all others, and all routes of IPv6 of the
  host, when a port is added and when it comes up, of which the floor's row tells; and when its carrier is seen, for which the floor
  doesn't wait, and when the bridge is given the note in which the next run looks where to begin.`

// benchGrowth fills a bridge, once for each of some peers.
func benchGrowth(o options, r *report) error {
	r.printf("\nAs a bridge fills, beside one that keeps it: milliseconds of the next one (that alone), of the ten, and of the hundreds before, their medians\n  %-36s %9s %9s %9s %9s\n", "there already", "1", "10", "100", "1000")
	last := map[string]time.Duration{}
	for i, p := range []peer{floor, plain, full, byCNI} {
		if i > 0 {
			if err := anotherHost(); err != nil {
				return err
			}
		}
		took, messages, err := fill(o, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		median := func(to int) time.Duration { return quantile(took[max(0, to-100):to], 0.5) }
		r.printf("  %-36s %9.2f %9.2f %9.2f %9.2f\n", p.name, milli(took[1]), milli(median(10)), milli(median(100)), milli(median(mostContainers)))
		if len(messages) > 0 {
			r.printf("    messages to the kernel             %9d %9d %9d %9d\n", messages[0], messages[1], messages[2], messages[3])
		}
		line := growth{Name: p.name}
		for from := 0; from < mostContainers; from += 50 {
			line.Counts = append(line.Counts, float64(from+25))
			line.Times = append(line.Times, milli(quantile(took[from:from+50], 0.5)))
		}
		r.Growth = append(r.Growth, line)
		last[p.name] = median(mostContainers)
		if p.name == plainName {
			r.Bars = append(r.Bars,
				bar{What: "netsetgo -nat=false, the hundred before 1,000 / the first hundred", Value: float64(median(mostContainers)) / float64(median(100)), Most: 1.5, Limit: 2.5, Why: whyGrowth},
				bar{What: "messages of the next one, 1,000 there / 10 there", Value: float64(messages[3]) / float64(messages[1]), Most: 1},
			)
		}
	}
	r.Bars = append(r.Bars, bar{What: "netsetgo -nat=false / CNI, the hundred before 1,000", Value: float64(last[plainName]) / float64(last[cniName]), Most: 0.1, Limit: 0.6, Why: "a program that does nothing takes its part of that as well; and " + whyGrowth})
	return ports(o, r)
}

// fill connects containers until there are as many as can be, and says how long each took, and
// how many messages one more sends at 1, 10, 100 and all.
func fill(o options, p peer) (took []time.Duration, messages []int, err error) {
	s, err := newStage(o, full)
	if err != nil {
		return nil, nil, err
	}
	names := make([]string, mostContainers)
	for i := range names {
		if names[i], err = s.namespace(); err != nil {
			return nil, nil, err
		}
	}
	for i, name := range names {
		spent, err := s.run(p.connect(s, name, i))
		if err != nil {
			return nil, nil, fmt.Errorf("with %d there: %w", i, err)
		}
		took = append(took, spent)
		if config, ours := configs[p.name]; ours && slices.Contains([]int{1, 10, 100, mostContainers}, i+1) {
			sent, err := s.messages(config)
			if err != nil {
				return nil, nil, err
			}
			messages = append(messages, sent)
		}
	}
	return took, messages, s.leave(names)
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
