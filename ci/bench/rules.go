package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/kernel"
)

// rulesBar is what a run may take longer for NAT, and for all that it does about rules: µs.
// rulesLimit is for machines that are slow.
const (
	rulesBar   = 300
	rulesLimit = 500
)

// contender is a bridge of some policy, and a container that is connected to it again and
// again. Another one keeps the bridge.
type contender struct {
	name      string
	flags     []string
	config    netsetgo.NetworkConfig
	container *os.File
	stays     *os.File        // the other one
	process   []time.Duration // of the whole, as the caller waits for it
	rules     []time.Duration // of that, what is about rules; in this process
}

// benchRules compares `up` with and without NAT, both with their rules in place.
func benchRules(o options, r *report) error {
	with := contender{name: "up"}
	without := contender{
		name: "up -nat=false", flags: []string{"-nat=false", "-bridgeName", "brg1", "-bridgeAddress", "10.10.20.1/24"},
		config: netsetgo.NetworkConfig{BridgeName: "brg1", NAT: netsetgo.No, BridgeIP: net.IPv4(10, 10, 20, 1), Subnet: &net.IPNet{IP: net.IPv4(10, 10, 20, 0), Mask: net.CIDRMask(24, 32)}},
	}
	both := []*contender{&with, &without}
	for _, c := range both {
		if err := c.prepare(); err != nil {
			return err
		}
	}
	for range o.runs {
		slices.Reverse(both) // neither is always the first
		for _, c := range both {
			if err := errors.Join(c.runProcess(o.binary), c.runHere()); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	r.printf("\nWhat rules cost a run, %d times each, by turns, bridge and rules in place: microseconds, median (and quartiles)\n", o.runs)
	longer := make([]time.Duration, o.runs)
	for i := range longer {
		longer[i] = with.process[i] - without.process[i]
	}
	r.micros(with.name+", process start included", with.process)
	r.micros(without.name, without.process)
	nat := r.micros("the first longer than the second beside it", longer)
	rules := r.micros("of the first: rules, forwarding, spoof check", with.rules)
	r.Bars = append(r.Bars,
		bar{What: "µs that NAT takes of a run", Value: micro(nat), Most: rulesBar, Limit: rulesLimit},
		bar{What: "µs that all that is about rules takes", Value: micro(rules), Most: rulesBar, Limit: rulesLimit},
	)
	return errors.Join(with.stays.Close(), without.stays.Close())
}

// prepare makes the bridge, with a container that stays.
func (c *contender) prepare() error {
	var err error
	if c.stays, err = testbed.NewNamespace(); err == nil {
		c.config.Namespace = c.stays
		err = netset(kernel.System{}).Up(c.config, 0)
	}
	if err == nil {
		c.container, err = testbed.NewNamespace()
	}
	c.config.Namespace = c.container
	return err
}

// runProcess connects the container by the program.
func (c *contender) runProcess(binary string) error {
	cmd := exec.Command(binary, append([]string{"-netns", path(c.container)}, c.flags...)...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	c.process = append(c.process, time.Since(began))
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return netset(kernel.System{}).Down(c.config, 0)
}

// runHere connects it by the library, and counts the calls that are about rules.
func (c *contender) runHere() error {
	var spent time.Duration
	if err := netset(timed{kernel.System{}, &spent}).Up(c.config, 0); err != nil {
		return err
	}
	c.rules = append(c.rules, spent)
	return netset(kernel.System{}).Down(c.config, 0)
}

func netset(k configurer.Kernel) *netsetgo.Netset {
	return netsetgo.New(configurer.NewHostConfigurer(k), configurer.NewContainerConfigurer(k))
}

// timed is a kernel that adds up how long calls take that are about rules.
type timed struct {
	configurer.Kernel
	spent *time.Duration
}

func (k timed) Connect(container *os.File) (configurer.Conn, error) {
	inner, err := k.Kernel.Connect(container)
	if err != nil {
		return nil, err
	}
	return timedConn{inner, k.spent}, nil
}

type timedConn struct {
	configurer.Conn
	spent *time.Duration
}

// since adds the time from began on.
func (c timedConn) since(began time.Time) { *c.spent += time.Since(began) }

func (c timedConn) Table(table firewall.Outline) (configurer.TableAt, error) {
	defer c.since(time.Now())
	return c.Conn.Table(table)
}

func (c timedConn) Find(elements ...firewall.Element) ([]firewall.Element, error) {
	defer c.since(time.Now())
	return c.Conn.Find(elements...)
}

func (c timedConn) Sysctl(key string) (string, error) {
	defer c.since(time.Now())
	return c.Conn.Sysctl(key)
}

func (c timedConn) Uplinks() ([]configurer.Uplink, error) {
	defer c.since(time.Now())
	return c.Conn.Uplinks()
}

func (c timedConn) Do(steps ...configurer.Step) []error {
	switch steps[0].Change.(type) {
	case configurer.SetPort, configurer.AddPortMAC, configurer.AddElements, configurer.SetSysctl:
		defer c.since(time.Now())
	}
	return c.Conn.Do(steps...)
}
