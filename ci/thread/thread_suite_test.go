package thread_test

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/thread"
)

func TestThread(t *testing.T) {
	callers = call() // before ginkgo waits for signals, which as a rule takes up the first thread
	RegisterFailHandler(Fail)
	RunSpecs(t, "ci/thread")
}

// callers are the threads that called functions.
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

var _ = Describe("a function", Label("unit"), func() {
	It("is never called by the first thread, which doesn't end", func() {
		Expect(callers).NotTo(Or(BeEmpty(), ContainElement(os.Getpid())))
	})
})
