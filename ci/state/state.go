// Package state reads all that netsetgo could change of a network namespace as facts, so
// that what was there before can be compared with what is there after: links with all
// their attributes, addresses, routes, rules, forwarding entries, nftables with its
// elements, and every sysctl of net. It never changes anything, and leaves out what changes
// by itself: neighbours, counters, timers, and the numbers that the kernel gives out.
package state

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/thread"
)

// State is a namespace's facts: what is told of, such as "link brg0 mtu", and what of it.
type State map[string]string

// Reader reads states. It remembers texts of nftables, which cost most, for as long as the
// kernel says that nothing changed there.
type Reader struct {
	rulesets map[uint64]ruleset // by the namespace's inode
}

// Read returns the state of a namespace. It is read by a thread of its own, which ends in
// that namespace.
func (r *Reader) Read(namespace *os.File) (State, error) {
	var inode unix.Stat_t
	if err := unix.Fstat(int(namespace.Fd()), &inode); err != nil {
		return nil, fmt.Errorf("looking at a namespace: %w", err)
	}
	if r.rulesets == nil {
		r.rulesets = map[uint64]ruleset{}
	}
	var state State
	err := thread.In(namespace, func() (err error) {
		known := r.rulesets[inode.Ino]
		state, err = read(&known)
		r.rulesets[inode.Ino] = known
		return err
	})
	return state, err
}

// Settled says whether the kernel has done what it does a moment after links changed: to look
// at the carrier of those that are up (net/core/link_watch.c), and whether an address of
// IPv6 is another's already.
func (s State) Settled() bool {
	for fact, value := range s {
		if s.tentative(fact) {
			return false
		}
		link, ok := strings.CutSuffix(fact, " flags")
		if kind := s[link+" info kind"]; !ok || !strings.HasPrefix(link, "link ") || kind != "bridge" && kind != "veth" {
			continue
		}
		flags, err := strconv.ParseUint(value, 0, 32)
		if err == nil && flags&unix.IFF_UP != 0 && !s.seen(link) {
			return false
		}
	}
	return true
}

// flagsOfAddress is what a fact about an address tells of its link and its flags.
var flagsOfAddress = regexp.MustCompile(`^address dev (\S+) .*flags (\d+)`)

// tentative says whether a fact is an address of which the kernel asks yet. It doesn't as long
// as the link doesn't carry.
func (s State) tentative(fact string) bool {
	found := flagsOfAddress.FindStringSubmatch(fact)
	if found == nil || s["link "+found[1]+" carrier"] != "1" {
		return false
	}
	flags, err := strconv.Atoi(found[2])
	return err == nil && flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == unix.IFA_F_TENTATIVE
}

// seen says whether the carrier of a link has been looked at since it changed.
func (s State) seen(link string) bool {
	const unknown, up = "0", "6" // IF_OPER_*, linux/if.h
	carries, state := s[link+" carrier"] == "1", s[link+" operstate"]
	if state != unknown {
		return carries == (state == up)
	}
	// On Linux 5.10 that of a bridge which never had a port stays unknown.
	return carries && s[link+" info kind"] == "bridge" && !s.hasPort(strings.TrimPrefix(link, "link "))
}

func (s State) hasPort(bridge string) bool {
	for fact, value := range s {
		if value == bridge && strings.HasPrefix(fact, "link ") && strings.HasSuffix(fact, " master") {
			return true
		}
	}
	return false
}

// read reads the state of the thread's namespace.
func read(known *ruleset) (State, error) {
	state := State{}
	for _, part := range []func(State) error{readLinks, readRest, known.read, readSysctls} {
		if err := part(state); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// Differences are the facts in which two states differ, one a line: -FACT of the first
// alone, +FACT of the second alone, or FACT: VALUE -> VALUE. Of a link that only one has,
// the attributes and sysctls aren't told one by one.
func Differences(before, after State) []string {
	var lines []string
	gone, made := before.without(after), after.without(before)
	for _, link := range gone {
		lines = append(lines, "-link "+link)
	}
	for _, link := range made {
		lines = append(lines, "+link "+link)
	}
	for fact, was := range before {
		is, ok := after[fact]
		switch {
		case ok && is != was:
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", fact, was, is))
		case !ok && !isOf(fact, gone):
			lines = append(lines, "-"+line(fact, was))
		}
	}
	for fact, is := range after {
		if _, ok := before[fact]; !ok && !isOf(fact, made) {
			lines = append(lines, "+"+line(fact, is))
		}
	}
	slices.Sort(lines)
	return lines
}

// without are the links that another state hasn't.
func (s State) without(other State) []string {
	var links []string
	for fact := range s {
		link, ok := strings.CutSuffix(fact, " name")
		if link, is := strings.CutPrefix(link, "link "); ok && is && !has(other, fact) {
			links = append(links, link)
		}
	}
	return links
}

func isOf(fact string, links []string) bool {
	return slices.ContainsFunc(links, func(link string) bool {
		return strings.HasPrefix(fact, "link "+link+" ") || strings.HasPrefix(fact, "bridge link "+link+" ") ||
			strings.HasPrefix(fact, "sysctl ") && strings.Contains(fact, "/"+link+"/")
	})
}

func line(fact, value string) string {
	if value == "" {
		return fact
	}
	return fact + " = " + value
}

// String has all facts in order, for who wants to see them.
func (s State) String() string {
	var text strings.Builder
	for _, fact := range slices.Sorted(maps.Keys(s)) {
		text.WriteString(line(fact, s[fact]) + "\n")
	}
	return text.String()
}
