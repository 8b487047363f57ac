package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/netsetgo/netsetgo/ci/testbed"
	"golang.org/x/sys/unix"
)

// call is one call that counts, of a whole process: strace counts those of each thread.
type call struct {
	name   string
	detail string // what it is about, for people
	parts  int    // how many requests it makes that the kernel grants one by one
}

// ofTerminal is the detail of an ioctl that asks whether a stream is a terminal.
const ofTerminal = "TCGETS"

func (c call) String() string { return strings.TrimSpace(c.name + " " + c.detail) }

// sort is what a call is by its name, and by the request that it makes or reads the answer of.
func (c call) sort() string {
	switch c.name {
	case "sendto", "recvmsg":
		request, _, _ := strings.Cut(c.detail, ",")
		return c.name + " " + request
	}
	return c.name
}

// aim is the fault that a call is to meet: the nth of its sort, since a run that waits for the
// kernel looks more often, and makes its other calls at other places. Without an nth, none does.
type aim struct {
	nth   int
	call  call
	fault fault
}

// aimAt aims at a call by its index.
func aimAt(calls []call, i int, f fault) aim {
	nth := 0
	for _, c := range calls[:i+1] {
		if c.sort() == calls[i].sort() {
			nth++
		}
	}
	return aim{nth, calls[i], f}
}

// outcome is how a supervised run ended.
type outcome struct {
	calls  []call
	met    int // the number of the call that met the fault; 0 where none did
	code   int // -1 where a signal ended it
	stderr string
}

// patience is how long a supervised run may take.
var patience = 30 * time.Second * testbed.Slow

// supervisor lets one process run, and puts a fault into one of its calls.
type supervisor struct {
	process  int
	pidfd    int
	listener int
	aim      aim
	last     notification
	like     int // how many calls there were of the sort that is aimed at
	// asked is the request that was sent last, by the socket.
	asked   map[uint64]string
	outcome outcome
	// refused has what stands for the kernel's answer, by the socket that it comes from.
	refused map[uint64][]byte
}

// supervise runs a command on the thread's host, and has one of its calls meet a fault.
func supervise(command []string, stdin string, aim aim) (outcome, error) {
	mine, its, err := socketPair()
	if err != nil {
		return outcome{}, err
	}
	var stderr bytes.Buffer
	cmd := exec.Command("/proc/self/exe", append([]string{stubName}, command...)...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &stderr
	cmd.ExtraFiles = []*os.File{its}
	// A signal during a call that waits for its answer would make it begin, and count, anew;
	// Go's own are those by which it preempts.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	_ = its.Close()
	if err != nil {
		_ = mine.Close()
		return outcome{}, fmt.Errorf("starting the stub: %w", err)
	}
	s := &supervisor{process: cmd.Process.Pid, aim: aim, refused: map[uint64][]byte{}, asked: map[uint64]string{}}
	if s.pidfd, err = unix.PidfdOpen(s.process, 0); err == nil {
		err = s.take(mine)
		defer func() { _ = unix.Close(s.pidfd) }()
	}
	_ = mine.Close()
	if err == nil {
		err = s.watch()
		_ = unix.Close(s.listener)
	}
	if err != nil {
		_ = cmd.Process.Kill()
	}
	_ = cmd.Wait() // the state says it
	s.outcome.code, s.outcome.stderr = cmd.ProcessState.ExitCode(), stderr.String()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, s.outcome.stderr)
	}
	return s.outcome, err
}

func socketPair() (mine, its *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a pair of sockets: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "supervisor"), os.NewFile(uintptr(fds[1]), "stub"), nil
}

// take gets the listener out of the stub.
func (s *supervisor) take(socket *os.File) error {
	number := make([]byte, 4)
	if n, err := socket.Read(number); err != nil || n != len(number) {
		return fmt.Errorf("waiting for the stub: %w", err)
	}
	var err error
	s.listener, err = unix.PidfdGetfd(s.pidfd, int(binary.NativeEndian.Uint32(number)), 0)
	if err != nil {
		return fmt.Errorf("taking the listener: %w", err)
	}
	_, err = socket.Write([]byte{1})
	return err
}

