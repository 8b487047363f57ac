package main

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestBench(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "ci/bench")
}

var _ = Describe("a figure", Label("unit"), func() {
	DescribeTable("is judged by its bar, and by its limit", func(b bar, verdict string, failed, mayPass bool) {
		Expect(b.String()).To(HaveSuffix(": " + verdict + "\n"))
		Expect(b.failed()).To(Equal(failed))
		Expect(b.mayPass()).To(Equal(mayPass))
	},
		Entry("below", bar{Value: 1, Most: 2}, "kept", false, false),
		Entry("equal", bar{Value: 2, Most: 2}, "kept", false, false),
		Entry("above, without a limit", bar{Value: 2.1, Most: 2}, "FAILED", true, true),
		Entry("above what must never be", bar{Value: 1}, "FAILED", true, false),
		Entry("above, within its limit", bar{Value: 2.1, Most: 2, Limit: 3}, "missed", false, false),
		Entry("above its limit", bar{Value: 3.1, Most: 2, Limit: 3}, "FAILED", true, true),
		Entry("of the least, above", bar{Value: 4, Most: 4, Least: true, Limit: 2}, "kept", false, false),
		Entry("of the least, below, within its limit", bar{Value: 3, Most: 4, Least: true, Limit: 2}, "missed", false, false),
		Entry("of the least, below its limit", bar{Value: 1.9, Most: 4, Least: true, Limit: 2}, "FAILED", true, true),
	)

	It("of many times is one of them", func() {
		var times []time.Duration
		for i := range 100 {
			times = append(times, time.Duration(100-i))
		}
		Expect(quantile(times, 0)).To(Equal(time.Duration(1)))
		Expect(quantile(times, 0.5)).To(Equal(time.Duration(51)))
		Expect(quantile(times, 0.99)).To(Equal(time.Duration(100)))
		Expect(quantile(times, 1)).To(Equal(time.Duration(100)))
		Expect(times[0]).To(Equal(time.Duration(100)), "they stay as they are")
	})
})
