package testnet

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Server answers all that comes to one port, and remembers from whom.
type Server struct {
	name  string
	close func()
	mutex sync.Mutex
	seen  map[uint16][]netip.Addr
}

// serve answers a probe where it is to arrive; icmp is the kernel's own to answer.
func (w *World) serve(p *probe) *Server {
	GinkgoHelper()
	if strings.HasPrefix(p.protocol, "icmp") {
		return &Server{}
	}
	addr := p.to
	if own := w.ownAddress(p); own.IsValid() {
		addr = own
	}
	return w.Serve(p.at, p.protocol, netip.AddrPortFrom(addr, p.atPort))
}

// ownAddress is that of a node which has one name only, whatever a packet went to before.
func (w *World) ownAddress(p *probe) netip.Addr {
	if p.at == "host" || p.at == "internet" {
		return netip.Addr{}
	}
	return ofFamily(p.at, p.to)
}

// Serve has a node answer on a port. What it asks twice for is the same.
func (w *World) Serve(at, network string, where netip.AddrPort) *Server {
	GinkgoHelper()
	network = network[:3] + map[bool]string{true: "4", false: "6"}[where.Addr().Is4()]
	key := strings.Join([]string{at, network, where.String()}, " ")
	if w.servers[key] != nil {
		return w.servers[key]
	}
	s := &Server{name: at, seen: map[uint16][]netip.Addr{}}
	var listen net.ListenConfig
	listen.SetMultipathTCP(false)
	Expect(w.Node(at).In(func() error {
		if strings.HasPrefix(network, "udp") {
			socket, err := listen.ListenPacket(context.Background(), network, where.String())
			if err != nil {
				return err
			}
			s.close = func() { _ = socket.Close() }
			go s.answerDatagrams(socket)
			return nil
		}
		socket, err := listen.Listen(context.Background(), network, where.String())
		if err != nil {
			return err
		}
		s.close = func() { _ = socket.Close() }
		go s.answerConnections(socket)
		return nil
	})).To(Succeed(), key)
	DeferCleanup(func() { s.close() })
	w.servers[key] = s
	return s
}

func (s *Server) note(from net.Addr) {
	addrPort := netip.MustParseAddrPort(from.String())
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen[addrPort.Port()] = append(s.seen[addrPort.Port()], addrPort.Addr().Unmap())
}

// From are those who came from a port, as they are seen here.
func (s *Server) From(port uint16) []netip.Addr {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.seen[port]
}

// answer says who answers.
func (s *Server) answer(question []byte) []byte { return append(question, " by "+s.name...) }

func (s *Server) answerDatagrams(socket net.PacketConn) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		s.note(from)
		_, _ = socket.WriteTo(s.answer(buffer[:n]), from)
	}
}

func (s *Server) answerConnections(socket net.Listener) {
	for {
		conn, err := socket.Accept()
		if err != nil {
			return
		}
		s.note(conn.RemoteAddr())
		go func() {
			defer conn.Close() //nolint:errcheck // a client that goes away is none of ours
			_ = conn.SetDeadline(time.Now().Add(patience))
			buffer := make([]byte, 2048)
			n, err := conn.Read(buffer)
			if err == nil {
				_, _ = conn.Write(s.answer(buffer[:n]))
			}
		}()
	}
}
