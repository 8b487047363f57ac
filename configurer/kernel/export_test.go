package kernel

import (
	"github.com/netsetgo/netsetgo/configurer"
	"golang.org/x/sys/unix"
)

// EncodeFirewall is for golden specs.
var EncodeFirewall = encodeFirewall

// ForgetEach is how flows are forgotten on a kernel that takes no filter.
func ForgetEach(connection configurer.Conn, change configurer.ForgetFlows) error {
	filter, err := connection.(*conn).filter()
	if err != nil {
		return err
	}
	family := uint8(unix.AF_INET)
	if change.IPv6 {
		family = unix.AF_INET6
	}
	return filter.forgetEach(family, map[int]bool{change.Port: true})
}
