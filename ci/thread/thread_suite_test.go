package thread_test

import (
	"os"
	"runtime"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/ci/thread"
)

func TestThread(t *testing.T) {
	callers = call()
	RegisterFailHandler(Fail)
	RunSpecs(t, "ci/thread")
}

// callers are threads that called functions: behind init, during which Go keeps the main thread
// for itself, and before ginkgo waits for signals, which as a rule takes that up.
var callers []int

// call has more functions called at once than there are idle threads.
func call() []int {
	const calls = 100
	called, end := make(chan int, calls), make(chan struct{})
	defer close(end)
	for range calls {
		go func() {
			_ = thread.Apart(func() error {
				called <- unix.Gettid()
				<-end
				return nil
			})
		}()
	}
	var callers []int
	for range calls {
		callers = append(callers, <-called)
	}
	return callers
}

var _ = Describe("a function", func() {
	It("is never called by the main thread, which doesn't end", Label("unit"), func() {
		Expect(callers).NotTo(Or(BeEmpty(), ContainElement(os.Getpid())))
	})

	It("is called in the namespace, where its caller doesn't come", Label("root"), func() {
		testnet.RequireRoot()
		const own = "/proc/thread-self/ns/net"
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		before := inode(own)
		namespace, err := testbed.NewNamespace()
		Expect(err).NotTo(HaveOccurred())
		defer namespace.Close() //nolint:errcheck // it was read only
		var called uint64
		Expect(thread.In(namespace, func() error {
			called = inode(own)
			return nil
		})).To(Succeed())
		Expect(called).NotTo(Or(BeZero(), Equal(before)))
		Expect(inode(own)).To(Equal(before))
	})

	It("isn't called in what is no namespace, which is named", Label("unit"), func() {
		file, err := os.Open("/dev/null")
		Expect(err).NotTo(HaveOccurred())
		defer file.Close() //nolint:errcheck // it was read only
		called := false
		Expect(thread.In(file, func() error {
			called = true
			return nil
		})).To(MatchError(ContainSubstring("/dev/null")))
		Expect(called).To(BeFalse())
	})
})

// inode is that of a namespace, by which it is known; 0 where there is none.
func inode(path string) uint64 {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil {
		return 0
	}
	return stat.Ino
}
