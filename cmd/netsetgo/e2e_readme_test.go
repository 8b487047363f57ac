package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// fence is a block of the README: its language and its text. Blocks may be indented.
var fence = regexp.MustCompile("(?m)^ *```([a-z]+)\n((?:.*\n)*?) *```$")

// block is the one block of the README in a language that holds a text.
func block(language, text string) string {
	GinkgoHelper()
	readme, err := os.ReadFile("../../README.md")
	Expect(err).NotTo(HaveOccurred())
	var found []string
	for _, match := range fence.FindAllStringSubmatch(string(readme), -1) {
		if match[1] == language && strings.Contains(match[2], text) {
			found = append(found, match[2])
		}
	}
	Expect(found).To(HaveLen(1), "blocks of %s with %q", language, text)
	return found[0]
}

var _ = Describe("the README", Label("root"), func() {
	var host *testnet.Host
	var paste func(commands string) string

	BeforeEach(func() {
		host = testnet.NewHost()
		// What the reader has: netsetgo on the PATH, and sudo.
		bin := GinkgoT().TempDir()
		Expect(os.Symlink(binary, filepath.Join(bin, "netsetgo"))).To(Succeed())
		Expect(os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\nexec \"$@\"\n"), 0o755)).To(Succeed())
		paste = func(commands string) string {
			GinkgoHelper()
			return host.Sh("cd " + bin + "\nexport PATH=" + bin + ":$PATH\n" + commands)
		}
	})

	It("connects a process by hand, and lets go of it", func() {
		before := host.State()
		Expect(paste(block("sh", "unshare --net"))).To(ContainSubstring("1 received"))
		Expect(host.State()).To(Equal(before))
	})

	It("connects a named namespace by hand, and lets go of it", func() {
		before := host.State()
		Expect(paste(block("sh", "netsetgo down -id blue"))).To(ContainSubstring("1 received"))
		Expect(host.State()).To(Equal(before))
	})

	It("connects one by IPv6, and publishes a port", func() {
		before := host.State()
		Expect(paste(block("sh", "-publish 8080:80"))).To(ContainSubstring("1 received"))
		Expect(host.State()).To(Equal(before))
	})

	It("shows a program that works", func() {
		// Inside the module, where its imports are found.
		folder, err := os.MkdirTemp(".", "library")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(os.RemoveAll, folder)
		Expect(os.WriteFile(filepath.Join(folder, "main.go"), []byte(block("go", "package main")), 0o644)).To(Succeed())
		program, err := gexec.BuildWithEnvironment("./"+folder, []string{"CGO_ENABLED=0"}, "-buildvcs=false")
		Expect(err).NotTo(HaveOccurred())

		container := host.NewContainer()
		host.Must(program, strconv.Itoa(container.Pid))
		Expect(address(container, "veth1")).To(Equal("10.10.20.2"))
		Expect(links(&host.Process)).To(HaveKey("tower"))
	})

	It("has hooks that are JSON, as a bundle's config.json has them", func() {
		var config struct {
			Hooks map[string][]struct {
				Path string
				Args []string
			}
		}
		Expect(json.Unmarshal([]byte(block("json", "hooks")), &config)).To(Succeed())
		Expect(config.Hooks).To(HaveKey("createRuntime"))
		Expect(config.Hooks).To(HaveKey("poststop"))
	})
})
