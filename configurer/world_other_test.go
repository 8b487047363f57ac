package configurer_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// otherRun is a run that goes on while another one does: it gives way where it has to wait
// for the lock, so that both take turns and the specs know in which order.
type otherRun struct {
	turn, over chan struct{}
	err        error
	// active says whose turn it is; ended that it needs none any more.
	active, ended bool
}

// beside begins another run in the middle of one, which goes on when the other is done or
// waits for the lock.
func (w *world) beside(run func() error) {
	GinkgoHelper()
	Expect(w.other).To(BeNil(), "there is one other run at most")
	other := &otherRun{turn: make(chan struct{}), over: make(chan struct{})}
	w.other = other
	go func() {
		defer GinkgoRecover()
		defer func() {
			other.active, other.ended = false, true
			close(other.over)
		}()
		<-other.turn
		other.err = run()
	}()
	other.goOn()
	DeferCleanup(func() {
		for !other.ended {
			other.goOn()
		}
		Expect(other.err).NotTo(HaveOccurred())
		w.expectNothingOpen()
	})
}

// finish lets the other run come to its end, once the one that began it has.
func (w *world) finish() {
	GinkgoHelper()
	for tries := 0; !w.other.ended; tries++ {
		Expect(tries).To(BeNumerically("<", 1000), "the other run waits without an end")
		w.other.goOn()
	}
	Expect(w.other.err).NotTo(HaveOccurred())
}

func (o *otherRun) goOn() {
	o.active = true
	o.turn <- struct{}{}
	<-o.over
}

// letOthersGoOn ends the other run's turn, where it has to wait.
func (w *world) letOthersGoOn() {
	if other := w.other; other != nil && other.active {
		other.active = false
		other.over <- struct{}{}
		<-other.turn
	}
}

// handOver gives the other run its turn where it waits.
func (w *world) handOver() {
	if other := w.other; other != nil && !other.active && !other.ended {
		other.goOn()
	}
}
