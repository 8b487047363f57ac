package configurer_test

import (
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

// secured are configurations that ask something of the rules.
var secured = map[string]func() netsetgo.NetworkConfig{
	"in both families": dual,
	"in IPv6 alone":    only6,
	"with ports": func() netsetgo.NetworkConfig {
		return publishing(dual(), port(80, "tcp"), by("192.0.2.9", ports(90, 3)), by("::", port(53, "udp")))
	},
	"isolated, open and unchecked": func() netsetgo.NetworkConfig {
		config := dual()
		config.Isolated, config.AllowInbound, config.SpoofCheck = netsetgo.Yes, netsetgo.Yes, netsetgo.No
		return config
	},
	"with every option": func() netsetgo.NetworkConfig {
		config := everyOption()
		config.BridgeName, config.ContainerInterface, config.VethNamePrefix, config.ID = "", "", "", "mine"
		return config
	},
}

// places are where they are asked for: none has a bridge brg0.
var places = map[string]func() *world{
	"on a fresh host": func() *world { return newWorld(1).routed6() },
	"by an older kernel": func() *world {
		w := newWorld(1).routed6()
		w.host().unforced, w.host().cantLock = true, true
		for _, d := range w.host().links {
			d.Settings.HasForce = false
		}
		return w
	},
	"beside another bridge": func() *world {
		w := newWorld(2).routed6()
		other := everyOption()
		other.Publish = []netsetgo.Publish{port(7, "tcp")}
		other.Routes, other.ContainerIP, other.ContainerIP6, other.SpoofCheck = nil, nil, nil, netsetgo.Yes
		_, other.Subnet, _ = net.ParseCIDR("10.21.0.0/16")
		_, other.Subnet6, _ = net.ParseCIDR("fd21::/64")
		other.BridgeIP, other.BridgeIP6 = net.ParseIP("10.21.0.1"), net.ParseIP("fd21::1")
		Expect(w.netset().Up(other, firstPid+1)).To(Succeed())
		w.conns, w.pinned, w.log = nil, nil, nil
		return w
	},
}

// withAddresses asks for those that come first, which a killed run would use up.
func withAddresses(config netsetgo.NetworkConfig) netsetgo.NetworkConfig {
	for _, family := range config.Families() {
		switch addr := family.Gateway.Addr().Next(); {
		case addr.Is4() && config.ContainerIP == nil:
			config.ContainerIP = addr.AsSlice()
		case addr.Is6() && config.ContainerIP6 == nil:
			config.ContainerIP6 = addr.AsSlice()
		}
	}
	return config
}

// eachPlace is in an order, because every process of a parallel run must see the same specs.
func eachPlace(do func(place, asked string, build func() *world, request func() netsetgo.NetworkConfig)) {
	for _, place := range slices.Sorted(maps.Keys(places)) {
		for _, asked := range slices.Sorted(maps.Keys(secured)) {
			do(place, asked, places[place], func() netsetgo.NetworkConfig { return withAddresses(secured[asked]()) })
		}
	}
}

var _ = Describe("a run that asks something of the rules", Label("unit"), func() {
	eachPlace(func(place, asked string, build func() *world, request func() netsetgo.NetworkConfig) {
		It("leaves all as it was when any call is refused, "+place+" "+asked, func() {
			fails(build, request, anyCall, errBroken, false)
		})
		It("leaves all as it was when the answer to any change is lost, "+place+" "+asked, func() {
			fails(build, request, changes, configurer.ErrUnknown, true)
			fails(build, request, changes, configurer.ErrUnknown, false)
		})

		// Once for each call: killed there, and looked at.
		killed := func(look func(w *world, nth int)) {
			GinkgoHelper()
			for nth := 1; ; nth++ {
				w := build()
				w.container(1).up(loopback) // lo stays up
				was, err := w.kill(nth, func() error { return w.netset().Up(request(), firstPid) })
				if !was {
					Expect(err).NotTo(HaveOccurred())
					Expect(nth).To(BeNumerically(">", 40), "there must be calls to be killed at")
					return
				}
				look(w, nth)
			}
		}

		It("can be killed anywhere and run again, "+place+" "+asked, func() {
			whole := build()
			whole.container(1).up(loopback)
			Expect(whole.netset().Up(request(), firstPid)).To(Succeed())
			killed(func(w *world, nth int) {
				Expect(w.netset().Up(request(), firstPid)).To(Succeed(), "killed at call %d", nth)
				// What the killed run's link has in the rules waits for any down.
				Expect(w.netset().Down(netsetgo.NetworkConfig{ID: "nobody"}, 0)).To(Succeed())
				Expect(unnumbered(w)).To(Equal(unnumbered(whole)), "killed at call %d", nth)
				w.expectNothingOpen()
			})
		})

		It("can be killed anywhere and taken down, "+place+" "+asked, func() {
			before := build()
			before.container(1).up(loopback)
			killed(func(w *world, nth int) {
				Expect(w.netset().Down(request(), firstPid)).To(Succeed(), "killed at call %d", nth)
				Expect(withoutSenders(w)).To(Equal(withoutSenders(before)), "killed at call %d", nth)
				w.expectNothingOpen()
			})
		})

		It("can be killed anywhere, and the container ends, "+place+" "+asked, func() {
			before := build()
			before.end(before.container(1))
			killed(func(w *world, nth int) {
				w.end(w.container(1))
				gone := request()
				gone.ID = "gone" // without one, down waits whether somebody is just ending
				Expect(w.netset().Down(gone, 0)).To(Succeed(), "killed at call %d", nth)
				Expect(withoutSenders(w)).To(Equal(withoutSenders(before)), "killed at call %d", nth)
			})
		})

		if place == "by an older kernel" {
			return // a dry run takes all kernels for new ones
		}
		It("is shown by a dry run, "+place+" "+asked, func() {
			w := build()
			_, err := w.expectDryRun(upOf(request()))
			Expect(err).NotTo(HaveOccurred())
			_, err = w.expectDryRun(downOf(request()))
			Expect(err).NotTo(HaveOccurred())
		})
	})
})

var senders = regexp.MustCompile(`(?m)^   (senders[46]|targets6) .*\n`)

// withoutSenders is the world but for who may send, which stays until who has the address
// or the MAC next: none has stood for another.
func withoutSenders(w *world) string { return senders.ReplaceAllString(w.String(), "") }

// used are what a killed run uses up: indices, and numbers of host links.
var used = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^ ([0-9]+):`), regexp.MustCompile(`\bveth([0-9]+)\b`), regexp.MustCompile(`\bon link ([0-9]+)`),
	regexp.MustCompile(`\b(?:unchecked|locked|macs) \{ ([0-9]+)`), regexp.MustCompile(`\bnumber=([0-9]+)`),
}

// unnumbered is the world but for those.
func unnumbered(w *world) string {
	text := w.String()
	for _, each := range used {
		text = each.ReplaceAllStringFunc(text, func(match string) string {
			return strings.TrimRight(match, "0123456789:") + "N"
		})
	}
	return text
}
