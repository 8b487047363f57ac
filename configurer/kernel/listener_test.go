package kernel_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("sockets that listen", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	opened := func(socket io.Closer, err error) {
		GinkgoHelper()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = socket.Close() })
	}
	listeners := func(conn configurer.Conn, protocol string) []configurer.Listener {
		GinkgoHelper()
		found, err := conn.Listeners(protocol)
		Expect(err).NotTo(HaveOccurred())
		return found
	}

	It("are found of both families, with who has them", func() {
		sh("ip link set lo up")
		conn := connect(nil)
		for _, protocol := range netsetgo.Protocols {
			Expect(listeners(conn, protocol)).To(BeEmpty(), protocol)
		}
		var config net.ListenConfig
		config.SetMultipathTCP(false)
		first, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:80")
		opened(first, err)
		for network, address := range map[string]string{"tcp": "[::]:81", "tcp4": "0.0.0.0:82", "tcp6": "[::1]:83"} {
			opened(config.Listen(context.Background(), network, address))
		}
		for network, address := range map[string]string{"udp4": "127.0.0.1:90", "udp": "[::]:91", "udp6": "[::]:92"} {
			opened(config.ListenPacket(context.Background(), network, address))
		}
		// As Java binds to an IPv4 address.
		mapped, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		opened(os.NewFile(uintptr(mapped), "mapped"), err)
		Expect(unix.Bind(mapped, &unix.SockaddrInet6{Port: 84, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()})).To(Succeed())
		Expect(unix.Listen(mapped, 1)).To(Succeed())
		var dialer net.Dialer
		opened(dialer.DialContext(context.Background(), "tcp4", "127.0.0.1:80"))
		opened(dialer.DialContext(context.Background(), "udp4", "127.0.0.1:90"))

		is := func(address string, only6 bool) OmegaMatcher {
			return And(HaveField("Address", netip.MustParseAddrPort(address)), HaveField("Only6", only6))
		}
		Expect(listeners(conn, "tcp")).To(ConsistOf(is("127.0.0.1:80", false), is("[::]:81", false), is("0.0.0.0:82", false), is("[::1]:83", true), is("127.0.0.1:84", false)))
		Expect(listeners(conn, "udp")).To(ConsistOf(is("127.0.0.1:90", false), is("[::]:91", false), is("[::]:92", true)))

		name, err := os.ReadFile("/proc/self/comm")
		Expect(err).NotTo(HaveOccurred())
		for _, listener := range listeners(conn, "tcp") {
			Expect(conn.Program(listener)).To(Equal(fmt.Sprintf("program %q, pid %d,", strings.TrimSpace(string(name)), os.Getpid())))
		}
		Expect(conn.Program(configurer.Listener{Inode: 1})).To(BeEmpty())
	})

	It("take no descriptors to find", func() {
		conn := connect(nil)
		before := descriptors()
		listeners(conn, "tcp")
		Expect(descriptors()).To(Equal(before))
	})
})
