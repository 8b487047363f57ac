package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Names of the kernel's that golang.org/x/sys doesn't have.
const (
	diagByFamily      = 20 // SOCK_DIAG_BY_FAMILY, linux/sock_diag.h
	diagOnly6         = 11 // INET_DIAG_SKV6ONLY, linux/inet_diag.h
	sizeofDiag        = 72 // of struct inet_diag_msg
	sizeofDiagRequest = 56 // of struct inet_diag_req_v2
	// The states of sockets that listen, and of those of UDP that take from everybody
	// (TCP_LISTEN and TCP_CLOSE, net/tcp_states.h; SCTP has the same number for the first).
	stateClose  = 7
	stateListen = 10
)

// diagProtocols are those of sockets that listen, by the names of -publish.
var diagProtocols = map[string]struct{ number, state uint8 }{
	"tcp": {unix.IPPROTO_TCP, stateListen}, "udp": {unix.IPPROTO_UDP, stateClose}, "sctp": {unix.IPPROTO_SCTP, stateListen},
}

// Listeners implements configurer.Reader, by sock_diag(7).
func (c *conn) Listeners(protocol string) ([]configurer.Listener, error) {
	diag, err := openSocket(unix.NETLINK_SOCK_DIAG)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil // a kernel without it doesn't tell
	}
	if err != nil {
		return nil, err
	}
	var listeners []configurer.Listener
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		some, err := diag.listeners(family, protocol)
		if err != nil {
			return nil, errors.Join(err, diag.close())
		}
		listeners = append(listeners, some...)
	}
	return listeners, diag.close()
}

func (s *socket) listeners(family uint8, protocol string) ([]configurer.Listener, error) {
	asked := diagProtocols[protocol]
	body := make([]byte, sizeofDiagRequest)
	body[0], body[1] = family, asked.number
	binary.NativeEndian.PutUint32(body[4:], 1<<asked.state)
	request := nl.NewNetlinkRequest(diagByFamily, unix.NLM_F_DUMP)
	request.AddRawData(body)
	messages, err := s.ask(request)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // nobody listens by a protocol that the kernel hasn't got
	}
	if err != nil {
		return nil, err
	}
	var listeners []configurer.Listener
	for _, message := range messages {
		if len(message) < sizeofDiag {
			return nil, errShort
		}
		length := 4
		if family == unix.AF_INET6 {
			length = 16
		}
		addr, _ := netip.AddrFromSlice(message[8 : 8+length])
		only6 := find(message[sizeofDiag:], diagOnly6)
		listeners = append(listeners, configurer.Listener{
			Address: netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(message[4:])),
			Only6:   len(only6) == 1 && only6[0] != 0,
			Inode:   uint64(binary.NativeEndian.Uint32(message[68:])),
		})
	}
	return listeners, nil
}

// Program implements configurer.Reader: whose descriptor the socket is stands in /proc alone.
func (c *conn) Program(listener configurer.Listener) string {
	wanted := fmt.Sprintf("socket:[%d]", listener.Inode)
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, descriptor := range descriptors {
		if is, err := os.Readlink(descriptor); err != nil || is != wanted {
			continue
		}
		process := filepath.Dir(filepath.Dir(descriptor))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			continue
		}
		return fmt.Sprintf("program %s, pid %s,", strconv.Quote(strings.TrimSpace(string(name))), filepath.Base(process))
	}
	return ""
}
