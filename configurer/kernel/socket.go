package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// socket asks the kernel, and reads what it answers.
type socket struct {
	wire
	sent func(kind uint16) // nil where nobody counts
	out  []byte            // the datagram that was sent last: its memory is used again
}

// wire carries datagrams to the kernel and back.
type wire interface {
	send(datagram []byte) error
	// next returns a datagram of the kernel's, which is the caller's to keep.
	next() ([]byte, error)
	// allow makes room for a large datagram to be sent.
	allow(size int) error
	close() error
}

// netlinkSocket is a wire. It stays in the namespace in which it was opened,
// wherever the thread goes after.
type netlinkSocket struct {
	fd     int
	buffer []byte
	// room is where datagrams are kept, one behind the other: to make memory for each by
	// itself takes longer.
	room []byte
}

const (
	// receiveSize holds the largest datagram of a dump (32 KiB, af_netlink.c).
	receiveSize = 64 << 10
	// roomSize is enough for most runs.
	roomSize = 16 << 10
)

// openSocket opens a socket in the namespace of the calling thread.
func openSocket(protocol int, options ...int) (socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return socket{}, fmt.Errorf("opening a netlink socket: %w", err)
	}
	for _, option := range options {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1); err != nil {
			return socket{}, errors.Join(fmt.Errorf("setting option %d of a netlink socket: %w", option, err), unix.Close(fd))
		}
	}
	return socket{wire: &netlinkSocket{fd: fd, buffer: make([]byte, receiveSize)}}, nil
}

func (s *netlinkSocket) close() error {
	if err := unix.Close(s.fd); err != nil {
		return fmt.Errorf("closing a netlink socket: %w", err)
	}
	return nil
}

// answer is what came back for one request.
type answer struct {
	done     bool
	lost     bool // err is of the receiving
	err      error
	messages [][]byte // bodies, without their headers
}

// ask sends one request that changes nothing, and returns the bodies of the answer.
func (s *socket) ask(request *nl.NetlinkRequest) ([][]byte, error) {
	// A dump during which the kernel's tables changed may miss what was there all
	// the time; asking again is the remedy (NLM_F_DUMP_INTR, linux/netlink.h).
	const tries = 100
	for range tries {
		answers, err := s.exchange([]*nl.NetlinkRequest{request})
		if err != nil {
			return nil, err
		}
		if !errors.Is(answers[0].err, nl.ErrDumpInterrupted) {
			return answers[0].messages, answers[0].err
		}
	}
	return nil, fmt.Errorf("reading from the kernel %d times: %w", tries, nl.ErrDumpInterrupted)
}

// askOne asks for one thing, to which there is one answer.
func (s *socket) askOne(request *nl.NetlinkRequest) ([]byte, error) {
	messages, err := s.ask(request)
	if err == nil && len(messages) == 0 {
		err = errShort
	}
	if err != nil {
		return nil, err
	}
	return messages[0], nil
}

// exchange sends requests in one datagram and collects the answers. Its error is
// one of sending: then nothing was done.
func (s *socket) exchange(requests []*nl.NetlinkRequest) ([]answer, error) {
	if err := s.send(s.datagram(requests)); err != nil {
		return nil, err
	}
	answers := make([]answer, len(requests))
	for open := len(requests); open > 0; {
		messages, err := s.receive()
		if err != nil {
			for i := range answers {
				if !answers[i].done {
					answers[i].lost, answers[i].err = true, err
				}
			}
			s.skip()
			return answers, nil
		}
		for _, message := range messages {
			for i, request := range requests {
				if message.Header.Seq == request.Seq && !answers[i].done && answers[i].take(message, request) {
					open--
				}
			}
		}
	}
	return answers, nil
}

// skip reads what is left of an answer that was lost: before a dump is read to its end, the
// kernel begins no other on a socket (EBUSY; __netlink_dump_start, net/netlink/af_netlink.c).
func (s *socket) skip() {
	for {
		if _, err := s.next(); err != nil {
			return // there is none left
		}
	}
}

// datagram puts requests together. It is there until the next one.
func (s *socket) datagram(requests []*nl.NetlinkRequest) []byte {
	s.out = s.out[:0]
	for _, request := range requests {
		s.out = append(s.out, request.Serialize()...)
		if s.sent != nil {
			s.sent(request.Type)
		}
	}
	return s.out
}

// take adds a message to the answer and says whether it is the last.
func (a *answer) take(message syscall.NetlinkMessage, request *nl.NetlinkRequest) (last bool) {
	switch message.Header.Type {
	case unix.NLMSG_ERROR, unix.NLMSG_DONE:
		if err := errorOf(message); err != nil {
			a.err = err
		}
		a.done = true
	default:
		a.messages = append(a.messages, message.Data)
		// A question about one thing has one answer, and no acknowledgement.
		a.done = request.Flags&(unix.NLM_F_ACK|unix.NLM_F_DUMP) == 0
	}
	if message.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
		a.err = nl.ErrDumpInterrupted
	}
	return a.done
}

// receive takes the messages of the next datagram.
func (s *socket) receive() ([]syscall.NetlinkMessage, error) {
	datagram, err := s.next()
	if err != nil {
		return nil, fmt.Errorf("receiving from the kernel: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's answer: %w", err)
	}
	return messages, nil
}

func (s *netlinkSocket) send(datagram []byte) error {
	for {
		err := unix.Sendto(s.fd, datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				return fmt.Errorf("sending to the kernel: %w", err)
			}
			return nil
		}
	}
}

// next doesn't wait: the kernel answers within sendto, so that an answer is there or lost.
func (s *netlinkSocket) next() ([]byte, error) {
	for {
		n, _, flags, from, err := unix.Recvmsg(s.fd, s.buffer, nil, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if flags&unix.MSG_TRUNC != 0 {
			return nil, fmt.Errorf("a datagram is larger than %d bytes", len(s.buffer))
		}
		// Any process may send to a netlink socket; port 0 is the kernel.
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
			continue
		}
		if len(s.room) < n {
			s.room = make([]byte, max(roomSize, n))
		}
		datagram := s.room[:n:n]
		s.room = s.room[n:]
		copy(datagram, s.buffer)
		return datagram, nil
	}
}

// allow counts the kernel's own overhead, too.
func (s *netlinkSocket) allow(size int) error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*size); err != nil {
		return fmt.Errorf("making room for %d bytes in a netlink socket: %w", size, err)
	}
	return nil
}

// errorOf reads an acknowledgement, or the end of a dump: an errno and, behind
// it, the kernel's own words (NLMSGERR_ATTR_MSG, linux/netlink.h).
func errorOf(message syscall.NetlinkMessage) error {
	if len(message.Data) < 4 {
		return nil
	}
	code := int32(binary.NativeEndian.Uint32(message.Data))
	if code == 0 {
		return nil
	}
	failure := &Error{Errno: unix.Errno(-code)}
	if message.Header.Flags&unix.NLM_F_ACK_TLVS == 0 {
		return failure
	}
	rest := message.Data[4:]
	if message.Header.Type == unix.NLMSG_ERROR {
		// The header of the request stands between.
		if len(rest) < unix.SizeofNlMsghdr {
			return failure
		}
		rest = rest[unix.SizeofNlMsghdr:]
	}
	attrs, err := parseAttributes(rest)
	if err != nil {
		return failure
	}
	for kind, value := range attrs {
		if kind == nl.NLMSGERR_ATTR_MSG {
			failure.Text = unix.ByteSliceToString(value)
		}
	}
	return failure
}
