package main_test

import (
	"os"
	"path/filepath"
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

	// podman runs a container of files of our own. Without
	// cgroups, and with low limits, as a machine of tests may not let it set others.
	podman := func(script string, flags ...string) testnet.Result {
		GinkgoHelper()
		arguments := []string{
			"podman", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--storage-driver", "vfs", "--runtime", "crun", "--hooks-dir", hooks,
			"run", "--rm", "--name", "web", "--network", "none", "--cgroups", "disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--cap-add", "NET_RAW",
		}
		arguments = append(arguments, flags...)
		return host.Run(append(arguments, "--rootfs", root, "/bin/sh", "-ec", script)...)
	}

	It("connects a container that has its annotation, and lets go of it", func() {
		sees(podman(seen, "--annotation", "netsetgo=true"))
		Expect(host.State()).To(Equal(before))
		Expect(host.Must("grep", "-c", `"msg":"end".*"outcome":"done"`, "/var/log/netsetgo.log")).To(Equal("2\n"))
	})

	It("lets one be that hasn't", func() {
		result := podman("ip -o link")
		Expect(result.Code).To(Equal(0), result.Stderr)
		Expect(result.Stdout).NotTo(ContainSubstring("eth0"))
		Expect(host.State()).To(Equal(before))
	})

	It("connects one that is started again at once, under the same name", func() {
		for range 3 {
			sees(podman(seen, "--annotation", "netsetgo=true"))
		}
		Expect(host.State()).To(Equal(before))
	})
})
