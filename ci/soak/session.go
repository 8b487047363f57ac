package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	base state.State

	worlds map[world]bool
	// flushed and deleted say what was done by hand since the host was empty.
	flushed, deleted bool
	log              []string
	count            counts
}

// counts are for the table.
type counts struct{ rounds, steps, runs, killed, refused, byHand, compared, forfeited int }

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
	if err != nil {
		return nil, fmt.Errorf("making a host: %w", err)
	}
	w := wish{bridge: 2, port: 2}
	for _, step := range [][]operation{{{what: up, wish: w, fresh: true}}, {{what: down}}, {{what: end}}} {
		if err := s.step(step); err != nil {
			return nil, err
		}
	}
	// Which is when nobody has a number any more.
	none, err := testbed.Eventually(func() (bool, error) {
		numbers, err := namespaceNumbers()
		return numbers == 0, err
	})
	if err != nil || !none {
		return nil, cmp.Or(err, errors.New("the namespace of a container that has ended stays"))
	}
	s.base, err = s.host.Reader.Read(s.host.Namespace)
	return s, err
}

// namespaceNumbers counts the namespaces to which the host gave a number.
func namespaceNumbers() (int, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNSID, unix.NLM_F_DUMP)
	request.AddRawData(make([]byte, 4)) // struct rtgenmsg, linux/rtnetlink.h
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNSID)
	if err != nil {
		return 0, fmt.Errorf("counting namespaces: %w", err)
	}
	return len(messages), nil
}

// started is a process of an operation.
type started struct {
	operation
	cmd    *exec.Cmd
	output bytes.Buffer
	began  time.Time
	took   time.Duration
	ended  chan struct{}
	line   int // of the log
}

// all lets a round go by, and takes all down.
func (s *session) all(r round) error {
	s.log = nil
	for i, step := range r.steps {
		s.log = append(s.log, fmt.Sprintf("step %d:", i+1))
		if err := s.step(step); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		s.count.steps++
	}
	if err := s.empty(r.ends); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	s.count.rounds++
	return nil
}

// step lets operations go on at once, and compares what comes of it with the model.
func (s *session) step(step []operation) error {
	outcomes, err := s.execute(step)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		s.flushed, s.deleted = s.flushed || o.what == flush, s.deleted || o.what == deleteBridge
	}
	worlds := explain(s.worlds, outcomes)
	if len(worlds) == 0 {
		return fmt.Errorf("%w: it can't come out so, in whatever order; before: %+v", errBroken, s.worlds)
	}
	s.worlds = worlds
	return s.compare()
}

// compare leaves those worlds alone that fit what is there: one at least has to, soon.
func (s *session) compare() error {
	var nearest []string
	fits, err := testbed.Eventually(func() (bool, error) {
		s.count.compared++
		is, err := s.observe()
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			return false, nil // something is just going
		}
		if err != nil {
			return false, err
		}
		left := map[world]bool{}
		nearest = nil
		for w := range s.worlds {
			differences := is.differences(w)
			if len(differences) == 0 {
				left[w] = true
			}
			if nearest == nil || len(differences) < len(nearest) {
				nearest = differences
			}
		}
		if len(left) > 0 {
			s.worlds = left
		}
		return len(left) > 0, nil
	})
	if err == nil && !fits {
		err = fmt.Errorf("%w: %s", errBroken, strings.Join(nearest, "\n    "))
	}
	return err
}

