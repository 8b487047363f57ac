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

	web := netsetgo.NetworkConfig{ID: "web"}

	DescribeTable("to disconnect undoes all, and goes on to its end once there is no way back", func(start func(w *world), undoes, ends int) {
		begin := func() *world {
			w := newWorld(2)
			w.container(1).up(loopback)
			start(w)
			w.log = nil
			return w
		}
		timely := begin()
		Expect(timely.netset().Down(web, firstPid)).To(Succeed())
		Expect(timely.flows()).NotTo(BeEmpty())
		undone, ended := 0, 0
		for nth := 1; ; nth++ {
			w := begin()
			before := w.String()
			config := web
			config.Deadline = time.Now().Add(30 * time.Millisecond)
			late, seen := false, 0
			w.onCall = func(int, string) (bool, error) {
				seen++
				for seen == nth && !late {
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
				Expect(w.String()).To(Equal(timely.String()))
				Expect(w.flows()).To(Equal(timely.flows()))
			default:
				Expect(undone).To(BeNumerically(">=", undoes))
				Expect(ended).To(BeNumerically(">=", ends))
				return
			}
		}
	},
		Entry("of a container", func(w *world) {
			Expect(w.netset().Up(publishing(web, port(53, "udp")), firstPid)).To(Succeed())
		}, 5, 11),
		Entry("of one that left a bridge", func(w *world) {
			Expect(w.netset().Up(publishing(web, port(53, "udp")), firstPid)).To(Succeed())
			w.end(w.container(1))
		}, 1, 1),
		Entry("of one that left rules", func(w *world) {
			Expect(w.netset().Up(publishing(web, port(53, "udp")), firstPid)).To(Succeed())
			w.host().remove(w.host().named("brg0"))
			w.end(w.container(1))
		}, 1, 1),
		Entry("of one that left a port", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
			Expect(w.netset().Up(publishing(web, port(53, "udp")), firstPid)).To(Succeed())
			w.end(w.container(1))
		}, 1, 1),
	)
})