// watch answers notifications until the last thread has ended.
func (s *supervisor) watch() error {
	end := time.Now().Add(patience)
	for {
		poll := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}, {Fd: int32(s.pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int(time.Until(end).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("waiting for a notification: %w", err)
		case n == 0:
			return fmt.Errorf("it didn't end within %s", patience)
		case poll[0].Revents&unix.POLLIN == 0:
			return nil // it has ended: older kernels don't say so by the filter before it is waited for
		}
		notified, ok, err := receive(s.listener)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := s.answer(notified); err != nil {
			return err
		}
	}
}

// answer decides what becomes of a call.
func (s *supervisor) answer(n notification) error {
	if answer, ok := s.refused[n.args[0]]; ok && watched[n.number] == "recvmsg" {
		delete(s.refused, n.args[0])
		s.count(n)
		length, err := putAnswer(n, answer)
		if err != nil {
			return err
		}
		return respond(s.listener, response{id: n.id, value: int64(length)})
	}
	if !s.count(n) || !s.aimedAt() {
		return respond(s.listener, goOn(n))
	}
	if part := s.aim.fault.part; part > 0 && part > partsOf(peek(n.pid, n.args[1], int(n.args[2]))) {
		return respond(s.listener, goOn(n)) // another one, of a run that went otherwise
	}
	s.outcome.met = len(s.outcome.calls)
	switch s.aim.fault.kind {
	case errorKind:
		return respond(s.listener, response{id: n.id, err: -int32(s.aim.fault.errno)})
	case refusalKind:
		datagram := peek(n.pid, n.args[1], int(n.args[2]))
		refused, granted := requestsOf(datagram), []byte(nil)
		if part := s.aim.fault.part; part > 0 {
			granted = bytes.Join(slices.Delete(slices.Clone(refused), part-1, part), nil)
			refused = refused[part-1 : part]
		}
		s.refused[n.args[0]] = refusal(refused, s.aim.fault.errno)
		if err := s.send(int(n.args[0]), granted); err != nil {
			return err
		}
		return respond(s.listener, response{id: n.id, value: int64(len(datagram))})
	case killKind, endKind:
		return unix.Kill(s.process, unix.SIGKILL)
	case delayKind:
		time.Sleep(s.aim.fault.delay) //nolint:forbidigo // to be late is what it is for
	}
	return respond(s.listener, goOn(n))
}

// send sends requests by a socket of the process, as if it did so itself.
func (s *supervisor) send(socket int, requests []byte) error {
	if len(requests) == 0 {
		return nil
	}
	its, err := unix.PidfdGetfd(s.pidfd, socket, 0)
	if err != nil {
		return fmt.Errorf("taking a socket of the process: %w", err)
	}
	defer func() { _ = unix.Close(its) }()
	if err := unix.Sendto(its, requests, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("sending in the place of the process: %w", err)
	}
	return nil
}

// aimedAt says whether the call that was counted last is the one that is aimed at.
func (s *supervisor) aimedAt() bool {
	if s.outcome.calls[len(s.outcome.calls)-1].sort() != s.aim.call.sort() {
		return false
	}
	s.like++
	return s.like == s.aim.nth
}

// count adds a call, if it counts: if it is netsetgo's own and not that of Go's runtime.
func (s *supervisor) count(n notification) bool {
	again := n.pid == s.last.pid && n.number == s.last.number && n.args == s.last.args
	s.last = n
	c := call{name: watched[n.number]}
	switch c.name {
	case "openat":
		c.detail = unix.ByteSliceToString(peek(n.pid, n.args[1], 256))
		// The runtime asks how much of the machine it may use, and does without an answer.
		for _, prefix := range []string{"/sys/", "/proc/self/cgroup", "/proc/self/mountinfo"} {
			if strings.HasPrefix(c.detail, prefix) {
				return false
			}
		}
	case "read", "write":
		// All else of these is about standard streams, and what wakes up the runtime.
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", s.process, n.args[0]))
		// A sysctl whose lock is held makes the call begin anew (restart_syscall).
		if err != nil || !strings.HasPrefix(path, "/proc/sys/") || again {
			return false
		}
		c.detail = path
	case "ioctl":
		if n.args[1] == unix.TCGETS {
			c.detail = ofTerminal
		}
	case "sendto":
		if header := peek(n.pid, n.args[1], unix.SizeofNlMsghdr); len(header) == unix.SizeofNlMsghdr {
			c.detail = describe(header, int(n.args[2]))
			c.parts = partsOf(peek(n.pid, n.args[1], int(n.args[2])))
			s.asked[n.args[0]] = c.detail
		}
	case "recvmsg":
		c.detail = "of " + s.asked[n.args[0]]
	}
	s.outcome.calls = append(s.outcome.calls, c)
	return true
}
