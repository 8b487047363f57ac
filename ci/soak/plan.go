package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// containers is how many there are, of which each is there or not.
const containers = 5

// The bridges and ports that runs ask for by number; 0 is none. The subnet of the first has
// room for all containers and no more, so that addresses soon have other holders.
var (
	bridges = []struct{ name, addresses, flags string }{
		{},
		{"brg0", "10.10.10.1/29", ""},
		{"brg1", "10.10.11.1/24,fd11::1/64", ""},
		{"brg2", "10.10.12.1/24", " -isolated"},
	}
	ports = []string{"", "8080:80", "8080:80/udp", "8081:80"}
)

// wish is what an up asks for; the zero value is nothing.
type wish struct {
	bridge, port int
	id           bool
}

func (w wish) flags(container int) string {
	bridge := bridges[w.bridge]
	flags := " -bridgeName " + bridge.name + " -bridgeAddress " + bridge.addresses + bridge.flags
	if w.id {
		flags += " -id " + idOf(container)
	}
	if w.port != 0 {
		flags += " -publish " + ports[w.port]
	}
	return flags
}

func idOf(container int) string { return fmt.Sprintf("c%d", container) }

// What an operation is.
const (
	up = iota
	down
	check
	end          // of a container, by a signal
	flush        // of all rules
	deleteBridge // by hand
	deleteLink   // by hand, of a host link
)

// operation is one of what goes on at once.
type operation struct {
	what      int
	container int
	wish      wish // of an up, of a check, and the bridge to delete
	// begins is when it does, in its step.
	begins time.Duration
	// fresh says that the container ends first, and another begins a gap later.
	fresh bool
	gap   time.Duration
	byID  bool
	// hurried is a run with a -timeout that it hardly keeps; dies is when one is killed.
	hurried, dies time.Duration
}

// target is the process of a container, and its namespace.
type target struct {
	pid   string
	inode uint64
}

// command is what a user would type.
func (o operation) command(t target) string {
	timeout := ""
	if o.hurried != 0 {
		timeout = " -timeout " + o.hurried.String()
	}
	switch o.what {
	case up:
		return "netsetgo -pid " + t.pid + o.wish.flags(o.container) + timeout
	case down:
		if o.byID {
			return "netsetgo down -id " + idOf(o.container)
		}
		return "netsetgo down -pid " + t.pid
	case check:
		return "netsetgo check -pid " + t.pid + o.wish.flags(o.container)
	case flush:
		return "nft flush ruleset"
	case deleteBridge:
		return "ip link delete dev " + bridges[o.wish.bridge].name
	case deleteLink:
		return fmt.Sprintf("ip link delete dev netsetgo:n:veth1:%d", t.inode)
	}
	return "kill -9 " + t.pid
}

// ofNetsetgo says whether it is a run of netsetgo.
func (o operation) ofNetsetgo() bool { return o.what <= check }

// disturbs says whether a run may fail since this goes on at the same time.
func (o operation) disturbs(run operation) bool {
	switch o.what {
	case flush:
		return true
	case deleteBridge:
		return o.wish.bridge == run.wish.bridge
	case deleteLink, end:
		return o.container == run.container
	}
	return false
}

// round is a sequence of steps by a seed alone: what comes of one has no say in what is next.
type round struct {
	seed  uint64
	steps [][]operation
	// ends says that at its end containers are killed, instead of taken down.
	ends bool
}

// planner draws what is next.
type planner struct {
	*rand.Rand
	alive [containers]bool
	// What may be done by hand in this round. The rules say what the last one out has to put
	// back when a bridge that remembers it is gone, and the other way round: both together
	// forfeit it, and that is to be so in few rounds only.
	flushes, deletes bool
}

func plan(seed uint64, steps int) round {
	p := &planner{Rand: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // it is to be foreseeable
	by := p.IntN(4)
	p.flushes, p.deletes = by == 0 || by == 2, by > 0 && by < 3
	r := round{seed: seed, ends: p.IntN(2) == 0}
	for range steps {
		r.steps = append(r.steps, p.step())
	}
	return r
}

func (p *planner) step() []operation {
	count := 1
	if p.IntN(2) == 0 {
		count = 2 + p.IntN(3)
	}
	var step []operation
	var fresh, ended, used [containers]bool
	for len(step) < count {
		o := p.operation()
		c := o.container
		ofOne := o.what != flush && o.what != deleteBridge
		switch {
		case o.what == flush && !p.flushes, o.what == deleteBridge && !p.deletes,
			ofOne && fresh[c], o.fresh && used[c], o.what == end && ended[c]:
			continue
		case ofOne:
			used[c], fresh[c] = true, o.fresh
			ended[c] = ended[c] || o.what == end
		}
		step = append(step, o)
	}
	for c := range containers {
		p.alive[c] = (p.alive[c] || fresh[c]) && !ended[c]
	}
	return step
}

// odds of each operation, of a restart, and of what is done to a run.
func (p *planner) operation() operation {
	o := operation{container: p.IntN(containers), wish: wish{1 + p.IntN(len(bridges)-1), p.IntN(len(ports)), p.IntN(2) == 0}}
	o.begins = time.Duration(p.IntN(30)) * time.Millisecond
	o.byID = p.IntN(3) == 0
	alive := p.alive[o.container]
	switch n := p.IntN(100); {
	case n < 45 || !alive && n < 85:
		o.what = up
		o.fresh = !alive || n < 8
		o.gap = time.Duration(p.IntN(50)) * time.Millisecond
	case n < 70:
		o.what = down
	case n < 78:
		o.what = check
	case n < 85:
		o.what = end
	case n < 89:
		o.what = flush
	case n < 93:
		o.what = deleteBridge
	default:
		o.what = deleteLink
	}
	if !alive && o.what != flush && o.what != deleteBridge && !o.fresh {
		o.what, o.byID = down, true
	}
	switch n := p.IntN(100); {
	case o.what != up && o.what != down:
	case n < 20:
		o.dies = time.Duration(1+p.IntN(500<<p.IntN(7))) * time.Microsecond // most runs take some milliseconds
	case n < 28 && o.what == up:
		o.hurried = time.Duration(1+p.IntN(30)) * time.Millisecond
	}
	return o
}
