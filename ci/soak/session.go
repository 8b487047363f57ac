package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/netsetgo/netsetgo/ci/state"
	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// session is a host on which rounds go by.
type session struct {
	binary     string
	host       *testbed.Host
	containers [containers]*testbed.Container // nil where it has ended
	targets    [containers]target             // also of one that has ended
	// base is what the host is like when nobody is connected.
	base   state.State
	worlds map[world]bool
	last   *observation
	// flushed and deleted say what was done by hand in this round.
	flushed, deleted bool
	log              []string
	count            struct{ rounds, steps, runs, killed, refused, byHand, forfeited int }
}

var errBroken = errors.New("netsetgo doesn't keep its promises")

// newSession makes the host, and lets a container come and go: that may load modules of
// the kernel's, which add sysctls.
func newSession(binary string) (*session, error) {
	s := &session{binary: binary, worlds: map[world]bool{{}: true}}
	var err error
	if s.host, err = testbed.NewHost(); err != nil {
		return nil, err
	}
	// Where bridged packets are shown to the firewall, isolated bridges lack something that check
	// tells of.
	shown, err := filepath.Glob("/proc/sys/net/bridge/bridge-nf-call-ip*tables")
	for _, file := range shown {
		err = errors.Join(err, os.WriteFile(file, []byte("0"), 0))
	}
	if err == nil {
		s.base, err = s.host.Reader.Read(s.host.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("making a host: %w", err)
	}
	if err := s.step([]operation{{what: up, wish: wish{bridge: 2, port: 2}, fresh: true}}); err != nil {
		return nil, err
	}
	return s, s.empty(false)
}

// round lets a sequence of steps go by, and takes all down.
func (s *session) round(seed uint64) error {
	s.log, s.flushed, s.deleted = nil, false, false
	// Few enough to do them again in some seconds.
	const steps = 40
	p := newPlanner(seed)
	for i := range steps {
		s.log = append(s.log, fmt.Sprintf("step %d:", i+1))
		if err := s.step(p.step()); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		s.count.steps++
	}
	s.count.rounds++
	if err := s.empty(p.IntN(2) == 0); err != nil {
		return fmt.Errorf("after the last step: %w", err)
	}
	return nil
}

// step lets operations go on at once, and compares what comes of it with the model.
func (s *session) step(step []operation) error {
	outcomes, err := s.execute(step)
	if err != nil {
		return err
	}
	worlds := explain(s.worlds, outcomes)
	if len(worlds) == 0 {
		return fmt.Errorf("%w: it can't come out so, in whatever order; before: %s", errBroken, tell(s.worlds))
	}
	s.worlds = worlds
	var nearest []string
	before := s.last
	fits, err := testbed.Eventually(func() (fits bool, err error) {
		fits, nearest, err = s.narrow()
		return fits, err
	})
	if err == nil && !fits {
		err = fmt.Errorf("%w: %s", errBroken, strings.Join(nearest, "\n    "))
	}
	if err == nil && len(outcomes) == 1 && s.last.leavesIdle(before, outcomes[0]) {
		err = fmt.Errorf("%w: it left bridges that nobody is on: %v", errBroken, s.last.idle)
	}
	return err
}

// narrow leaves those worlds alone that fit what is there, if any does; else it says in what
// the nearest differs.
func (s *session) narrow() (fits bool, nearest []string, err error) {
	is, err := s.observe()
	if errors.Is(err, netlink.ErrDumpInterrupted) || err != nil && errors.As(err, &netlink.LinkNotFoundError{}) {
		return false, []string{err.Error()}, nil // something is just going
	}
	if err != nil {
		return false, nil, err
	}
	s.last = is
	left, nearer := map[world]bool{}, false
	for w := range s.worlds {
		differences, near := is.differences(w)
		if len(differences) == 0 {
			left[w] = true
		}
		if nearest == nil || near && !nearer || near == nearer && len(differences) < len(nearest) {
			nearest, nearer = differences, near
		}
	}
	if len(left) > 0 {
		s.worlds = left
	}
	return len(left) > 0, nearest, nil
}

// execute starts each operation when it begins: by this thread, which alone is on the host.
func (s *session) execute(step []operation) (outcomes []outcome, err error) {
	slices.SortStableFunc(step, func(a, b operation) int { return cmp.Compare(a.begins, b.begins) })
	began := time.Now()
	var running []*process
	for _, o := range step {
		time.Sleep(time.Until(began.Add(o.begins))) //nolint:forbidigo // it is planned for then
		s.flushed, s.deleted = s.flushed || o.what == flush, s.deleted || o.what == deleteBridge
		if o.what == end {
			s.logf("%s", o.command(s.targets[o.container]))
			s.containers[o.container].End()
			s.containers[o.container] = nil
			outcomes = append(outcomes, outcome{operation: o})
			continue
		}
		if o.fresh {
			if err := s.begin(o.container); err != nil {
				return nil, err
			}
		}
		p, err := s.start(o)
		if err != nil {
			return nil, err
		}
		running = append(running, p)
	}
	for _, p := range running {
		code, finishing := s.finish(p)
		disturbed := slices.ContainsFunc(step, func(other operation) bool { return other.disturbs(p.operation) })
		outcomes, err = append(outcomes, outcome{p.operation, code, disturbed}), errors.Join(err, finishing)
	}
	return outcomes, err
}

func (s *session) logf(format string, arguments ...any) {
	s.log = append(s.log, "    "+fmt.Sprintf(format, arguments...))
}

// begin starts a container.
func (s *session) begin(c int) error {
	container, err := testbed.NewContainer("/proc/self/exe", serveName, idOf(c))
	if err != nil {
		return err
	}
	var namespace unix.Stat_t
	if err := unix.Fstat(int(container.Namespace.Fd()), &namespace); err != nil {
		return err
	}
	s.containers[c], s.targets[c] = container, target{container.PID(), namespace.Ino}
	s.logf("unshare --net sleep 900 &  # %s is %s", idOf(c), container.PID())
	return nil
}

// empty takes all down, some by down and some by their end, and looks whether the host is
// what it was.
func (s *session) empty(ends bool) error {
	var first, byID, last []operation
	for c, container := range s.containers {
		if container != nil {
			first = append(first, operation{what: down, container: c})
			last = append(last, operation{what: end, container: c})
		}
		byID = append(byID, operation{what: down, container: c, byID: true})
	}
	steps := [][]operation{first, last, byID}
	if ends {
		steps = steps[1:]
	}
	for _, step := range steps {
		if err := s.step(step); err != nil {
			return err
		}
	}
	var left []string
	_, err := testbed.Eventually(func() (is bool, err error) {
		if left, err = s.left(); err == nil {
			err = s.putBack(left)
		}
		return len(left) == 0, err
	})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%w: left on the host: %s", errBroken, strings.Join(left, "\n    "))
	}
	return err
}