// execute starts each operation when it begins: by this thread, which alone is on the host.
func (s *session) execute(step []operation) ([]outcome, error) {
	type event struct {
		at time.Duration
		do func() error
	}
	var events []event
	var outcomes []outcome
	var running []*started
	for _, o := range step {
		begin := func() error {
			process, err := s.start(o)
			running = append(running, process)
			return err
		}
		switch {
		case o.what == end:
			events = append(events, event{o.begins, func() error { outcomes = append(outcomes, s.end(o.container)); return nil }})
		case o.fresh:
			events = append(events, event{o.begins, func() error {
				if s.containers[o.container] != nil {
					outcomes = append(outcomes, s.end(o.container))
				}
				return nil
			}}, event{o.begins + o.gap, func() error {
				container, err := testbed.NewContainer("/proc/self/exe", serveName, idOf(o.container))
				if err != nil {
					return err
				}
				var namespace unix.Stat_t
				if err := unix.Fstat(int(container.Namespace.Fd()), &namespace); err != nil {
					return err
				}
				s.containers[o.container], s.targets[o.container] = container, target{container.PID(), namespace.Ino}
				s.logf("unshare --net sleep 900 &  # %s is %s", idOf(o.container), container.PID())
				return begin()
			}})
		default:
			events = append(events, event{o.begins, begin})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	began := time.Now()
	for _, event := range events {
		time.Sleep(time.Until(began.Add(event.at))) //nolint:forbidigo // it is planned for then
		if err := event.do(); err != nil {
			return nil, err
		}
	}
	var failed error
	for _, process := range running {
		o, err := s.finish(process)
		outcomes, failed = append(outcomes, o), errors.Join(failed, err)
	}
	for i := range outcomes {
		outcomes[i].disturbed = slices.ContainsFunc(step, func(other operation) bool { return other.disturbs(outcomes[i].operation) })
	}
	return outcomes, failed
}

// end ends a container.
func (s *session) end(container int) outcome {
	o := operation{what: end, container: container}
	s.logf("%s", o.command(s.targets[container]))
	s.containers[container].End()
	s.containers[container] = nil
	return outcome{operation: o}
}

func (s *session) logf(format string, arguments ...any) {
	s.log = append(s.log, "    "+fmt.Sprintf(format, arguments...))
}

func (s *session) start(o operation) (*started, error) {
	command := o.command(s.targets[o.container])
	words := strings.Fields(command)
	if o.ofNetsetgo() {
		words[0] = s.binary
	}
	p := &started{operation: o, cmd: exec.Command(words[0], words[1:]...), ended: make(chan struct{}), line: len(s.log), began: time.Now()}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	s.logf("%s &", command)
	if err := p.cmd.Start(); err != nil {
		return p, fmt.Errorf("%s: %w", command, err)
	}
	if o.dies != 0 {
		time.AfterFunc(o.dies, func() { _ = p.cmd.Process.Kill() })
	}
	go func() {
		_ = p.cmd.Wait() // its state says it
		p.took = time.Since(p.began)
		close(p.ended)
	}()
	return p, nil
}

// What a run may take that was given no -timeout, or a short one: undoing isn't bounded by that,
// and takes a moment where many go on.
const (
	timeout = 10 * time.Second
	slack   = 2 * time.Second
)

// finish waits for a process, and looks at what it said.
func (s *session) finish(p *started) (outcome, error) {
	limit := timeout
	if p.hurried != 0 {
		limit = p.hurried
	}
	limit += slack
	select {
	case <-p.ended:
	case <-time.After(time.Until(p.began.Add(limit))):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return outcome{}, fmt.Errorf("%w: %s: it didn't end within %s", errBroken, strings.TrimSpace(s.log[p.line]), limit)
	}
	o := outcome{operation: p.operation, code: p.cmd.ProcessState.ExitCode()}
	said := strings.TrimSpace(p.output.String())
	s.log[p.line] += fmt.Sprintf("  # exit %d in %s: %s", o.code, p.took.Round(time.Millisecond), strings.ReplaceAll(said, "\n", "\n      # "))
	if !o.ofNetsetgo() {
		s.count.byHand++
		return o, nil
	}
	s.count.runs++
	wrong := ""
	switch {
	case o.code == killed && o.dies != 0:
		s.count.killed++
	case o.code == 0:
		if said != "" {
			wrong = "it succeeds, and says something"
		}
	case o.code == 1:
		s.count.refused++
		if !testbed.IsError(p.output.String()) {
			wrong = "not an error of one line"
		}
	case o.code != 3 || o.what != check:
		wrong = "no such exit status"
	}
	if wrong != "" {
		return o, fmt.Errorf("%w: %s: %s", errBroken, wrong, strings.TrimSpace(s.log[p.line]))
	}
	return o, nil
}

// empty takes all down, and looks whether the host is what it was.
func (s *session) empty(ends bool) error {
	var first, byID []operation
	for c, container := range s.containers {
		if container != nil && ends {
			first = append(first, operation{what: end, container: c})
		} else if container != nil {
			first = append(first, operation{what: down, container: c})
		}
		byID = append(byID, operation{what: down, container: c, byID: true})
	}
	steps := [][]operation{first, byID}
	if !ends {
		var last []operation
		for _, o := range first {
			last = append(last, operation{what: end, container: o.container})
		}
		steps = append(steps, last)
	}
	for _, step := range steps {
		if err := s.step(step); err != nil {
			return err
		}
	}
	var left []string
	_, err := testbed.Eventually(func() (bool, error) {
		var err error
		left, err = s.left()
		return len(left) == 0, errors.Join(err, s.putBack(left))
	})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%w: left:\n    %s", errBroken, strings.Join(left, "\n    "))
	}
	s.flushed, s.deleted, s.worlds = false, false, map[world]bool{{}: true}
	return err
}

// uplink are the sysctls that netsetgo changes of links which aren't its own.
var uplink = regexp.MustCompile(`^sysctl (net/ipv[46]/conf/(?:up0|all)/(?:forwarding|force_forwarding|accept_ra)): (\S+) -> `)

// putBack does for netsetgo what it can't. What an uplink was, the bridge remembers that opened
// it, and the rules have an element for it: where both were deleted by hand, it is forfeited.
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

// left is what netsetgo left on the host where nobody is connected.
func (s *session) left() ([]string, error) {
	is, err := s.host.Reader.Read(s.host.Namespace)
	if err != nil {
		return nil, err
	}
	left := state.Differences(s.base, is)
	numbers, err := namespaceNumbers()
	if err != nil {
		return nil, err
	}
	if numbers != 0 {
		left = append(left, fmt.Sprintf("namespaces with a number: %d", numbers))
	}
	switch free, err := testbed.Unlocked(); {
	case err != nil:
		return nil, err
	case !free:
		left = append(left, "the lock is held")
	}
	processes, err := testbed.Children()
	for _, pid := range processes {
		left = append(left, "process "+pid)
	}
	return left, err
}

// close ends all containers.
func (s *session) close() {
	for _, container := range s.containers {
		if container != nil {
			container.End()
		}
	}
	_ = s.host.Namespace.Close()
}
