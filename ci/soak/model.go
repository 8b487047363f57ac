package main

// attachment is one that a container may have; the zero value is none.
type attachment struct {
	wish
	// complete says that an up came to its end. What a killed one left isn't.
	complete bool
	// off says that its bridge was deleted.
	off bool
	// doubtful says that a down was killed which may have begun with the rules.
	doubtful bool
}

// What the rules are like.
const (
	whole = iota
	gone
	unsure // a run was killed that may have been putting them up
)

// world is what may be true. Of what a killed run did nobody can be sure, nor in which order
// things came that went on at once: so there are several, until a look at what is there
// leaves those alone that fit.
type world struct {
	at    [containers]attachment
	alive [containers]bool
	rules int
}

// killed is the exit status of a run that a signal ended.
const killed = -1

// outcome is an operation that has ended.
type outcome struct {
	operation
	code int
	// disturbed says that something went on meanwhile that may make it fail.
	disturbed bool
}

// explain returns the worlds that the outcomes of a step may have made of some, in whatever
// order these came: none where no order explains them.
func explain(worlds map[world]bool, outcomes []outcome) map[world]bool {
	type point struct {
		world
		done int // a bit for each outcome
	}
	seen, ends := map[point]bool{}, map[world]bool{}
	var walk func(at point)
	walk = func(at point) {
		if seen[at] {
			return
		}
		seen[at] = true
		if at.done == 1<<len(outcomes)-1 {
			ends[at.world] = true
			return
		}
		for i, o := range outcomes {
			if at.done&(1<<i) != 0 {
				continue
			}
			for _, next := range at.after(o) {
				walk(point{next, at.done | 1<<i})
			}
		}
	}
	for w := range worlds {
		walk(point{w, 0})
	}
	return ends
}

// after are the worlds that an outcome may make of one: none where it can't come out so.
func (w world) after(o outcome) []world {
	without := w.with(o.container, attachment{})
	now := w.at[o.container]
	switch o.what {
	case up:
		return w.afterUp(o)
	case down:
		return w.afterDown(o)
	case check:
		// What it says is compared where nothing goes on.
		return only(o.code == 0 || o.code == 3 || o.code == 1 && (o.disturbed || !w.alive[o.container]), w)
	case end:
		without.alive[o.container] = false
		return []world{without}
	case flush:
		w.rules = gone
		return only(o.code == 0, w)
	case deleteBridge:
		for c := range w.at {
			if w.at[c].bridge == o.wish.bridge {
				if o.code != 0 && !w.at[c].off {
					return nil // there was no such bridge
				}
				w.at[c].off = true
			}
		}
		return []world{w}
	}
	// Of what isn't complete, nothing has the name by which it is deleted.
	if now.complete {
		return only(o.code == 0, without)
	}
	return only(o.code != 0, w)
}

func only(is bool, worlds ...world) []world {
	if is {
		return worlds
	}
	return nil
}

func (w world) with(container int, a attachment) world {
	w.at[container] = a
	return w
}

// ruled are some worlds, with what an up leaves of the rules that didn't say that it is done.
func ruled(worlds ...world) []world {
	all := worlds
	for _, w := range worlds {
		if w.rules != whole {
			for w.rules = range unsure + 1 {
				all = append(all, w)
			}
		}
	}
	return all
}

func (w world) afterUp(o outcome) []world {
	c := o.container
	if o.fresh {
		if w.alive[c] {
			return nil // the one before ends first
		}
		w.alive[c] = true
	}
	now := w.at[c]
	cleared, done := w.with(c, attachment{}), w
	done.rules = whole // whoever comes mends them for all
	done.at[c] = attachment{wish: o.wish, complete: true}
	gaveUp := o.code == 1 && (o.disturbed || o.hurried != 0)
	switch {
	case !w.alive[c]:
		return only(o.code == 1 || o.code == killed, w)
	case now.complete && o.wish.differs(now):
		return only(o.code == 1 || o.code == killed, w)
	case now.complete:
		done.at[c] = attachment{wish: now.wish, complete: true}
		if o.code == killed || gaveUp {
			return ruled(w, done)
		}
		return only(o.code == 0, done)
	case o.code == killed:
		begun := w.with(c, attachment{wish: o.wish})
		if certain, _ := w.taken(o); certain {
			return ruled(w, cleared, begun)
		}
		return ruled(w, cleared, begun, done)
	case gaveUp:
		return ruled(w, cleared)
	}
	certain, perhaps := w.taken(o)
	if o.code == 1 {
		return only(certain || perhaps, ruled(cleared)...)
	}
	return only(o.code == 0 && !certain, done)
}

// differs says whether a wish isn't what an attachment is. What isn't asked for counts not.
func (w wish) differs(a attachment) bool {
	return a.off || w.bridge != a.bridge || w.id && !a.id || w.port != 0 && w.port != a.port
}

// taken says whether another has the port that is asked for. What a killed run left may have
// come to that or not.
func (w world) taken(o outcome) (certain, perhaps bool) {
	for c, other := range w.at {
		if c == o.container || o.wish.port == 0 || other.port != o.wish.port {
			continue
		}
		certain, perhaps = certain || other.complete, true
	}
	return certain, perhaps
}

func (w world) afterDown(o outcome) []world {
	now, without, doubtful := w.at[o.container], w.with(o.container, attachment{}), w
	if o.byID && !now.id {
		return only(o.code == 0 || o.code == killed, w)
	}
	doubtful.at[o.container].doubtful = now.complete
	switch {
	case o.code == killed:
		return []world{w, doubtful, without}
	case o.byID && !now.complete: // the id's name is the last but one
		return only(o.code == 0, w, without)
	}
	return only(o.code == 0, without)
}
