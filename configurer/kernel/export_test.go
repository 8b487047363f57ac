package kernel

import (
	"github.com/netsetgo/netsetgo/configurer"
	"golang.org/x/sys/unix"
)

// EncodeFirewall is for golden specs.
var EncodeFirewall = encodeFirewall

// SetAstray is as if a thread couldn't come back from a container's namespace.
func SetAstray(is bool) { astray.Store(is) }

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

// Answered is a connection to what stands for the kernel: it is told each datagram that is
// sent, and returns those that come back.
func Answered(answer func(sent []byte) [][]byte) configurer.Conn {
	return &conn{socket{wire: &answered{answer: answer}}, &socket{wire: &answered{answer: answer}}}
}

type answered struct {
	answer  func(sent []byte) [][]byte
	waiting [][]byte
}

func (a *answered) send(datagram []byte) error {
	a.waiting = a.answer(datagram)
	return nil
}

func (a *answered) next() ([]byte, error) {
	if len(a.waiting) == 0 {
		return nil, unix.EAGAIN
	}
	datagram := a.waiting[0]
	a.waiting = a.waiting[1:]
	return datagram, nil
}

func (*answered) allow(int) error { return nil }
func (*answered) close() error    { return nil }

// ListenersBy are what Listeners returns of a family; that opens a socket of its own.
func ListenersBy(connection configurer.Conn, family uint8, protocol string) ([]configurer.Listener, error) {
	return connection.(*conn).listeners(family, protocol)
}
