package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"unicode"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/ci/thread"
)

var _ = Describe("the table of attachments", Label("unit"), func() {
	attached := []netsetgo.Listed{
		{
			Container: "web", Interface: "eth0", Addresses: []netip.Addr{netip.MustParseAddr("10.10.10.2")},
			MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Bridge: "brg0", HostLink: "veth0", State: netsetgo.StateUp, Received: 1 << 40, Sent: 7,
		},
		{
			Container: "net:[4026532316]", Interface: "veth1", Addresses: []netip.Addr{netip.MustParseAddr("10.20.0.200"), netip.MustParseAddr("fd00::2")},
			HostLink: "veth17", State: netsetgo.StateNoCarrier, Received: 0, Sent: 1<<64 - 1,
		},
		{HostLink: "veth3", Bridge: "a-long-name-123", State: netsetgo.StateIncomplete},
	}

	It("has a line for each, aligned, and a dash for what isn't known", func() {
		Expect("\n" + table(attached)).To(Equal(`
CONTAINER         INTERFACE  ADDRESSES            MAC                BRIDGE           HOST LINK  STATE       RECEIVED       SENT
web               eth0       10.10.10.2           02:00:00:00:00:01  brg0             veth0      up          1099511627776  7
net:[4026532316]  veth1      10.20.0.200,fd00::2  -                  -                veth17     no carrier  0              18446744073709551615
-                 -          -                    -                  a-long-name-123  veth3      incomplete  0              0
`))
	})

	It("has its titles also where there is nothing", func() {
		Expect(table(nil)).To(Equal("CONTAINER  INTERFACE  ADDRESSES  MAC  BRIDGE  HOST LINK  STATE  RECEIVED  SENT\n"))
	})

	It("stays a table, and harmless, whatever the names are", func() {
		odd := "a\x1b[2J\tb\nc\u009bm\u202ed\xff e"
		text := table([]netsetgo.Listed{{Container: odd, Interface: odd, Bridge: odd, HostLink: odd, State: netsetgo.StateUp}})
		Expect(strings.Count(text, "\n")).To(Equal(2))
		for _, r := range strings.ReplaceAll(text, "\n", "") {
			Expect(unicode.IsPrint(r)).To(BeTrue(), "%q", r)
		}
		quoted := `"a\x1b[2J\tb\nc\u009bm\u202ed\xff e"`
		row := strings.Split(text, "\n")[1]
		Expect(row).To(MatchRegexp(`\A"a.*e"  "a.*e"  - +- +"a.*e"  "a.*e"  up +0 +0\z`))
		Expect(strings.Count(row, quoted)).To(Equal(4))
	})

	DescribeTable("has one word for a name", func(text, expected string) {
		Expect(word(text)).To(Equal(expected))
	},
		Entry("as it is", "web:1_2.3-4", "web:1_2.3-4"),
		Entry("in any language", "wéb𝄞日本", "wéb𝄞日本"),
		Entry("with what a shell would expand", "$(a)*'\\", "$(a)*'\\"),
		Entry("of none", "", "-"),
		Entry("that looks like none", "-", `"-"`),
		Entry("that begins like none", "--", "--"),
		Entry("with a space", "a b", `"a b"`),
		Entry("with a wide space", "a\u3000b", `"a\u3000b"`),
		Entry("with a space that doesn't break", "a\u00a0b", `"a\u00a0b"`),
		Entry("with a quote", `a"b`, `"a\"b"`),
		Entry("in quotes", `"a"`, `"\"a\""`),
		Entry("with a tab", "a\tb", `"a\tb"`),
		Entry("of two lines", "a\nb", `"a\nb"`),
		Entry("with a form feed, which ends a table", "a\fb", `"a\fb"`),
		Entry("with an escape sequence", "\x1b[31m", `"\x1b[31m"`),
		Entry("with its eight-bit form", "\u009b31m", `"\u009b31m"`),
		Entry("that turns the line round", "\u202ea", `"\u202ea"`),
		Entry("with what isn't seen", "a\u200bb", `"a\u200bb"`),
		Entry("with a NUL", "a\x00b", `"a\x00b"`),
		Entry("that isn't text", "a\xffb", `"a\xffb"`),
		Entry("with what stands for no text", "a\ufffdb", `"a�b"`),
	)

	It("has the same fields as JSON", func() {
		Expect(json.Marshal(listed{Addresses: []netip.Addr{netip.MustParseAddr("10.10.10.2")}, MAC: "02:00:00:00:00:01", SentBytes: 1<<64 - 1})).To(MatchJSON(`{
			"container": "", "interface": "", "addresses": ["10.10.10.2"], "mac": "02:00:00:00:00:01", "bridge": "", "hostLink": "",
			"state": "", "receivedBytes": 0, "sentBytes": 18446744073709551615
		}`))
	})

	DescribeTable("of a host without any", Label("root"), func(args []string, expected string) {
		testnet.RequireRoot()
		var code int
		var stdout, stderr bytes.Buffer
		Expect(thread.Apart(func() error {
			err := unix.Unshare(unix.CLONE_NEWNET)
			if err == nil {
				code = run(args, strings.NewReader(""), &stdout, &stderr)
			}
			return err
		})).To(Succeed())
		Expect(finished{code, stdout.String(), stderr.String()}).To(Equal(finished{0, expected, ""}))
	},
		Entry("is its titles", []string{"list"}, table(nil)),
		Entry("is an empty list", []string{"list", "-output", "json"}, "[]\n"),
	)
})
