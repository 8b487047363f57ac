package kernel_test

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("the lock", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	const path = "/run/netsetgo.lock"
	system := kernel.System{}
	take := func(held configurer.Lock, exclusive bool) configurer.Lock {
		GinkgoHelper()
		lock, err := system.TryLock(held, exclusive)
		Expect(err).NotTo(HaveOccurred())
		return lock
	}
	busy := func(held configurer.Lock, exclusive bool) {
		GinkgoHelper()
		_, err := system.TryLock(held, exclusive)
		Expect(err).To(MatchErrorStrictly(configurer.ErrBusy))
		Expect(err).To(MatchError("locking /run/netsetgo.lock: held by another run"))
	}

	It("is held by many, or by one alone", func() {
		before := descriptors()
		first, other := take(nil, false), take(nil, false)
		busy(nil, true)
		Expect(first.Release()).To(Succeed())
		busy(nil, true)
		Expect(other.Release()).To(Succeed())
		alone := take(nil, true)
		busy(nil, true)
		busy(nil, false)
		Expect(alone.Release()).To(Succeed())
		Expect(take(nil, false).Release()).To(Succeed())
		Expect(descriptors()).To(Equal(before))
		Expect(alone.Release()).To(MatchError(ContainSubstring("releasing /run/netsetgo.lock")))
	})

	It("changes how it is held, when nobody else holds it", func() {
		first, other := take(nil, false), take(nil, false)
		busy(first, true)
		Expect(other.Release()).To(Succeed())
		Expect(take(first, true)).To(BeIdenticalTo(first))
		busy(nil, false)
		Expect(take(first, false)).To(BeIdenticalTo(first))
		Expect(take(nil, false).Release()).To(Succeed())
		Expect(first.Release()).To(Succeed())
	})

	It("lets two that both want it alone have it one after the other", func() {
		first, other := take(nil, false), take(nil, false)
		busy(first, true)
		// first let go of it when it asked for more, or neither would ever get it.
		Expect(take(other, true)).To(BeIdenticalTo(other))
		busy(first, true)
		Expect(other.Release()).To(Succeed())
		take(first, true)
		Expect(first.Release()).To(Succeed())
	})

	It("is never held alone by two", func() {
		var all sync.WaitGroup
		var inside, wrong, got atomic.Int32
		for range 8 {
			host, err := os.Open("/proc/thread-self/ns/mnt")
			Expect(err).NotTo(HaveOccurred())
			all.Go(func() {
				defer GinkgoRecover()
				enter(host)
				for range 2000 {
					held, err := system.TryLock(nil, true)
					if err != nil {
						continue
					}
					got.Add(1)
					if inside.Add(1) != 1 {
						wrong.Add(1)
					}
					inside.Add(-1)
					Expect(held.Release()).To(Succeed())
				}
			})
		}
		all.Wait()
		Expect(got.Load()).To(BeNumerically(">", 0))
		Expect(wrong.Load()).To(BeZero())
	})

	It("is a file of root's own, which no child holds on to", func() {
		held := take(nil, true)
		Expect(os.Stat(path)).To(HaveField("Mode()", os.FileMode(0o600)))
		child := exec.Command("sleep", "100")
		Expect(child.Start()).To(Succeed())
		defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
		Expect(held.Release()).To(Succeed())
		Expect(take(nil, true).Release()).To(Succeed())
	})

	It("is understood by flock(1)", func() {
		held := take(nil, false)
		sh("flock --shared --nonblock %s true; ! flock --exclusive --nonblock %s true", path, path)
		Expect(held.Release()).To(Succeed())
		sh("flock --exclusive --nonblock %s true", path)
	})

	DescribeTable("isn't taken where something else is in its place", func(script string, cause error) {
		sh("%s", script)
		before := descriptors()
		_, err := system.TryLock(nil, false)
		Expect(err).To(MatchErrorStrictly(cause))
		Expect(err).To(MatchError(ContainSubstring("opening the lock /run/netsetgo.lock")))
		Expect(descriptors()).To(Equal(before))
	},
		Entry("a symbolic link", "touch /run/target; ln -s /run/target /run/netsetgo.lock", unix.ELOOP),
		Entry("a directory", "mkdir /run/netsetgo.lock", unix.EISDIR),
	)
})

// enter puts the calling goroutine, for good, into a mount namespace.
func enter(host *os.File) {
	GinkgoHelper()
	defer func() { _ = host.Close() }()
	runtime.LockOSThread()
	Expect(unix.Unshare(unix.CLONE_FS)).To(Succeed())
	Expect(unix.Setns(int(host.Fd()), unix.CLONE_NEWNS)).To(Succeed())
}
