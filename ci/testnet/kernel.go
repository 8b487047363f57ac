package testnet

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Slow is how many times longer than usual things may take: many where the processor is an
// emulated one, as the environment says there.
var Slow = slow()

func slow() time.Duration {
	if times, err := strconv.Atoi(os.Getenv("NETSETGO_SLOW")); err == nil {
		return time.Duration(times)
	}
	return 1
}

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
