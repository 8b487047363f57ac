package configurer_test

import (
	"os/exec"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/configurer"
)

// oddTexts are what a container may call itself, and the word that a shell reads it by.
var oddTexts = []struct{ what, text, word string }{
	{"a plain name", "veth0", "veth0"},
	{"everything that is plain", "azAZ09_@%+=:,./-", "azAZ09_@%+=:,./-"},
	{"nothing", "", "''"},
	{"a space", "a b", "'a b'"},
	{"a quote", "it's", `'it'\''s'`},
	{"two quotes", "''", `''\'''\'''`},
	{"double quotes", `a"b`, `'a"b'`},
	{"a backslash", `a\b`, `'a\b'`},
	{"a command", "$(reboot)", "'$(reboot)'"},
	{"an old command", "`reboot`", "'`reboot`'"},
	{"the end of a command", "a;reboot", "'a;reboot'"},
	{"a comment", "#a", "'#a'"},
	{"a home", "~root", "'~root'"},
	{"a pattern", "*", "'*'"},
	{"another alphabet", "schön", "'schön'"},
	{"a line's end", "a\nb", `"$(printf 'a\012b')"`},
	{"a tab", "a\tb", `"$(printf 'a\011b')"`},
	{"an escape sequence", "\x1b[31mred", `"$(printf '\033[31mred')"`},
	{"a deletion", "a\x7f", `"$(printf 'a\177')"`},
	{"a control character beside digits", "\x017", `"$(printf '\0017')"`},
	{"a control character, quotes and a backslash", "\a'\\\"$(reboot)`", "\"$(printf '\\007\\047\\134\"$(reboot)`')\""},
	{"a control character of the upper half", "\u009b31m", `"$(printf '\302\23331m')"`},
	{"a hyphen first, and a control character", "-n\x1b", `"$(printf '\055n\033')"`},
	{"a percent sign beside a control character", "\x1b%s", `"$(printf '\033\045s')"`},
	{"what turns a line round", "a\u202eb", `"$(printf 'a\342\200\256b')"`},
	{"what isn't text", "a\xffb", `"$(printf 'a\377b')"`},
	{"the sign for what isn't text", "a\ufffdb", `"$(printf 'a\357\277\275b')"`},
	{"a letter of another alphabet beside a control character", "ö\r", `"$(printf '\303\266\015')"`},
}

var _ = Describe("quoting for a shell", Label("unit"), func() {
	for _, odd := range oddTexts {
		It("makes one word of "+odd.what, func() {
			Expect(configurer.Quote(odd.text)).To(Equal(odd.word))
		})
	}

	It("makes words that a shell reads as what they were", func() {
		command := `printf '%s\0'`
		var texts []string
		for _, odd := range oddTexts {
			command += " " + configurer.Quote(odd.text)
			texts = append(texts, odd.text)
		}
		all := make([]byte, 0, 255)
		for b := range 255 {
			all = append(all, byte(b)+1) // a name holds no NUL
		}
		for _, text := range append(slices.Clone(texts), string(all)) {
			said, err := exec.Command("sh", "-c", "printf %s "+configurer.Quote(text)).Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(said)).To(Equal(text))
		}
		said, err := exec.Command("sh", "-c", command).Output()
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Split(strings.TrimSuffix(string(said), "\x00"), "\x00")).To(Equal(texts), "many on one line")
	})

	It("makes nothing that a terminal acts on", func() {
		for b := range 256 {
			for _, text := range []string{string([]byte{byte(b)}), string(rune(b))} {
				for _, r := range configurer.Quote(text) {
					Expect(r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f)).To(BeTrue(), "%q of %q", r, text)
				}
			}
		}
	})
})
