package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// try lets a call meet a fault, and returns in what the promises weren't kept; nil
// where they were.
func (s *session) try(aim aim) (broken []string, err error) {
	if !s.prepared {
		if err := s.prepare(); err != nil {
			return nil, err
		}
	}
	s.prepared = false
	o, err := s.supervise(aim)
	if err != nil {
		return nil, err
	}
	if broken, err = s.leftovers(); err != nil || broken != nil {
		return broken, err
	}
	if broken, err = s.judge(o, aim); err != nil || broken != nil || o.met > 0 {
		return broken, err
	}
	return nil, fmt.Errorf("%w: %d calls", errNotMet, len(o.calls))
}

// judge compares what a run left with what it promises, and makes all as it was before.
func (s *session) judge(o outcome, aim aim) (broken []string, err error) {
	f := aim.fault
	switch {
	case f.kind == endKind && o.met > 0:
		return s.desert()
	case f.kind == killKind && o.met > 0:
		broken, err = s.again()
	case o.code == 0 && s.wentOn(o, aim) != "":
		return []string{"the time given by -timeout was over, and it went on to " + s.wentOn(o, aim)}, nil
	case o.code == 0:
		broken, err = s.named(s.isLike(s.right))("it exited 0, and the result isn't as without a fault")
	case o.code != 1:
		return []string{fmt.Sprintf("exit %d: %s", o.code, o.stderr)}, nil
	case f.kind == errorKind && f.errno == unix.EINTR && o.met > 0:
		return []string{"it isn't made again: " + strings.TrimSpace(o.stderr)}, nil
	case !testbed.IsError(o.stderr):
		return []string{fmt.Sprintf("not a message of one line: %q", o.stderr)}, nil
	default:
		broken, err = s.named(s.isLike(s.ready))("it failed (" + strings.TrimSpace(o.stderr) + ") and left something")
		s.prepared = broken == nil
		return broken, err
	}
	if err != nil || broken != nil {
		return broken, err
	}
	if err := s.restore(); err != nil {
		return []string{"it can't be taken down: " + err.Error()}, nil
	}
	return s.named(s.isLike(s.base))("after down, something is left")
}

// wentOn is the first change that a run made when its time was over, but for a down that can't
// go back any more: it goes on to its end. The time begins when a run knows how much that is: a
// hook looks before whether its input is a terminal.
func (s *session) wentOn(o outcome, aim aim) string {
	if aim.fault.kind != delayKind || o.met == 0 || aim.call.detail == ofTerminal || slices.ContainsFunc(o.calls[:o.met], s.isFinal) {
		return ""
	}
	for _, c := range o.calls[o.met:] {
		if c.changes() {
			return c.String()
		}
	}
	return ""
}

// named puts a heading above what differs.
func (s *session) named(left []string, err error) func(heading string) ([]string, error) {
	return func(heading string) ([]string, error) {
		if err != nil || len(left) == 0 {
			return nil, err
		}
		return append([]string{heading}, left...), nil
	}
}

// mayEnd says whether the container may end after a kill. Who shares a bridge with others
// leaves something there on purpose: who may send from an address, for who has it next.
func (s *session) mayEnd() bool { return !s.before.is() && s.other == "" }

// desert ends the container, with which all has to go that is its own; the bridge goes with
// the next down of any container.
func (s *session) desert() (broken []string, err error) {
	s.container.End()
	if s.container, err = testbed.NewContainer("sleep", "900"); err != nil {
		return nil, err
	}
	gone, err := testbed.Eventually(func() (bool, error) {
		links, err := testbed.Links()
		return !slices.ContainsFunc(links, func(link netlink.Link) bool { return strings.HasPrefix(link.Attrs().Name, "veth") }), err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for links of the host: %w", err)
	}
	if !gone {
		return []string{"its host link outlives the container"}, nil
	}
	if err := s.whole(invocation{arguments: "down -id another"}, s.container); err != nil {
		return []string{"down of another fails: " + err.Error()}, nil
	}
	return s.named(s.isLike(s.base))("after the container's end and a down, something is left")
}

// again makes the same run again, which has to end as it does without a fault.
func (s *session) again() ([]string, error) {
	if err := s.whole(s.run, s.container); err != nil {
		return []string{"the same run again fails: " + err.Error()}, nil
	}
	return s.named(s.isLike(s.right, s.later))("the same run again ends otherwise than without a fault")
}

// leftovers are processes, and the lock, that outlive the run.
func (s *session) leftovers() (broken []string, err error) {
	free, err := testbed.Unlocked()
	if err != nil {
		return nil, fmt.Errorf("looking at the lock: %w", err)
	}
	if !free {
		broken = append(broken, "the lock is held")
	}
	pids, err := testbed.Children()
	if err != nil {
		return nil, fmt.Errorf("looking for processes: %w", err)
	}
	for _, pid := range pids {
		if !slices.ContainsFunc(append(s.others, s.container), func(c *testbed.Container) bool { return c.PID() == pid }) {
			broken = append(broken, "process "+pid+" is left")
		}
	}
	return broken, nil
}

var errNotMet = errors.New("the call wasn't made")
