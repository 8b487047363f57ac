package testnet

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ForwardsByLink says whether the kernel can forward IPv6 for single links (6.17 on), and not
// for all or none only.
func ForwardsByLink() bool {
	_, err := os.Stat("/proc/sys/net/ipv6/conf/default/force_forwarding")
	return err == nil
}

// LocksPorts says whether the kernel can close a bridge's port to MACs that it doesn't know
// (5.18 on).
func LocksPorts() bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		panic(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		panic(err)
	}
	return major > 5 || major == 5 && minor >= 18
}
