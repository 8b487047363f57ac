package testnet

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/thread"
)

// In calls a function in the network namespace of the process: sockets that it opens
// stay there.
func (p *Process) In(do func() error) error {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.Pid))
	if err != nil {
		return err
	}
	defer namespace.Close() //nolint:errcheck // it was read only
	return thread.In(namespace, do)
}

// Tap sees every packet that comes in where a process is.
type Tap struct {
	file *os.File
	seen []Packet
}

// Tap begins to look at all that comes in by an interface; by any where it is "".
func (p *Process) Tap(device string) *Tap {
	GinkgoHelper()
	file, err := p.packetSocket(device, unix.ETH_P_ALL)
	Expect(err).NotTo(HaveOccurred())
	tap := &Tap{file: file}
	DeferCleanup(tap.Close)
	return tap
}

// Close ends looking: a namespace stays for as long as anybody looks at what comes there.
func (t *Tap) Close() { _ = t.file.Close() }

// Seen are the packets so far that something holds for.
func (t *Tap) Seen(what func(Packet) bool) []Packet {
	GinkgoHelper()
	raw, err := t.file.SyscallConn()
	Expect(err).NotTo(HaveOccurred())
	Expect(raw.Read(func(fd uintptr) bool {
		buffer := make([]byte, 1<<16)
		for {
			n, _, err := unix.Recvfrom(int(fd), buffer, 0)
			if err != nil {
				return true // nothing more has come
			}
			t.seen = append(t.seen, ReadPacket(append([]byte{}, buffer[:n]...)))
		}
	})).To(Succeed())
	var found []Packet
	for _, packet := range t.seen {
		if what(packet) {
			found = append(found, packet)
		}
	}
	return found
}

// Wire is where a process sends frames as it likes.
type Wire struct{ file *os.File }

// Wire opens an interface for frames with whatever is in them.
func (p *Process) Wire(device string) Wire {
	GinkgoHelper()
	file, err := p.packetSocket(device, 0)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(file.Close)
	return Wire{file}
}

// Send sends a frame. A link may refuse one, such as one that is too short for it: then it
// came to nobody.
func (w Wire) Send(frame []byte) {
	if _, err := w.file.Write(frame); err != nil {
		fmt.Fprintf(GinkgoWriter, "sending %x: %v\n", frame, err)
	}
}

func (p *Process) packetSocket(device string, protocol uint16) (file *os.File, err error) {
	err = p.In(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		file = os.NewFile(uintptr(fd), "packets")
		address := &unix.SockaddrLinklayer{Protocol: bigEndian(protocol)}
		if device != "" {
			link, err := net.InterfaceByName(device)
			if err != nil {
				return err
			}
			address.Ifindex = link.Index
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
			return err
		}
		return unix.Bind(fd, address)
	})
	return file, err
}

// bigEndian is a number in the order of bytes that packets have.
func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
