package main

import (
	"net/netip"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

const publishForm = "use [IP:]PORT[-LAST]:PORT[/PROTOCOL], such as 8080:80, with brackets around an IPv6 address"

var _ = Describe("the flag -publish", Label("unit"), func() {
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")

	DescribeTable("reads a port, or a range", func(text string, expected netsetgo.Publish) {
		Expect(parsePublish(text)).To(Equal(expected))
		Expect(parsed("-publish", text).publish).To(Equal([]netsetgo.Publish{expected}))
	},
		Entry("of all addresses", "8080:80", netsetgo.Publish{HostPort: 8080, ContainerPort: 80}),
		Entry("of a protocol", "53:5353/udp", netsetgo.Publish{HostPort: 53, ContainerPort: 5353, Protocol: "udp"}),
		Entry("of the protocol that is the default", "53:5353/tcp", netsetgo.Publish{HostPort: 53, ContainerPort: 5353, Protocol: "tcp"}),
		Entry("of the third protocol", "53:5353/sctp", netsetgo.Publish{HostPort: 53, ContainerPort: 5353, Protocol: "sctp"}),
		Entry("of an address", "192.0.2.7:8080:80", netsetgo.Publish{HostIP: v4, HostPort: 8080, ContainerPort: 80}),
		Entry("of an IPv6 address", "[2001:db8::7]:8080:80", netsetgo.Publish{HostIP: v6, HostPort: 8080, ContainerPort: 80}),
		Entry("of an IPv4 address in brackets", "[192.0.2.7]:8080:80", netsetgo.Publish{HostIP: v4, HostPort: 8080, ContainerPort: 80}),
		Entry("of every IPv4 address", "0.0.0.0:8080:80", netsetgo.Publish{HostIP: netip.IPv4Unspecified(), HostPort: 8080, ContainerPort: 80}),
		Entry("of every IPv6 address", "[::]:8080:80", netsetgo.Publish{HostIP: netip.IPv6Unspecified(), HostPort: 8080, ContainerPort: 80}),
		Entry("of several", "8080-8089:80", netsetgo.Publish{HostPort: 8080, ContainerPort: 80, Count: 10}),
		Entry("of several that are one", "8080-8080:80", netsetgo.Publish{HostPort: 8080, ContainerPort: 80, Count: 1}),
		Entry("of all of it", "[2001:db8::7]:5000-5001:53/udp", netsetgo.Publish{HostIP: v6, HostPort: 5000, ContainerPort: 53, Count: 2, Protocol: "udp"}),
		Entry("that is the first", "1:1", netsetgo.Publish{HostPort: 1, ContainerPort: 1}),
		Entry("that is the last", "65535:65535", netsetgo.Publish{HostPort: 65535, ContainerPort: 65535}),
		Entry("with zeros before it", "0080:080", netsetgo.Publish{HostPort: 80, ContainerPort: 80}),
		Entry("and leaves to Validate what isn't of the form", "1-65535:1/icmp",
			netsetgo.Publish{HostPort: 1, ContainerPort: 1, Count: 65535, Protocol: "icmp"}),
	)

	DescribeTable("refuses what hasn't its form", func(text, says string) {
		end := finish("", "-pid", "7", "-publish", text)
		Expect(end.code).To(Equal(2))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(Equal(`netsetgo: invalid value ` + quoted(text) + ` for flag -publish: ` + says + "; see netsetgo -h\n"))
	},
		Entry("no container's port", "8080", publishForm),
		Entry("an empty container's port", "8080:", `"" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("an empty host's port", ":80", `"" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("an empty address", ":8080:80", publishForm),
		Entry("a name instead of an address", "localhost:8080:80", publishForm),
		Entry("a part too many", "192.0.2.7:1:8080:80", publishForm),
		Entry("an IPv6 address without brackets", "2001:db8::7:8080:80", publishForm),
		Entry("a bracket that isn't closed", "[2001:db8::7:8080:80", publishForm),
		Entry("a bracket that isn't opened", "2001:db8::7]:8080:80", publishForm),
		Entry("brackets around nothing", "[]:8080:80", publishForm),
		Entry("an address with a prefix", "192.0.2.7/24:8080:80", publishForm),
		Entry("an empty protocol", "8080:80/", publishForm),
		Entry("port 0 of the host", "0:80", `"0" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("port 0 of the container", "80:0", `"0" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("a port too high", "65536:80", `"65536" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("a port with a sign", "+80:80", `"+80" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("a port below 0", "-80:80", `"" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("a port in another base", "0x50:80", `"0x50" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("a port with a space", " 80:80", `" 80" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("a range without an end", "80-:80", `"" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("a range of three", "80-81-82:80", `"81-82" isn't a port, which is 1 to 65535; `+publishForm),
		Entry("a range that ends before it begins", "81-80:80", "the range 81-80 ends before it begins"),
		Entry("a range of the container", "80-81:80-81", `"80-81" isn't a port, which is 1 to 65535; `+publishForm),
	)

	It("may be given several times, in its order", func() {
		Expect(parsed("-publish", "8080:80", "-publish=53:53/udp", "--publish", "8081:80").publish).To(Equal([]netsetgo.Publish{
			{HostPort: 8080, ContainerPort: 80}, {HostPort: 53, ContainerPort: 53, Protocol: "udp"}, {HostPort: 8081, ContainerPort: 80},
		}))
	})

	DescribeTable("is refused where it asks for what can't be", func(says string, texts ...string) {
		args := []string{"-pid", "7"}
		for _, text := range texts {
			args = append(args, "-publish", text)
		}
		end := finish("", args...)
		Expect(end.code).To(Equal(2))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(Equal("netsetgo: invalid network configuration: publish " + says + "; see netsetgo -h\n"))
	},
		Entry("of an unknown protocol", "80:80/icmp: use tcp, udp or sctp", "80:80/icmp"),
		Entry("of a protocol in capitals", "80:80/TCP: use tcp, udp or sctp", "80:80/TCP"),
		Entry("of too many ports", "1-1025:1/tcp: a range has 1 to 1024 ports", "1-1025:1"),
		Entry("of ports that the container hasn't", "1-1000:65000/tcp: a port is between 1 and 65535", "1-1000:65000"),
		Entry("of ::1", "[::1]:80:80/tcp: ::1 isn't an address by which ports can be published", "[::1]:80:80"),
		Entry("of an address of many", "224.0.0.1:80:80/tcp: 224.0.0.1 isn't an address by which ports can be published", "224.0.0.1:80:80"),
		Entry("of an address of one link", "[fe80::7%eth0]:80:80/tcp: fe80::7%eth0 isn't an address by which ports can be published", "[fe80::7%eth0]:80:80"),
		Entry("of an address of two kinds", "[::ffff:192.0.2.7]:80:80/tcp: ::ffff:192.0.2.7 isn't an address by which ports can be published", "[::ffff:192.0.2.7]:80:80"),
		Entry("of a family that isn't asked for", "[2001:db8::7]:80:80/tcp: the container has no address of that family", "[2001:db8::7]:80:80"),
		Entry("twice", "80:81/tcp: 80:80/tcp has a port in common", "80:80", "80:81"),
		Entry("of a range with another's port", "75-80:75/tcp: 80:80/tcp has a port in common", "80:80", "75-80:75"),
		Entry("of one address and of all", "192.0.2.7:80:80/tcp: 80:80/tcp has a port in common", "80:80", "192.0.2.7:80:80"),
		Entry("of all addresses and of one", "0.0.0.0:80:80/tcp: 192.0.2.7:80:80/tcp has a port in common", "192.0.2.7:80:80", "0.0.0.0:80:80"),
	)

	DescribeTable("may ask for what has nothing in common", func(texts ...string) {
		args := []string{"-bridgeAddress", "10.10.10.1/24,fd10::1/64"}
		for _, text := range texts {
			args = append(args, "-publish", text)
		}
		config := must(configured(args...))
		Expect(config.Validate()).To(Succeed())
	},
		Entry("two ports", "80:80", "81:80"),
		Entry("ranges side by side", "80-89:80", "90-99:80"),
		Entry("two protocols", "80:80/tcp", "80:80/udp", "80:80/sctp"),
		Entry("two addresses", "192.0.2.7:80:80", "192.0.2.8:80:80"),
		Entry("two families", "0.0.0.0:80:80", "[::]:80:80"),
		Entry("as many ports as there may be", "1-1024:1"),
	)
})

// quoted is a text as package flag quotes it.
func quoted(text string) string { return `"` + text + `"` }

// FuzzPublish: what is read can be written and read again, and is the same.
func FuzzPublish(f *testing.F) {
	for _, seed := range []string{
		"8080:80", "192.0.2.7:53:5353/udp", "[2001:db8::7]:5000-5001:53/sctp", "[::]:1-65535:1", "0.0.0.0:080:80/tcp",
		"[fe80::1%a:b]:1:1", "1:1/a/b", "::1:80:80", "-:-", "[:]:1:1", "[[::]]:1:1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		publish, err := parsePublish(text)
		if err != nil {
			expectOneLine(t, err)
			return
		}
		isPort := func(port int) bool { return port >= 1 && port <= 65535 }
		if !isPort(publish.HostPort) || !isPort(publish.ContainerPort) || publish.Count < 0 || !isPort(publish.HostPort+max(publish.Count, 1)-1) {
			t.Fatalf("%q is %+v", text, publish)
		}
		if strings.Contains(text, "/") != (publish.Protocol != "") {
			t.Fatalf("%q is %+v", text, publish)
		}
		again, err := parsePublish(publish.String())
		if err != nil || again.WithDefaults() != publish.WithDefaults() {
			t.Fatalf("%q is %+v, and %q is %+v, %v", text, publish, publish.String(), again, err)
		}
		config := netsetgo.NetworkConfig{Publish: []netsetgo.Publish{publish}}
		if err := config.Validate(); err != nil {
			expectOneLine(t, err)
		}
	})
}
