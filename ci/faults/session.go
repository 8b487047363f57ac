package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/netsetgo/netsetgo/ci/state"
	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// session tries the faults of one scenario, on one host with one container.
type session struct {
	scenario
	binary string

	host      *testbed.Host
	container *testbed.Container
	others    []*testbed.Container

	// What both namespaces are like before all, before the run, and after it.
	base, ready, right both
	// later is what they are like after it on a bridge whose notes already lead to the next
	// address: what a run may come to that follows a killed one.
	later both
	// prepared says that the state is ready already, as a run left it that failed.
	prepared bool
	// alias is what the bridge notes before all, where another container is on it.
	alias string
	// calls are those of the run when it meets no fault, and took is how long it takes.
	calls []call
	took  time.Duration
}

// both is the host's state and the container's.
type both struct{ host, container state.State }

func (b both) differences(other both) []string {
	var lines []string
	for _, line := range state.Differences(b.host, other.host) {
		lines = append(lines, "host: "+line)
	}
	for _, line := range state.Differences(b.container, other.container) {
		lines = append(lines, "container: "+line)
	}
	return lines
}

// shortest begins several times, and keeps the calls of the shortest run: one that had to wait
// for the kernel asks it again, which those with a fault needn't.
func (s *session) shortest() error {
	for range 3 {
		calls := s.calls
		s.calls = nil
		if err := s.begin(); err != nil {
			return err
		}
		if calls != nil && len(calls) < len(s.calls) {
			s.calls = calls
		}
	}
	return nil
}

// begin makes host and container, and lets the scenario go by once without and once with a
// supervisor, but with no fault.
func (s *session) begin() error {
	s.end()
	s.prepared = false
	var err error
	if s.host, err = testbed.NewHost(); err != nil {
		return err
	}
	if s.container, err = testbed.NewContainer("sleep", "900"); err != nil {
		return err
	}
	if s.other != "" {
		other, err := testbed.NewContainer("sleep", "900")
		if err != nil {
			return err
		}
		s.others = append(s.others, other)
		if err := s.whole(invocation{arguments: s.other}, other); err != nil {
			return err
		}
		links, err := testbed.Links()
		if err != nil {
			return fmt.Errorf("looking for the bridge: %w", err)
		}
		for _, link := range links {
			if link.Attrs().Name == bridgeName {
				s.alias = link.Attrs().Alias
			}
		}
	}
	// The first run may load modules of the kernel's, which add sysctls.
	if err := s.pass(); err != nil {
		return err
	}
	if s.base, err = s.read(); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	if s.ready, err = s.read(); err != nil {
		return err
	}
	began := time.Now()
	o, err := s.supervise(aim{})
	s.took = time.Since(began)
	if err == nil && o.code != 0 {
		err = fmt.Errorf("without a fault: exit %d: %s", o.code, o.stderr)
	}
	if err != nil {
		return err
	}
	if s.calls == nil { // later ones are to meet what the first made
		s.calls = o.calls
	}
	if s.right, err = s.read(); err != nil {
		return err
	}
	if !s.before.is() {
		if err := s.forget(); err != nil {
			return err
		}
		if err := s.whole(s.run, s.container); err != nil {
			return err
		}
		if s.later, err = s.read(); err != nil {
			return err
		}
	}
	if err := s.restore(); err != nil {
		return err
	}
	if left, err := s.isLike(s.base); err != nil || left != nil {
		return cmp.Or(err, fmt.Errorf("without a fault, this is left: %s", strings.Join(left, "; ")))
	}
	return nil
}

// elements of the rules that are a container's alone.
var elements = regexp.MustCompile(`^nft table (\S+) netsetgo (?:set|map) ((?:senders|targets|ports|published)[46]|locked|macs): element (.*)$`)

// forget takes away what the container has of the bridge, which stays.
func (s *session) forget() error {
	for fact := range s.right.host {
		if _, was := s.ready.host[fact]; was {
			continue
		}
		if part := elements.FindStringSubmatch(fact); part != nil {
			out, err := exec.Command("nft", "delete", "element", part[1], "netsetgo", part[2], "{", part[3], "}").CombinedOutput()
			if err != nil {
				return fmt.Errorf("deleting %s: %w: %s", fact, err, out)
			}
		}
	}
	return disconnect(s.container)
}

