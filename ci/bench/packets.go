package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/netsetgo/netsetgo/ci/thread"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	"golang.org/x/sys/unix"
)

// A flow is sent rounds times with rules, and as often without.
const (
	rounds  = 25
	packets = 20_000
)

// benchPackets measures what the rules take of the time to send a packet: on a pair of veth,
// whoever sends one does all the work until it has arrived. The socket there holds the first few.
func benchPackets(_ options, r *report) error {
	var nodes [3]*os.File // two containers, and the world
	for i := range nodes {
		var err error
		if nodes[i], err = testbed.NewNamespace(); err != nil {
			return err
		}
	}
	for _, container := range nodes[:2] {
		if err := netset(kernel.System{}).Up(netsetgo.NetworkConfig{Namespace: container}, 0); err != nil {
			return err
		}
	}
	err := sh(fmt.Sprintf(`
		ip link set eth0 netns %[1]s
		nsenter --net=%[1]s sh -ec 'ip address add 192.0.2.254/24 dev eth0; ip link set eth0 up; ip link show eth0 >/dev/null'
		ip link show up0 >/dev/null
	`, path(nodes[2])))
	if err != nil {
		return err
	}
	conn, err := kernel.System{}.Connect(nil)
	if err != nil {
		return err
	}
	flows := []struct {
		name string
		to   [4]byte
		at   *os.File // nil is the host
	}{
		{"a neighbour", [4]byte{10, 10, 10, 3}, nodes[1]},
		{"the host", [4]byte{10, 10, 10, 1}, nil},
		{"the world", [4]byte{192, 0, 2, 254}, nodes[2]},
	}
	r.printf("\nA packet of 64 bytes by UDP from a container, %d times %d of them each, by turns: microseconds, median (and quartiles)\n", rounds, packets)
	for _, flow := range flows {
		sink, err := socketIn(flow.at, unix.SOCK_DGRAM, 0)
		if err == nil {
			err = unix.Bind(sink, &unix.SockaddrInet4{Port: 9, Addr: flow.to})
		}
		source, err2 := socketIn(nodes[0], unix.SOCK_DGRAM, 0)
		if err = errors.Join(err, err2); err == nil {
			err = unix.Connect(source, &unix.SockaddrInet4{Port: 9, Addr: flow.to})
		}
		if err != nil {
			return fmt.Errorf("preparing a flow to %s: %w", flow.name, err)
		}
		var with, without []time.Duration
		for range rounds {
			if err := netset(kernel.System{}).Up(netsetgo.NetworkConfig{Namespace: nodes[0]}, 0); err != nil {
				return err
			}
			with = append(with, send(source))
			if err := errors.Join(arrived(sink), dropRules(conn)); err != nil {
				return fmt.Errorf("a flow to %s: %w", flow.name, err)
			}
			without = append(without, send(source))
			if err := arrived(sink); err != nil {
				return fmt.Errorf("a flow to %s, without the rules: %w", flow.name, err)
			}
		}
		a, b := r.micros("to "+flow.name, with), r.micros("    without the rules", without)
		r.printf("    the rules take %.2f\n", micro(a-b))
	}
	return nil
}

// dropRules takes the tables away; the next up makes them anew.
func dropRules(conn configurer.Conn) error {
	var steps []configurer.Step
	for _, table := range firewall.Tables() {
		steps = append(steps, configurer.Step{Change: configurer.DeleteTable{Family: table.Family}})
	}
	return errors.Join(conn.Do(steps...)...)
}

// socketIn opens a socket of IPv4 in a namespace; nil is the thread's own.
func socketIn(namespace *os.File, kind, protocol int) (fd int, err error) {
	if namespace == nil {
		return unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, protocol)
	}
	err = thread.In(namespace, func() error {
		fd, err = socketIn(nil, kind, protocol)
		return err
	})
	return fd, err
}

// arrived empties a socket, in which there has to be something.
func arrived(sink int) error {
	var packet [64]byte
	for n := range packets + 1 {
		if _, _, err := unix.Recvfrom(sink, packet[:], unix.MSG_DONTWAIT); errors.Is(err, unix.EAGAIN) && n > 0 {
			return nil
		} else if err != nil {
			return fmt.Errorf("looking whether packets arrived: %w", err)
		}
	}
	return errors.New("more packets arrived than were sent")
}

// send sends packets and returns how long each took. What the network says of those before
// isn't of interest.
func send(socket int) time.Duration {
	var payload [64]byte
	began := time.Now()
	for range packets {
		_ = unix.Send(socket, payload[:], 0)
	}
	return time.Since(began) / packets
}
