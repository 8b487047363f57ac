package main

import (
	"errors"
	"net"
	"os"
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
// again, in this process. Another one keeps the bridge.
type contender struct {
	config       netsetgo.NetworkConfig
	stays        *os.File // the other one
	whole, rules []time.Duration
}

// benchRules compares `up` with and without NAT, both with their rules in place, where it isn't
// the first: what a process takes to do anything at all would be most of the time.
func benchRules(o options, r *report) error {
	var with contender
	without := contender{config: netsetgo.NetworkConfig{
		BridgeName: "brg1", NAT: netsetgo.No, BridgeIP: net.IPv4(10, 10, 20, 1), Subnet: &net.IPNet{IP: net.IPv4(10, 10, 20, 0), Mask: net.CIDRMask(24, 32)},
	}}
	both := []*contender{&with, &without}
	for _, c := range both {
		if err := c.prepare(); err != nil {
			return err
		}
	}
	for range o.runs {
		slices.Reverse(both) // neither is always the first
		for _, c := range both {
			if err := c.run(); err != nil {
				return err
			}
		}
	}
	r.printf("\nWhat rules take of a run, bridge and rules in place, in a process that has done it before, %d times each,\nby turns: microseconds, median (and quartiles)\n", o.runs)
	longer := make([]time.Duration, o.runs)
	for i := range longer {
		longer[i] = with.whole[i] - without.whole[i]
	}
	r.micros("up", with.whole)
	r.micros("up -nat=false", without.whole)
	nat := r.micros("the first longer than the second of its round", longer)
	rules := r.micros("of the first: rules, forwarding, spoof check", with.rules)
	r.Bars = append(r.Bars,
		bar{What: "µs that NAT takes of a run", Value: micro(nat), Most: rulesBar, Limit: rulesLimit},
		bar{What: "µs that all that is about rules takes", Value: micro(rules), Most: rulesBar, Limit: rulesLimit, Why: "it is what the kernel takes to look at each chain and set, and grows with how slow the machine is."},
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
		c.config.Namespace, err = testbed.NewNamespace()
	}
	return err
}

// run connects the container, and counts the calls that are about rules.
func (c *contender) run() error {
	var spent time.Duration
	began := time.Now()
	if err := netset(timed{kernel.System{}, &spent}).Up(c.config, 0); err != nil {
		return err
	}
	c.whole, c.rules = append(c.whole, time.Since(began)), append(c.rules, spent)
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