// pass lets the scenario go by, whole.
func (s *session) pass() error {
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.whole(s.run, s.container); err != nil {
		return err
	}
	return s.restore()
}

// prepare does what comes before the run.
func (s *session) prepare() error {
	if !s.before.is() {
		return nil
	}
	if err := s.whole(s.before, s.container); err != nil {
		return err
	}
	if !s.gone {
		return nil
	}
	s.container.End()
	// The bridge sees a moment later that no port is left.
	gone, err := testbed.Eventually(func() (bool, error) {
		bridge, err := netlink.LinkByName(bridgeName)
		return err == nil && bridge.Attrs().OperState == netlink.OperDown, err
	})
	if err == nil && !gone {
		err = fmt.Errorf("%s has a port still", bridgeName)
	}
	return err
}

// restore makes the host and the container what they were before all.
func (s *session) restore() error {
	if s.gone {
		var err error
		s.container, err = testbed.NewContainer("sleep", "900")
		return err
	}
	if err := s.whole(invocation{arguments: down + s.ofInterface()}, s.container); err != nil {
		return err
	}
	if s.alias != "" {
		// Where the next run starts to look is remembered as long as the bridge is there.
		bridge, err := netlink.LinkByName(bridgeName)
		if err == nil {
			err = netlink.LinkSetAlias(bridge, s.alias)
		}
		if err != nil {
			return fmt.Errorf("taking the bridge's notes back: %w", err)
		}
	}
	return calm(s.container)
}

// whole runs netsetgo without a supervisor, which has to succeed.
func (s *session) whole(i invocation, c *testbed.Container) error {
	command, stdin := i.command(s.binary, c.PID())
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func (s *session) supervise(aim aim) (outcome, error) {
	i := s.run
	if aim.fault.kind == delayKind {
		i.arguments += fmt.Sprintf(" -timeout %s", s.timeout())
	}
	command, stdin := i.command(s.binary, s.container.PID())
	return supervise(command, stdin, aim)
}

// timeout is long enough for a run that nothing delays.
func (s *session) timeout() time.Duration {
	return max(3*s.took, 50*time.Millisecond).Round(time.Millisecond)
}

// late is what makes a run exceed it.
func (s *session) late() time.Duration { return s.timeout() + 10*time.Millisecond }

var hashed = regexp.MustCompile(`( altname netsetgo:n:)[0-9a-f]{4}:`)

var numbered = regexp.MustCompile(`^(nft table bridge netsetgo set (?:locked|macs): element )\d+`)

func (s *session) read() (both, error) {
	var b both
	var err error
	if b.host, err = s.host.Reader.Read(s.host.Namespace); err != nil {
		return b, err
	}
	if s.gone {
		// By its number alone an element tells of a host link that is gone; each has another.
		for fact, value := range b.host {
			if general := numbered.ReplaceAllString(fact, "${1}the host link's"); general != fact {
				delete(b.host, fact)
				b.host[general] = value
			}
		}
		return b, nil
	}
	if b.container, err = s.host.Reader.Read(s.container.Namespace); err != nil {
		return b, err
	}
	// By its number a name tells whose it is, and a container that follows has another, with
	// another hash.
	var namespace unix.Stat_t
	if err := unix.Fstat(int(s.container.Namespace.Fd()), &namespace); err != nil {
		return b, err
	}
	for fact, value := range b.host {
		if general, ok := strings.CutSuffix(fact, fmt.Sprintf(":%d", namespace.Ino)); ok {
			delete(b.host, fact)
			b.host[hashed.ReplaceAllString(general, "$1")+":the container's"] = value
		}
	}
	return b, nil
}

// isLike returns in what the state differs from the one wanted that is nearest, once it
// differs no less.
func (s *session) isLike(wanted ...both) (left []string, err error) {
	_, err = testbed.Eventually(func() (bool, error) {
		is, err := s.read()
		for i, one := range wanted {
			if differences := one.differences(is); i == 0 || len(differences) < len(left) {
				left = differences
			}
		}
		return len(left) == 0, err
	})
	return left, err
}

// end lets go of all; the host ends with the thread, or with the next.
func (s *session) end() {
	for _, c := range append(s.others, s.container) {
		if c != nil {
			c.End()
		}
	}
	if s.host != nil {
		_ = s.host.Namespace.Close()
	}
	s.others, s.container, s.host = nil, nil, nil
}
