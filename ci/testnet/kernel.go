package testnet

import (
	"fmt"
	"os"

	"github.com/netsetgo/netsetgo/ci/testbed"
	"golang.org/x/sys/unix"
)

// Slow is how many times longer than usual things may take.
var Slow = testbed.Slow

// ForwardsByLink says whether the kernel can forward IPv6 for single links (6.17 on), and not
// for all or none only.
func ForwardsByLink() bool {
	_, err := os.Stat("/proc/sys/net/ipv6/conf/default/force_forwarding")
	return err == nil
}

// LocksPorts says whether the kernel can close a bridge's port to MACs that it doesn't know
// (5.18 on).
func LocksPorts() bool { return since(5, 18) }

// TellsNamespaces says whether the kernel tells a process's network namespace by its pidfd
// (6.11 on).
func TellsNamespaces() bool { return since(6, 11) }

// SettlesLinks says whether to ask about a link settles its carrier (rtnl_getlink,
// net/core/rtnetlink.c; 6.8 on).
func SettlesLinks() bool { return since(6, 8) }

// since says whether the kernel is of a version or later.
func since(wantedMajor, wantedMinor int) bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		panic(err) // it fails for a bad address only
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		panic(err) // every Linux has two numbers
	}
	return major > wantedMajor || major == wantedMajor && minor >= wantedMinor
}
