package configurer_test

import (
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

var _ = Describe("a port that a program of the host listens on", Label("unit"), func() {
	// listening is a world with a program that listens by TCP.
	listening := func(address string, only6 bool) *world {
		w := newWorld(1)
		w.listeners = map[string][]configurer.Listener{"tcp": {{Address: netip.MustParseAddrPort(address), Only6: only6, Inode: 7}}}
		w.programs = map[uint64]string{7: `program "httpd", pid 12,`}
		return w
	}
	plain := func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{} }

	DescribeTable("is refused, the program is named, and all is as before", func(config func() netsetgo.NetworkConfig, listens string, asked netsetgo.Publish) {
		w := listening(listens, false)
		before := w.String()
		Expect(w.netset().Up(publishing(config(), asked), firstPid)).To(MatchError(
			`publishing port ` + asked.String() + `: program "httpd", pid 12, listens on ` + listens + `; choose another port, or end that program first`))
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	},
		Entry("of all addresses", plain, "0.0.0.0:80", port(80, "")),
		Entry("of one", plain, "192.0.2.9:80", port(80, "")),
		Entry("of the loopback", plain, "127.0.0.1:80", port(80, "")),
		Entry("of all addresses, asked for of one", plain, "0.0.0.0:80", by("192.0.2.9", port(80, ""))),
		Entry("of one, asked for of that", plain, "192.0.2.9:80", by("192.0.2.9", port(80, ""))),
		Entry("of one, asked for of all of its family", plain, "192.0.2.9:80", by("0.0.0.0", port(80, ""))),
		Entry("of all of both families", plain, "[::]:80", port(80, "")),
		Entry("of all of IPv6", dual, "[::]:80", by("::", port(80, ""))),
		Entry("of one of IPv6", only6, "[2001:db8::9]:80", port(80, "")),
		Entry("at the end of a range", plain, "0.0.0.0:82", ports(80, 3)),
		Entry("at the beginning of a range", plain, "0.0.0.0:80", ports(80, 3)),
	)

	DescribeTable("is published where the program keeps what it has", func(config func() netsetgo.NetworkConfig, listens string, only6 bool, asked netsetgo.Publish) {
		Expect(listening(listens, only6).netset().Up(publishing(config(), asked), firstPid)).To(Succeed())
	},
		Entry("by another protocol", plain, "0.0.0.0:80", false, port(80, "udp")),
		Entry("of another number", plain, "0.0.0.0:79", false, ports(80, 3)),
		Entry("behind a range", plain, "0.0.0.0:83", false, ports(80, 3)),
		Entry("of another address", plain, "192.0.2.8:80", false, by("192.0.2.9", port(80, ""))),
		Entry("of another family", dual, "0.0.0.0:80", false, by("::", port(80, ""))),
		Entry("of a family that the container hasn't got", plain, "[2001:db8::9]:80", false, port(80, "")),
		Entry("of all of IPv6, and no other", plain, "[::]:80", true, port(80, "")),
		Entry("of ::1, by which no port is published", only6, "[::1]:80", false, port(80, "")),
		Entry("of a link-local address", only6, "[fe80::1]:80", false, port(80, "")),
	)

	It("is refused also where the program isn't to be seen", func() {
		w := listening("0.0.0.0:80", false)
		w.programs = nil
		Expect(w.netset().Up(publishing(plain(), port(80, "")), firstPid)).To(MatchError(
			ContainSubstring("a program of the host listens on 0.0.0.0:80")))
	})
})
