package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a fault is: as -kind has it.
const (
	errorKind   = iota // the call isn't made and returns an errno
	refusalKind        // the kernel takes a request and answers it with an errno
	killKind           // the process is killed as it makes the call
	endKind            // the same, and then the container ends
	delayKind          // the call is made when -timeout is over
)

// kindNames are the kinds for people.
var kindNames = [...]string{errorKind: "error", refusalKind: "refusal", killKind: "kill", endKind: "end", delayKind: "delay"}

// fault is what is put into one call.
type fault struct {
	kind  int
	errno unix.Errno
	delay time.Duration
	// part is the number of the one request of a datagram that is refused, while the others are
	// granted; 0 is all of them.
	part int
}

func (f fault) String() string {
	switch f.kind {
	case errorKind:
		return unix.ErrnoName(f.errno)
	case refusalKind:
		what := "refused"
		if f.part > 0 {
			what = fmt.Sprintf("request %d refused", f.part)
		}
		return what + " with " + unix.ErrnoName(f.errno)
	case killKind:
		return "killed"
	case endKind:
		return "killed, and the container ended"
	}
	return fmt.Sprintf("%s late", f.delay)
}

// errnos are what each call can return of EINTR, ENOBUFS, ENOMEM, EPERM and EBUSY, or of
// the like where it knows none of these. EPERM is what security modules and filters of
// system calls give anywhere; the other reasons stand beside.
var errnos = map[string][]unix.Errno{
	"socket":            {unix.ENOBUFS, unix.ENOMEM, unix.EPERM},             // no memory: socket(2) knows both
	"bind":              {unix.ENOMEM, unix.EPERM},                           // netlink_bind allocates groups
	"setsockopt":        {unix.ENOMEM, unix.EPERM},                           //
	"sendto":            {unix.EINTR, unix.ENOBUFS, unix.ENOMEM, unix.EPERM}, // it waits for room in the buffer; netlink_sendmsg: no room for the datagram
	"sendmsg":           {unix.EINTR, unix.ENOBUFS, unix.ENOMEM, unix.EPERM}, // the same
	"recvfrom":          {unix.EINTR, unix.ENOBUFS, unix.ENOMEM, unix.EPERM}, // as recvmsg
	"recvmsg":           {unix.EINTR, unix.ENOBUFS, unix.ENOMEM, unix.EPERM}, // answers were lost (netlink_overrun); a dump that has no memory to go on
	"setns":             {unix.ENOMEM, unix.EPERM},                           // a new nsproxy; a capability is missing
	"pidfd_open":        {unix.ENOMEM, unix.EPERM},                           // pidfd_prepare allocates a file
	"pidfd_send_signal": {unix.ENOMEM},                                       // EPERM isn't an error there
	"ioctl":             {unix.ENOMEM, unix.EPERM},                           // a descriptor of a namespace is a new file
	"openat":            {unix.EINTR, unix.ENOMEM, unix.EPERM},               // open(2): slow file systems, /run may be one
	"read":              {unix.EINTR, unix.ENOMEM, unix.EPERM},               // proc_sys_call_handler has a buffer, and hooks of BPF
	"write":             {unix.EINTR, unix.ENOMEM, unix.EPERM, unix.EBUSY},   // the same, and what the handler of the sysctl returns
	"flock":             {unix.EINTR, unix.ENOLCK, unix.ENOMEM, unix.EPERM},  // flock(2)
	"fstat":             {unix.ENOMEM, unix.EPERM},                           //
	"capget":            {unix.EPERM},                                        //
}

// refusals are what the kernel answers to requests of netlink: a device or a set that is in
// use, no memory, a capability that is missing, no room.
var refusals = []unix.Errno{unix.EBUSY, unix.ENOMEM, unix.EPERM, unix.ENOBUFS}

// errorsOf are all errors that a call may meet.
func errorsOf(c call) []fault {
	var faults []fault
	for _, errno := range errnos[c.name] {
		faults = append(faults, fault{kind: errorKind, errno: errno})
	}
	if c.name == "sendto" {
		for _, errno := range refusals {
			faults = append(faults, fault{kind: refusalKind, errno: errno})
		}
		for part := range c.parts {
			faults = append(faults, fault{kind: refusalKind, errno: refusals[part%len(refusals)], part: part + 1})
		}
	}
	return faults
}

// choose returns the faults that the ith of a session's calls meets: all that it may meet,
// or a sample, which is one of the errors, by turns; a kill where the call before may have
// changed something, since between others it leaves the same; and every fourth time a kill
// and being late anyway.
func choose(o options, s *session, i int) []fault {
	ends := []fault{{kind: killKind}}
	if s.mayEnd() {
		ends = append(ends, fault{kind: endKind})
	}
	faults, delay := errorsOf(s.calls[i]), fault{kind: delayKind}
	turn := 0
	for _, c := range s.calls[:i] {
		if c.name == s.calls[i].name {
			turn++
		}
	}
	switch nth := i / o.every; {
	case !o.sample:
		faults = append(append(faults, ends...), delay)
	case nth%4 == 0:
		faults = []fault{faults[turn%len(faults)], ends[nth/4%len(ends)], delay}
	case i > 0 && (s.calls[i-1].changes() || s.calls[i-1].name == "flock"):
		faults = []fault{faults[turn%len(faults)], ends[i/2%len(ends)]}
	default:
		faults = []fault{faults[turn%len(faults)]}
	}
	return slices.DeleteFunc(faults, func(f fault) bool { return o.kind != "" && o.kind != kindNames[f.kind] })
}

// changes says whether a call may change something on the host or in the container.
func (c call) changes() bool {
	return c.name == "write" || c.name == "sendto" && !strings.Contains(c.detail, "_GET")
}
