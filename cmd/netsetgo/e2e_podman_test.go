package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("as a hook of podman", Label("root", "runtimes"), func() {
	var host *testnet.Host
	var before, root, hooks string
	BeforeEach(func() {
		host = newHostOf("podman")
		folder := GinkgoT().TempDir()
		root, hooks = filepath.Join(folder, "rootfs"), filepath.Join(folder, "hooks.d")
		newRoot(root)
		Expect(os.Mkdir(hooks, 0o755)).To(Succeed())
		recipe, err := os.ReadFile("../../examples/podman/netsetgo.json")
		Expect(err).NotTo(HaveOccurred())
		recipe = []byte(strings.ReplaceAll(string(recipe), "/usr/local/bin/netsetgo", binary))
		Expect(os.WriteFile(filepath.Join(hooks, "netsetgo.json"), recipe, 0o600)).To(Succeed())
		// Nothing of podman's that the machine has is looked at, or kept.
		host.Must("mount", "-t", "tmpfs", "tmpfs", "/var/lib")
		host.Must("mount", "-t", "tmpfs", "tmpfs", "/run", "-o", "mode=755")
		host.Must("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")
		before = host.State()
	})

	const annotation = "--annotation netsetgo=true"
	globals := []string{"podman", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--storage-driver", "vfs", "--runtime", "crun"}
	// podman makes a container of files of our own by the README's command, which may be without
	// some parts of it, or have another verb than run.
	podman := func(verb, script string, without ...string) testnet.Result {
		GinkgoHelper()
		command := block("sh", "podman run")
		for _, part := range without {
			Expect(command).To(ContainSubstring(part))
			command = strings.ReplaceAll(command, part, "")
		}
		command = strings.ReplaceAll(command, "/etc/containers/oci/hooks.d", hooks)
		arguments, ok := strings.CutPrefix(command, "sudo podman run ")
		Expect(ok).To(BeTrue(), command)
		arguments, ok = strings.CutSuffix(arguments, " ...\n")
		Expect(ok).To(BeTrue(), command)
		whole := slices.Concat(globals, []string{verb}, strings.Fields(arguments), []string{"--name", "web", "--cap-add", "NET_RAW"})
		if verb == "run" {
			whole = append(whole, "--rm")
		}
		if !hasCgroups() { // nor may the machine let it set limits
			whole = append(whole, "--cgroups", "disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
		}
		return host.Run(append(whole, "--rootfs", root, "/bin/sh", "-ec", script)...)
	}

	It("connects a container that has its annotation, and lets go of it", func() {
		sees(podman("run", seen))
		Expect(host.State()).To(Equal(before))
		Expect(host.Must("grep", "-c", `"msg":"end".*"outcome":"done"`, "/var/log/netsetgo.log")).To(Equal("2\n"))
	})

	It("lets one be that hasn't", func() {
		result := podman("run", "ip -o link", annotation)
		Expect(result.Code).To(Equal(0), result.Stderr)
		Expect(result.Stdout).NotTo(ContainSubstring("eth0"))
		Expect(host.State()).To(Equal(before))
	})

	It("connects one that is started again at once", func() {
		created := podman("create", seen)
		Expect(created.Code).To(Equal(0), created.Stderr)
		thrice := []string{"sh", "-ec", `for n in 1 2 3; do "$@"; done`, "sh"}
		started := host.Run(slices.Concat(thrice, globals, []string{"--hooks-dir", hooks, "start", "--attach", "web"})...)
		sees(started)
		Expect(strings.Count(started.Stdout, "1 packets received")).To(Equal(3))
		Expect(host.State()).To(Equal(before))
	})

	// Hooks of a stage run in the order of their files' names.
	hookAt := func(file, hook, stage string) {
		GinkgoHelper()
		text := fmt.Sprintf(`{"version": "1.0.0", "hook": %s, "when": {"always": true}, "stages": [%q]}`, hook, stage)
		Expect(os.WriteFile(filepath.Join(hooks, file), []byte(text), 0o600)).To(Succeed())
	}

	It("makes one attachment at prestart and createRuntime", func() {
		hookAt("a.json", fmt.Sprintf(`{"path": %q, "args": ["netsetgo", "-containerInterface", "eth0", "-log", "/var/log/netsetgo.log"]}`, binary), "prestart")
		sees(podman("run", seen))
		Expect(host.State()).To(Equal(before))
		Expect(host.Must("grep", "-c", `"msg":"end".*"outcome":"done"`, "/var/log/netsetgo.log")).To(Equal("3\n"))
	})

	DescribeTable("leaves nothing when the container can't start because a later hook", func(hook, text string) {
		hookAt("z.json", hook, "createRuntime")
		result := podman("run", seen)
		Expect(result.Code).NotTo(Equal(0))
		Expect(result.Stderr).To(ContainSubstring(text))
		Expect(host.Must("grep", "-c", `"msg":"end".*"outcome":"done"`, "/var/log/netsetgo.log")).NotTo(Equal("0\n"))
		vanishes(host)
		succeeds(execute(host, "down", "-id", "any", "-containerInterface", "eth0"))
		Expect(host.State()).To(Equal(before))

		By("starting it again without that")
		Expect(os.Remove(filepath.Join(hooks, "z.json"))).To(Succeed())
		sees(podman("run", seen))
		Expect(host.State()).To(Equal(before))
	},
		Entry("fails", `{"path": "/bin/false"}`, hookFailed["crun"]),
		Entry("takes too long", `{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}`, hookLate["crun"]),
	)
})
