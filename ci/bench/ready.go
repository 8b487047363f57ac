package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// readyBar is how long the answer to a packet may take that is sent when up has ended: ms.
const readyBar = 100

// benchReady sends a packet to the gateway as soon as up has ended, and waits for the answer.
func benchReady(o options, r *report) error {
	s, err := newStage(o)
	if err != nil {
		return err
	}
	fresh := []string{"-bridgeName", "fresh0", "-bridgeAddress", "10.50.0.1/24"}
	reused := append(slices.Clone(plainFlags), "-containerAddress", "10.10.0.77")
	kinds := []struct {
		what    string
		flags   []string
		gateway [4]byte
		took    []time.Duration
	}{
		{what: "the first on a new bridge", flags: fresh, gateway: [4]byte{10, 50, 0, 1}},
		{what: "with an address that another had until now", flags: reused, gateway: [4]byte{10, 10, 0, 1}},
		{what: "one more on a bridge", flags: plainFlags, gateway: [4]byte{10, 10, 0, 1}},
	}
	slow, runs := 0, 5*o.runs
	for n := range runs {
		kind := &kinds[n*len(kinds)/runs] // one kind after another: the same address again and again
		took, err := s.ready(kind.flags, kind.gateway)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.what, err)
		}
		kind.took = append(kind.took, took)
		if milli(took) > readyBar {
			slow++
		}
	}
	r.printf("\nReady: from the end of up to the answer of the gateway to a first packet, %d times: milliseconds, median (and quartiles), and the longest\n", runs)
	for _, kind := range kinds {
		r.row(kind.what, kind.took)
		r.printf("    the longest %.2f\n", milli(slices.Max(kind.took)))
	}
	r.Bars = append(r.Bars, bar{What: fmt.Sprintf("of %d first packets, those answered after more than %d ms", runs, readyBar), Value: float64(slow), Most: 0})
	return nil
}

// ready connects a container, asks, and takes the container down again.
func (s *stage) ready(flags []string, gateway [4]byte) (time.Duration, error) {
	name, err := s.namespace()
	if err != nil {
		return 0, err
	}
	namespace, err := os.Open(namespaces + name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = namespace.Close() }()
	socket, err := socketIn(namespace, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(socket) }()
	if _, err := s.run(byNetsetgo(flags...)(s, name, 0)); err != nil {
		return 0, err
	}
	took, err := ping(socket, gateway)
	_, failed := s.run(byNetsetgoDown(s, name, 0))
	return took, errors.Join(err, failed, dropNamespace(name))
}

// ping sends one echo request (RFC 792) and waits for the reply, for a second.
func ping(socket int, to [4]byte) (time.Duration, error) {
	const request, reply, longest = 8, 0, time.Second
	message := []byte{request, 0, 0xf7, 0xff, 0, 0, 0, 0} // with its checksum
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := unix.Sendto(socket, message, 0, &unix.SockaddrInet4{Addr: to}); err != nil {
		return 0, fmt.Errorf("sending a packet: %w", err)
	}
	answer := make([]byte, 1500)
	for time.Since(began) < longest {
		n, _, err := unix.Recvfrom(socket, answer, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("waiting for the answer: %w", err)
		}
		const ipHeader = 20
		if n > ipHeader && answer[ipHeader] == reply {
			break
		}
	}
	return time.Since(began), nil
}
