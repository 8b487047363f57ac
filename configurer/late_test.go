package configurer_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

var _ = Describe("a run that takes too long", Label("unit"), func() {
	It("does nothing when its time is over before it begins", func() {
		w := newWorld(1)
		config := netsetgo.NetworkConfig{Deadline: time.Now().Add(-time.Second)}
		Expect(w.netset().Up(config, firstPid)).To(MatchError(configurer.ErrTimeout))
		Expect(w.log).To(BeEmpty())
		w.expectNothingOpen()
	})

	It("undoes all, whichever change was the last in time", func() {
		last := 0
		for nth := 1; ; nth++ {
			w := newWorld(1)
			before := w.String()
			config := netsetgo.NetworkConfig{ID: "web", Deadline: time.Now().Add(30 * time.Millisecond)}
			late, seen := false, 0
			w.onCall = func(_ int, doing string) (bool, error) {
				if changes(doing) {
					seen++
				}
				for seen == nth && !late {
					late = time.Now().After(config.Deadline)
				}
				return true, nil
			}
			err := w.netset().Up(config, firstPid)
			w.expectNothingOpen()
			if err == nil {
				last = nth
				break
			}
			Expect(err).To(MatchError(configurer.ErrTimeout))
			Expect(w.String()).To(Equal(before))
			Expect(nth).To(BeNumerically("<", 100), "there can't be so many changes")
		}
		Expect(last).To(Equal(27), "the owner's name is the last change: after it nothing can be late")
	})

	It("to disconnect goes on to its end once the host link is gone, and else undoes all", func() {
		undone, ended := 0, 0
		for nth := 1; ; nth++ {
			w := newWorld(1)
			w.container(1).up(loopback)
			nothing := w.String()
			Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, port(53, "udp")), firstPid)).To(Succeed())
			before := w.String()
			config := netsetgo.NetworkConfig{Deadline: time.Now().Add(30 * time.Millisecond)}
			late, seen := false, 0
			w.onCall = func(int, string) (bool, error) {
				for seen++; seen == nth && !late; {
					late = time.Now().After(config.Deadline)
				}
				return true, nil
			}
			err := w.netset().Down(config, firstPid)
			w.expectNothingOpen()
			switch {
			case err != nil:
				undone++
				Expect(err).To(MatchError(configurer.ErrTimeout))
				Expect(w.String()).To(Equal(before))
			case late:
				ended++
				Expect(w.String()).To(Equal(nothing))
			default:
				Expect(undone).To(BeNumerically(">", 4))
				Expect(ended).To(BeNumerically(">", 10))
				return
			}
		}
	})
})
