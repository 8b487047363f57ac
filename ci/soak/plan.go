package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/netsetgo/netsetgo/configurer/lease"
)

// containers is how many there are at most.
const containers = 5

// The bridges and ports that runs ask for by number; 0 is none. The subnet of the first has
// room for all containers and no more, so that addresses soon have other holders; on the last,
// each container asks for an address of its own, so that it finds what the one before left.
var (
	bridges = []struct{ name, addresses, flags string }{
		{},
		{"brg0", "10.10.10.1/29", ""},
		{"brg1", "10.10.11.1/24,fd11::1/64", ""},
		{"brg2", "10.10.12.1/24", " -isolated"},
	}
	ports = []struct{ flag, network, number string }{
		{},
		{"8080:80/tcp", "tcp", "8080"},
		{"8080:80/udp", "udp", "8080"},
		{"8081:80/tcp", "tcp", "8081"},
	}
)

// wish is what an up asks for; the zero value is nothing.
type wish struct {
	bridge, port int
	id           bool
}

func (w wish) flags(container int) string {
	bridge := bridges[w.bridge]
	flags := " -bridgeName " + bridge.name + " -bridgeAddress " + bridge.addresses + bridge.flags
	if w.bridge == len(bridges)-1 {
		flags += fmt.Sprintf(" -containerAddress 10.10.12.%d", 2+container)
	}
	if w.id {
		flags += " -id " + idOf(container)
	}
	if w.port != 0 {
		flags += " -publish " + ports[w.port].flag
	}
	return flags
}

func idOf(container int) string { return fmt.Sprintf("c%d", container) }

// What an operation is: a run of netsetgo, or what others do.
const (
	up = iota
	down
	check
	end          // of a container, by a signal
	flush        // of all rules, by hand
	deleteBridge // by hand
	deleteLink   // by hand, of a host link
)

// operation is one of what goes on at once.
type operation struct {
	what      int
	container int
	wish      wish // of an up and a check, and the bridge to delete
	// begins is when it does, in its step; dies is when a run is killed, after that.
	begins, dies time.Duration
	// fresh says that the container of an up begins just before it.
	fresh bool
	// byID names the container to a down.
	byID bool
	// hurried is a -timeout that is hardly enough.
	hurried time.Duration
}

// target is the process of a container, and its namespace.
type target struct {
	pid   string
	inode uint64
}

// command is what a user would type.
func (o operation) command(t target) string {
	switch o.what {
	case up:
		command := "netsetgo -pid " + t.pid + o.wish.flags(o.container)
		if o.hurried != 0 {
			command += " -timeout " + o.hurried.String()
		}
		return command
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
		return "ip link delete dev " + lease.NamespaceName("veth1", t.inode)
	}
	return "kill -9 " + t.pid
}

// ofOne says whether it is about one container.
func (o operation) ofOne() bool { return o.what != flush && o.what != deleteBridge }

// disturbs says whether an up, or a check, may fail since this goes on at the same time. To
// delete a host link, down takes no lock: others would wait for it.
func (o operation) disturbs(run operation) bool {
	switch o.what {
	case flush:
		return true
	case deleteBridge:
		return o.wish.bridge == run.wish.bridge || run.what == check // which looks at the one that is there, too
	case down, deleteLink, end:
		return o.container == run.container
	case up:
		// It may have the port so long that the other gives up, and fail then itself.
		return run.what == up && o.container != run.container && o.wish.port == run.wish.port && o.wish.port != 0 && (o.dies != 0 || o.hurried != 0)
	}
	return false
}

// planner draws what is done, by a seed alone: what comes of it has no say in what is next.
type planner struct {
	*rand.Rand
	alive [containers]bool
	last  [containers]wish
	// What may be done by hand in this round. What the last one out has to put back, bridges
	// remember, and the rules have it: where both are deleted, it is forfeited. That is to be
	// so in few rounds only.
	flushes, deletes bool
}

func newPlanner(seed uint64) *planner {
	p := &planner{Rand: rand.New(rand.NewPCG(seed, 0))} // it is to be foreseeable
	hands := p.IntN(4)
	p.flushes, p.deletes = hands%2 == 0, hands == 1 || hands == 2
	return p
}

// step draws what goes on at once: one or some, of which a few may be about one container.
func (p *planner) step() []operation {
	count := 1 + p.IntN(2)*p.IntN(6)
	var step []operation
	var used, ends [containers]bool
	for range count {
		o := p.operation()
		c := o.container
		if o.fresh && used[c] || ends[c] || o.what == flush && !p.flushes || o.what == deleteBridge && !p.deletes {
			continue
		}
		if o.fresh && p.alive[c] {
			// A restart within 50 ms.
			step = append(step, operation{what: end, container: c, begins: o.begins})
			o.begins += time.Duration(p.IntN(50)) * time.Millisecond
		}
		used[c] = used[c] || o.ofOne()
		ends[c] = o.fresh || o.what == end
		step = append(step, o)
	}
	for _, o := range step {
		if o.what == end || o.fresh {
			p.alive[o.container] = o.fresh
		}
	}
	return step
}

func (p *planner) operation() operation {
	c := p.IntN(containers)
	o := operation{container: c, wish: p.last[c], begins: time.Duration(p.IntN(30)) * time.Millisecond}
	if o.wish.bridge == 0 || p.IntN(4) == 0 {
		o.wish = wish{1 + p.IntN(len(bridges)-1), p.IntN(len(ports)), p.IntN(2) == 0}
	}
	switch n := p.IntN(100); {
	case n < 12 || n < 85 && !p.alive[c]:
		o.what, o.fresh = up, true
	case n < 45:
		o.what = up
	case n < 67:
		o.what, o.byID = down, p.IntN(3) == 0
	case n < 73:
		o.what = check
	case n < 80:
		o.what = end
	case n < 87:
		o.what = flush
	case n < 93:
		o.what = deleteBridge
	default:
		o.what = deleteLink
	}
	if !p.alive[c] && !o.fresh && o.ofOne() {
		o.what, o.byID = down, true
	}
	if o.what == up {
		p.last[c] = o.wish
	}
	switch n := p.IntN(100); {
	case n < 20 && o.what <= down:
		o.dies = time.Duration(1+p.IntN(500<<p.IntN(9))) * time.Microsecond // some take a hundred milliseconds, on slow machines with others at once
	case n < 28 && o.what == up:
		o.hurried = time.Duration(1+p.IntN(30)) * time.Millisecond
	}
	return o
}
