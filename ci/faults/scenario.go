package main

import (
	"fmt"
	"strings"
)

// scenario is a run that meets faults, and what is around it. In arguments and states PID is
// the container's.
type scenario struct {
	name string
	// other connects another container first, for good, with these arguments.
	other string
	// before connects the container, where the run needs that; gone ends it afterwards.
	before invocation
	gone   bool
	// run is the one that meets faults.
	run invocation
	// covered says that others make such calls as well: a sample leaves it out.
	covered bool
}

// invocation is netsetgo with arguments, and what it reads.
type invocation struct {
	arguments string
	state     string
}

func (i invocation) is() bool { return i != invocation{} }

func (i invocation) command(binary, pid string) ([]string, string) {
	return append([]string{binary}, strings.Fields(strings.ReplaceAll(i.arguments, "PID", pid))...),
		strings.ReplaceAll(i.state, "PID", pid)
}

// bridgeName is netsetgo's own choice.
const bridgeName = "brg0"

const (
	plain = "-nat=false -pid PID"
	full  = "-bridgeAddress 10.10.10.1/24,fd10::1/64 -publish 8080:80/udp -pid PID"
	down  = "down -pid PID"

	sameBridge  = "-bridgeAddress 10.10.10.1/24,fd10::1/64 -publish 8081:80/udp -pid PID"
	otherBridge = "-bridgeName lab0 -bridgeAddress 10.20.0.1/24,fd20::1/64 -vethNamePrefix other -publish 8081:80/udp -pid PID"
)

// hook is a run of a runtime's.
func hook(status, pid string) invocation {
	return invocation{"-containerInterface eth0 -publish 8080:80", fmt.Sprintf(`{"ociVersion":"1.0.2","id":"faults","status":%q,"pid":%s,"bundle":"/"}`, status, pid)}
}

// ofInterface are the flags that name the container interface for a later run.
func (s scenario) ofInterface() string {
	if s.run.state != "" {
		return " -containerInterface eth0"
	}
	return ""
}

// isFinal says whether behind a call there is no way back: a down has deleted the pair or, where
// that is gone already, has the lock alone.
func (s scenario) isFinal(c call) bool {
	return s.gone && c.name == "flock" || s.run.arguments == down && c.name == "sendto" && strings.HasPrefix(c.detail, "RTM_DELLINK")
}

// scenarios begin with those that take long.
var scenarios = []scenario{
	{name: "up, NAT, IPv6 and a port", run: invocation{arguments: full}},
	{name: "up, beside another bridge", other: otherBridge, run: invocation{arguments: full}},
	{name: "hook: created", run: hook("created", "PID")},
	{name: "up -nat=false", run: invocation{arguments: plain}, covered: true},
	{name: "up -nat=false -netns", run: invocation{arguments: "-nat=false -netns /proc/PID/ns/net"}, covered: true},
	{name: "up, on a bridge that others use", other: sameBridge, run: invocation{arguments: "-pid PID"}},
	{name: "up again", before: invocation{arguments: full}, run: invocation{arguments: full}},
	{name: "down, NAT, IPv6 and a port", before: invocation{arguments: full}, run: invocation{arguments: down}},
	{name: "down, from a bridge that others use", other: sameBridge, before: invocation{arguments: full}, run: invocation{arguments: down}},
	{name: "down -nat=false", before: invocation{arguments: plain}, run: invocation{arguments: down}, covered: true},
	{name: "hook: stopped", before: hook("created", "PID"), gone: true, run: hook("stopped", "0")},
}
