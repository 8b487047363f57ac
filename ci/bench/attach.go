package main

import (
	"slices"
	"time"
)

// Why bars are missed.
const (
	whyFloor = `what any program in Go with these packages takes at least stands below the table of milliseconds: its start,
  and what the kernel does for the floor. What netsetgo takes beyond is what the floor leaves out: it looks whether the bridge is as
  asked for and all rules are in place, leases an address, locks the port, adds an element to nftables, writes down whose the
  attachment is, and waits for the carrier. Each of its messages has its reason in configurer/kernel/messages_test.go. A process that
  has done it before does all that in the time that the table of rules says; the rest is the first use of code and memory.`
	whyCNI   = "how near a program comes that does nothing stands below the table of milliseconds."
	whyFirst = "code and memory are used for the first time in each process, and the table of page faults says what they are of it."
)

// benchAttach compares what connects one container to a bridge that is there.
func benchAttach(o options, r *report) error {
	if err := sh("echo 1 >/proc/sys/net/ipv4/ip_forward"); err != nil { // as CNI makes it
		return err
	}
	var others []peer
	if !o.check {
		var err error
		if others, err = otherwise(o); err != nil {
			return err
		}
	}
	s, err := newStage(o, full, masq, peer{name: dualName, connect: byNetsetgo(dualFlags...)})
	if err != nil {
		return err
	}
	drawn := []peer{floor, plain, batch, byCNI, script, full, masq}
	peers := append(slices.Clip(drawn),
		dual,
		idle(emptyCName, o.tools+"/emptyC"),
		idle(emptyName, o.tools+"/empty"),
		idle(idleName, o.tools+"/idle"),
		idle(versionName, o.binary, "version"),
		peer{name: againName, connect: func(s *stage, _ string, n int) []invocation { return plain.connect(s, "c0", n) }},
		idle(downGoneName, o.binary, "down", "-id", "nobody"),
	)
	peers = append(peers, others...)
	all, err := s.measure(peers, o.runs)
	if err != nil {
		return err
	}
	r.printf("\nOne container to a bridge that is there, %d times each, by turns, the start of the process included:\nmilliseconds, median (and quartiles)\n", o.runs)
	medians := map[string]time.Duration{}
	for i, p := range peers {
		medians[p.name] = r.row(p.name, all[i].connect)
		if i < len(drawn) {
			r.Times = append(r.Times, named{p.name, milli(medians[p.name])})
		}
	}
	r.printf("And disconnected again\n")
	for i, p := range peers {
		if len(all[i].disconnect) > 0 {
			r.row(p.name, all[i].disconnect)
		}
	}
	ratio := func(a, b string) float64 { return float64(medians[a]) / float64(medians[b]) }
	least := medians[idleName] + medians[floorName] - medians[emptyCName]
	r.printf("What any Go program with these packages would take at least, its start and the kernel's part of the floor: %.2f ms, %.2f times the floor.\n",
		milli(least), float64(least)/float64(medians[floorName]))
	r.printf("The ratios of programs that do nothing:\n")
	for _, name := range []string{idleName, emptyName} {
		r.printf("  %-46s %.2f times the floor, %.2f times CNI, %.2f times CNI with masquerade\n",
			name, ratio(name, floorName), ratio(name, cniName), ratio(name, masqName))
	}
	if len(others) > 0 {
		r.printf("Built or run in other ways, of which one that took 0.97 times as long would be kept:\n")
	}
	for _, p := range others {
		r.printf("  %-46s %.2f times %s\n", p.name, ratio(p.name, plainName), plainName)
	}
	if err := s.faults(r, peers); err != nil {
		return err
	}
	before, err := initialisers(o.binary, r)
	if err != nil {
		return err
	}
	r.Bars = append(r.Bars,
		bar{What: "netsetgo -nat=false / the floor", Value: ratio(plainName, floorName), Most: 2, Limit: 5.5, Why: whyFloor},
		bar{What: "netsetgo -nat=false / CNI", Value: ratio(plainName, cniName), Most: 0.22, Limit: 0.55, Why: whyCNI},
		bar{What: "netsetgo / CNI with masquerade", Value: ratio(fullName, masqName), Most: 0.1, Limit: 0.23, Why: whyCNI},
		bar{What: "netsetgo -nat=false / nothing, with its packages", Value: ratio(plainName, idleName), Most: 2.5},
		bar{What: "a second netsetgo / nothing, with its packages", Value: ratio(againName, idleName), Most: 1.3, Limit: 1.9, Why: "it reads all that the first one made, by the same messages; " + whyFirst},
		bar{What: "netsetgo down where nothing is / nothing, with its packages", Value: ratio(downGoneName, idleName), Most: 1.3, Limit: 1.9, Why: "it looks at every bridge and set for what containers that are gone left; " + whyFirst},
		bar{What: "netsetgo version / nothing, with its packages", Value: ratio(versionName, idleName), Most: 1.15, Limit: 1.5, Why: "it reads flags and prints; " + whyFirst},
		bar{What: "nothing, with netsetgo's packages / nothing, in Go", Value: ratio(idleName, emptyName), Most: 1.4, Limit: 1.7},
		bar{What: "what packages do before main / nothing, in Go", Value: float64(before) / float64(medians[emptyName]), Most: 0.2},
	)
	return nil
}