// left is what isn't as it was before the first container.
func (s *session) left() ([]string, error) {
	is, err := s.host.Reader.Read(s.host.Namespace)
	if err != nil {
		return nil, err
	}
	left := state.Differences(s.base, is)
	isNew := func(line string) bool { return strings.HasPrefix(line, "+sysctl ") }
	if s.count.steps == 0 && !slices.ContainsFunc(left, func(line string) bool { return !isNew(line) }) {
		s.base, left = is, nil // of modules that were loaded for the first container
	}
	request := nl.NewNetlinkRequest(unix.RTM_GETNSID, unix.NLM_F_DUMP)
	request.AddRawData(make([]byte, 4)) // struct rtgenmsg, linux/rtnetlink.h
	numbers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNSID)
	free, err2 := testbed.Unlocked()
	processes, err3 := testbed.Children()
	files, err4 := filepath.Glob("/run/*")
	for _, each := range []struct {
		is   bool
		what string
	}{
		{len(numbers) > 0, fmt.Sprintf("%d namespaces of containers", len(numbers))},
		{!free, "the lock is held"},
		{len(processes) > 0, fmt.Sprintf("processes %v", processes)},
		{len(files) > 1, fmt.Sprintf("files %v", files)}, // beside the lock's
	} {
		if each.is {
			left = append(left, each.what)
		}
	}
	return left, errors.Join(err, err2, err3, err4)
}

// uplink is a sysctl that netsetgo changes of a link which isn't its own.
var uplink = regexp.MustCompile(`^sysctl (net/ipv[46]/conf/(?:up0|all)/(?:forwarding|force_forwarding|accept_ra)): (\S+) -> `)

// putBack does what netsetgo can't, where both are deleted that say what an uplink was: the
// note of a bridge, and the rules' elements.
func (s *session) putBack(left []string) error {
	for _, line := range left {
		part := uplink.FindStringSubmatch(line)
		if part == nil || !s.flushed || !s.deleted {
			continue
		}
		s.count.forfeited++
		if err := os.WriteFile("/proc/sys/"+part[1], []byte(part[2]), 0); err != nil {
			return fmt.Errorf("putting back what is forfeited: %w", err)
		}
	}
	return nil
}

// close ends what is left.
func (s *session) close() {
	for _, container := range s.containers {
		if container != nil {
			container.End()
		}
	}
	_ = s.host.Namespace.Close()
}
