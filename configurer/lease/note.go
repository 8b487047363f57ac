package lease

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// noteMark begins the note (ifalias) on a bridge of ours.
const noteMark = "netsetgo"

// Note is what a bridge of ours remembers: hints, which cost look-ups when they
// are lost or wrong, and never a lease. The zero value is that of a new bridge.
type Note struct {
	// Next is the address to be tried first, of the bridge's first family; the zero
	// Addr means the subnet's first. That of a second family follows from the first.
	Next netip.Addr
	// Number is that of the next host link.
	Number int
	// Policy is what the bridge's rules are like; "" where that isn't decided yet.
	Policy string
	// Was is what sysctls of other links were before netsetgo changed them. It isn't a
	// hint: it is written with the lock held alone, and copied by all who write a note.
	Was []Was
}

// Was is a sysctl as it was.
type Was struct {
	Link   int    // its index: names change
	Sysctl string // its last part, with the family's number where both have it
	Value  string
}

// ReadNote reads a bridge's note. An alias that somebody else wrote is not ok: it holds no
// hints, and gives way to what the bridge is like.
func ReadNote(alias string) (note Note, ok bool) {
	fields := strings.Fields(alias)
	if len(fields) == 0 {
		return Note{}, true
	}
	if fields[0] != noteMark {
		return Note{}, false
	}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "next":
			note.Next, _ = netip.ParseAddr(value)
		case "number":
			if number, err := strconv.Atoi(value); err == nil && number >= 0 && number <= MaxNumber {
				note.Number = number
			}
		case "policy":
			note.Policy = value
		case "was":
			note.Was = readWas(value)
		}
	}
	return note, true
}

// String is the note as it stands in the alias.
func (n Note) String() string {
	text := noteMark
	if n.Next.IsValid() {
		text += " next=" + n.Next.String()
	}
	text += " number=" + strconv.Itoa(n.Number)
	if n.Policy != "" {
		text += " policy=" + n.Policy
	}
	var all []string
	for _, was := range n.Was {
		all = append(all, fmt.Sprintf("%d/%s:%s", was.Link, was.Sysctl, was.Value))
	}
	if all != nil {
		text += " was=" + strings.Join(all, ",")
	}
	return text
}

func readWas(text string) []Was {
	var all []Was
	for part := range strings.SplitSeq(text, ",") {
		number, rest, _ := strings.Cut(part, "/")
		sysctl, value, ok := strings.Cut(rest, ":")
		if link, err := strconv.Atoi(number); err == nil && ok {
			all = append(all, Was{link, sysctl, value})
		}
	}
	return all
}

// MaxNote is how long a note may be: IFALIASZ less its NUL, linux/if.h.
const MaxNote = 255

// MaxNumber is the highest number of a host link: four digits, so that a prefix
// may have 11 of a name's 15 bytes.
const MaxNumber = 9999
