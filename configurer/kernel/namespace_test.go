package kernel_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// started starts a program that the spec ends.
func started(name string, arguments ...string) *exec.Cmd {
	GinkgoHelper()
	cmd := exec.Command(name, arguments...)
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// inodeOf is the number of a namespace file, read another way.
func inodeOf(path string) uint64 {
	GinkgoHelper()
	var stat unix.Stat_t
	Expect(unix.Stat(path, &stat)).To(Succeed())
	return stat.Ino
}

// isNamespace says that a file is open on a namespace, and won't be inherited.
func isNamespace(file *os.File, err error, inode uint64) {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	Expect(kernel.System{}.Inode(file)).To(Equal(inode))
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFD, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(flags & unix.FD_CLOEXEC).NotTo(BeZero())
}

var _ = Describe("pinning a process's namespace", Label("root"), func() {
	BeforeEach(testnet.RequireRoot)

	system := kernel.System{}

	It("opens that of a running process, and keeps it beyond the process", func() {
		before := descriptors()
		cmd := started("unshare", "--net", "sleep", "100")
		path := fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
		own := inodeOf("/proc/self/ns/net")
		Eventually(func() uint64 { return inodeOf(path) }).ShouldNot(Equal(own))
		inode := inodeOf(path)
		for range 20 {
			file, err := system.Pin(cmd.Process.Pid)
			isNamespace(file, err, inode)
		}
		file, err := system.Pin(cmd.Process.Pid)
		Expect(err).NotTo(HaveOccurred())
		Expect(file.Name()).To(Equal(path))
		Expect(cmd.Process.Kill()).To(Succeed())
		_ = cmd.Wait()
		isNamespace(file, nil, inode)
		Expect(descriptors()).To(Equal(before))
	})

	DescribeTable("refuses what isn't one", func(pid func() int, text string, gone bool) {
		number := pid()
		before := descriptors()
		for range 20 {
			_, err := system.Pin(number)
			Expect(err).To(MatchError(fmt.Sprintf("opening the network namespace of process %d: %s", number, text)))
			Expect(errors.Is(err, configurer.ErrNoProcess)).To(Equal(gone))
		}
		Expect(descriptors()).To(Equal(before))
	},
		Entry("0", func() int { return 0 }, "a pid is a number above 0", false),
		Entry("negative", func() int { return -7 }, "a pid is a number above 0", false),
		Entry("larger than any", func() int { return 4<<20 - 1 }, "there is no such process, or it has ended; name one that runs in the container", true),
		Entry("gone", func() int {
			cmd := exec.Command("true")
			Expect(cmd.Run()).To(Succeed())
			return cmd.Process.Pid
		}, "there is no such process, or it has ended; name one that runs in the container", true),
		Entry("a zombie", func() int {
			cmd := started("true")
			Eventually(func() ([]byte, error) {
				return os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
			}).Should(ContainSubstring(") Z "))
			return cmd.Process.Pid
		}, "there is no such process, or it has ended; name one that runs in the container", true),
		Entry("a thread", func() int {
			ids, done := make(chan int), make(chan struct{})
			DeferCleanup(func() { close(done) })
			go func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				ids <- unix.Gettid()
				<-done
			}()
			return <-ids
		}, "this is the number of a thread; name its process, which is Tgid in /proc/PID/status", false),
	)
})

var _ = Describe("opening a namespace", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("takes a name of ip netns, or a path", func() {
		sh("ip netns add blue")
		inode := inodeOf("/run/netns/blue")
		file, err := kernel.System{}.OpenNamespace("blue")
		isNamespace(file, err, inode)
		file, err = kernel.System{}.OpenNamespace("/run/netns/blue")
		isNamespace(file, err, inode)
		Expect(os.Symlink("/run/netns/blue", "/run/link")).To(Succeed())
		file, err = kernel.System{}.OpenNamespace("/run/link")
		isNamespace(file, err, inode)
	})

	It("tells one that isn't there from a file that isn't one", func() {
		directory := GinkgoT().TempDir()
		pipe, plain := filepath.Join(directory, "pipe"), filepath.Join(directory, "plain")
		Expect(unix.Mkfifo(pipe, 0o600)).To(Succeed())
		Expect(os.WriteFile(plain, nil, 0o600)).To(Succeed())
		before := descriptors()
		for _, name := range []string{"nothing", "/nowhere/at/all", "sub/path"} {
			_, err := kernel.System{}.OpenNamespace(name)
			Expect(err).To(MatchErrorStrictly(configurer.ErrNoNamespace), name)
		}
		for _, path := range []string{pipe, plain, directory, "/dev/null", "/proc/self/ns/mnt"} {
			failed := make(chan error, 1)
			go func() {
				_, err := kernel.System{}.OpenNamespace(path)
				failed <- err
			}()
			var err error
			Eventually(failed).Should(Receive(&err), "%s must not block", path)
			Expect(err).To(MatchError(ContainSubstring("this file isn't a network namespace")), path)
			Expect(err).NotTo(MatchErrorStrictly(configurer.ErrNoNamespace))
		}
		Expect(descriptors()).To(Equal(before))
	})
})

var _ = Describe("connecting", Label("root"), func() {
	BeforeEach(testnet.RequireRoot)

	const own = "/proc/thread-self/ns/net"

	It("refuses our own namespace, however it is named", func() {
		before := descriptors()
		for _, path := range []string{own, "/proc/self/ns/net"} {
			namespace, err := os.Open(path)
			Expect(err).NotTo(HaveOccurred())
			_, err = kernel.System{}.Connect(namespace)
			Expect(err).To(MatchError(ContainSubstring("it is netsetgo's own, that of the host; name a process or namespace of a container")))
			Expect(namespace.Close()).To(Succeed())
		}
		Expect(descriptors()).To(Equal(before))
	})

	It("refuses what isn't a namespace, and stays where it is", func() {
		before, descriptorsBefore := inodeOf(own), descriptors()
		file, err := os.Open("/dev/null")
		Expect(err).NotTo(HaveOccurred())
		_, err = kernel.System{}.Connect(file)
		Expect(err).To(MatchErrorStrictly(unix.EINVAL))
		Expect(err).To(MatchError(ContainSubstring("entering the container's network namespace")))
		Expect(file.Close()).To(Succeed())
		Expect(inodeOf(own)).To(Equal(before))
		Expect(descriptors()).To(Equal(descriptorsBefore))
	})

	It("leaves the thread where it was, and the connection where it was opened", onHost, func() {
		before := inodeOf(own)
		container := newNamespace()
		in(container, "ip link add marked type bridge")
		conn := connect(container)
		Expect(inodeOf(own)).To(Equal(before))
		Expect(link(conn, "marked").Kind).To(Equal("bridge"))
		Expect(second(connect(nil).Link(configurer.Which{Name: "marked"}))).To(MatchErrorStrictly(configurer.ErrNotFound))
	})

	It("writes no sysctl once a thread couldn't come back, since it may be a container's", onHost, func() {
		conn := connect(nil)
		kernel.SetAstray(true)
		DeferCleanup(kernel.SetAstray, false)
		const key = "net/ipv4/conf/lo/forwarding"
		before, err := conn.Sysctl(key)
		Expect(err).NotTo(HaveOccurred())
		errs := conn.Do(configurer.Step{Change: configurer.SetSysctl{Key: key, Value: map[string]string{"0": "1", "1": "0"}[before]}})
		Expect(errs).To(ConsistOf(MatchError(ContainSubstring("couldn't come back from a container's network namespace"))))
		Expect(conn.Sysctl(key)).To(Equal(before))
	})

	It("is done once for each namespace in a session, and for as long as the process lives", onHost, func() {
		container := newNamespace()
		in(container, "ip link add marked type bridge")
		session := &kernel.Session{}
		for _, namespace := range []*os.File{container, nil} {
			first, err := session.Connect(namespace)
			Expect(err).NotTo(HaveOccurred())
			before := descriptors()
			Expect(first.Close()).To(Succeed())
			again, err := session.Connect(namespace)
			Expect(err).NotTo(HaveOccurred())
			Expect(again).To(Equal(first))
			Expect(descriptors()).To(Equal(before))
		}
		conn, err := session.Connect(container)
		Expect(err).NotTo(HaveOccurred())
		Expect(link(conn, "marked").Kind).To(Equal("bridge"))
		_, err = session.Connect(os.Stdin)
		Expect(err).To(HaveOccurred())
	})

	It("mixes nothing up when a hundred do it at once", func() {
		const runs = 100
		var containers [4]*os.File
		for i := range containers {
			containers[i] = newNamespace()
			in(containers[i], "ip link add mark%d type bridge", i)
		}
		inode, before := inodeOf(own), descriptors()
		errs := make([]error, runs)
		var all sync.WaitGroup
		for i := range runs {
			all.Go(func() {
				for range 10 {
					if err := once(containers[i%4], fmt.Sprintf("mark%d", i%4), inode); err != nil {
						errs[i] = err
					}
				}
			})
		}
		all.Wait()
		Expect(errors.Join(errs...)).NotTo(HaveOccurred())
		Expect(descriptors()).To(Equal(before))
		// The threads that made the containers end by themselves, but not at once.
		Eventually(elsewhere).WithArguments(inode).Should(BeEmpty())
	})
})

// elsewhere are the threads of this process that aren't in a namespace.
func elsewhere(inode uint64) []string {
	GinkgoHelper()
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	Expect(err).NotTo(HaveOccurred())
	var found []string
	for _, task := range tasks {
		var stat unix.Stat_t
		if err := unix.Stat(task, &stat); err == nil && stat.Ino != inode {
			found = append(found, task)
		}
	}
	return found
}

// once connects to a container and looks for its mark.
func once(container *os.File, mark string, inode uint64) error {
	conn, err := kernel.System{}.Connect(container)
	if err != nil {
		return err
	}
	_, err = conn.Link(configurer.Which{Name: mark})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stat unix.Stat_t
	err = errors.Join(err, conn.Close(), unix.Stat("/proc/thread-self/ns/net", &stat))
	if stat.Ino != inode {
		err = errors.Join(err, errors.New("the thread is in another namespace"))
	}
	return err
}
