package state

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kind is one more kind of thing that netlink lists, after links.
type kind struct {
	name    string
	request int
	family  int
	// header is how long what stands before the attributes is; index is where in it the
	// index of a link is, or -1.
	header, index int
	attributes    map[uint16]attribute
}

var kinds = []kind{
	{"address", unix.RTM_GETADDR, unix.AF_UNSPEC, unix.SizeofIfAddrmsg, 4, map[uint16]attribute{
		unix.IFA_CACHEINFO: nothing("times"), unix.IFA_LABEL: {name: "label", as: asText},
		unix.IFA_ADDRESS: {name: "address"}, unix.IFA_LOCAL: {name: "local"}, unix.IFA_BROADCAST: {name: "broadcast"}, unix.IFA_FLAGS: {name: "flags", as: asNumber},
	}},
	{"route", unix.RTM_GETROUTE, unix.AF_UNSPEC, unix.SizeofRtMsg, -1, map[uint16]attribute{
		unix.RTA_CACHEINFO: nothing("times"), unix.RTA_OIF: {name: "dev", as: asIndex}, unix.RTA_IIF: {name: "iif", as: asIndex},
		unix.RTA_DST: {name: "to"}, unix.RTA_GATEWAY: {name: "via"}, unix.RTA_PREFSRC: {name: "src"},
		unix.RTA_TABLE: {name: "table", as: asNumber}, unix.RTA_PRIORITY: {name: "metric", as: asNumber},
	}},
	{"rule", unix.RTM_GETRULE, unix.AF_UNSPEC, unix.SizeofRtMsg, -1, nil},
	{"forwarding entry", unix.RTM_GETNEIGH, unix.AF_BRIDGE, unix.SizeofNdMsg, 4, map[uint16]attribute{
		unix.NDA_CACHEINFO: nothing("times"), unix.NDA_PROBES: nothing("probes"),
		unix.NDA_MASTER: {name: "master", as: asIndex}, unix.NDA_LLADDR: {name: "mac"},
	}},
}

// readRest reads addresses, routes, rules and forwarding entries: each is one fact.
func readRest(state State) error {
	messages, err := dump(unix.RTM_GETLINK, nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize())
	if err != nil {
		return fmt.Errorf("reading links: %w", err)
	}
	names := linkNames(messages)
	for _, kind := range kinds {
		body := make([]byte, kind.header)
		body[0] = byte(kind.family)
		messages, err := dump(kind.request, body)
		if err != nil {
			return fmt.Errorf("reading each %s: %w", kind.name, err)
		}
		for _, message := range messages {
			if len(message) >= kind.header {
				state[kind.fact(message, names)] = ""
			}
		}
	}
	return nil
}

// fact tells a whole message: the header, then the attributes in order.
func (k kind) fact(message []byte, names links) string {
	header, link := slices.Clone(message[:k.header]), ""
	if k.index >= 0 {
		at := header[k.index : k.index+4]
		link = " dev " + names.name(nl.NativeEndian().Uint32(at))
		copy(at, make([]byte, 4))
	}
	of := State{}
	of.add("", message[k.header:], k.attributes, names)
	var words []string
	for name, value := range of {
		words = append(words, name+" "+readable(value))
	}
	slices.Sort(words)
	return k.name + link + strings.Join(words, "") + " header " + hex.EncodeToString(header)
}

// readable tells an address as such.
func readable(value string) string {
	raw, err := hex.DecodeString(value)
	if addr, ok := netip.AddrFromSlice(raw); err == nil && ok {
		return addr.String()
	}
	return cmp.Or(value, "there")
}

// dump lists what the kernel has of something, again where that changed meanwhile.
func dump(request int, body []byte) ([][]byte, error) {
	const tries = 100
	for range tries {
		req := nl.NewNetlinkRequest(request, unix.NLM_F_DUMP)
		req.AddRawData(body)
		messages, err := req.Execute(unix.NETLINK_ROUTE, 0)
		if !errors.Is(err, nl.ErrDumpInterrupted) {
			return messages, err
		}
	}
	return nil, nl.ErrDumpInterrupted
}

// ruleset is the text of nftables of one namespace, and of which generation it is.
type ruleset struct {
	generation string
	text       string
}

// counters count by themselves.
var counters = regexp.MustCompile(`counter packets \d+ bytes \d+`)

// read runs nft only where the generation isn't that of the text, since it takes longer
// than all else.
func (r *ruleset) read(state State) error {
	const getGeneration = 16 // NFT_MSG_GETGEN, linux/netfilter/nf_tables.h
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|getGeneration, 0)
	request.AddData(&nl.Nfgenmsg{})
	messages, err := request.Execute(unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a kernel without nftables
	}
	if err != nil || len(messages) == 0 {
		return fmt.Errorf("reading the generation of nftables: %w", cmp.Or(err, errors.New("no answer")))
	}
	if generation := hex.EncodeToString(messages[0][:12]); generation != r.generation {
		out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
		if err != nil {
			return fmt.Errorf("nft list ruleset: %w: %s", err, out)
		}
		*r = ruleset{generation, counters.ReplaceAllString(string(out), "counter")}
	}
	addRuleset(state, r.text)
	return nil
}

// addRuleset makes a fact of each line, and of each element, under the blocks around it.
func addRuleset(state State, text string) {
	var blocks []string
	elements, number := false, 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		list, begins := strings.CutPrefix(line, "elements = {")
		elements = elements || begins
		fact := "nft " + strings.Join(blocks, " ") + ": "
		switch {
		case line == "":
		case elements:
			for element := range strings.SplitSeq(strings.TrimSuffix(list, "}"), ",") {
				if element = strings.TrimSpace(element); element != "" {
					state[fact+"element "+element] = ""
				}
			}
			elements = !strings.HasSuffix(line, "}")
		case line == "}":
			blocks = blocks[:max(0, len(blocks)-1)]
		case strings.HasSuffix(line, " {"):
			blocks, number = append(blocks, strings.TrimSuffix(line, " {")), 0
			state["nft "+strings.Join(blocks, " ")] = ""
		case len(blocks) > 0 && strings.HasPrefix(blocks[len(blocks)-1], "chain "): // of which the order counts
			number++
			state[fact+"line "+strconv.Itoa(number)] = line
		default:
			state[fact+line] = ""
		}
	}
}

func has(state State, fact string) bool { _, ok := state[fact]; return ok }

// sysctls are those of the namespace of who looks.
const sysctls = "/proc/sys/net"

// A counter among them.
const counts = "netfilter/nf_conntrack_count"

// readSysctls reads each that can be read.
func readSysctls(state State) error {
	before := len(state)
	readFolder(state, sysctls, make([]byte, 1<<16-1))
	if len(state) == before {
		return errors.New("reading sysctls: there are none")
	}
	return nil
}

// readFolder makes no os.File of each, of which there are more than a thousand: to read a state
// takes more than half as long again so. What can't be read can only be written to, has no value
// yet, or is of a link that is just going.
func readFolder(state State, path string, buffer []byte) {
	entries, _ := os.ReadDir(path)
	folder, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(folder) }()
	for _, entry := range entries {
		name := path + "/" + entry.Name()
		if entry.IsDir() {
			readFolder(state, name, buffer)
			continue
		}
		value, err := readSysctl(folder, entry.Name(), buffer)
		if err == nil && !strings.HasSuffix(name, counts) {
			state["sysctl "+strings.TrimPrefix(name, "/proc/sys/")] = strings.TrimSpace(value)
		}
	}
}

// readSysctl asks for no more than nearly all of them have: the kernel clears as much memory
// (proc_sys_call_handler, fs/proc/proc_sysctl.c). What is longer is read again, as a second
// part of it would be nothing.
func readSysctl(folder int, name string, buffer []byte) (string, error) {
	const enough = 255
	for size := enough; ; size = len(buffer) {
		fd, err := unix.Openat(folder, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", err
		}
		n, err := unix.Read(fd, buffer[:size])
		_ = unix.Close(fd)
		if err != nil || n < size || size == len(buffer) {
			return string(buffer[:max(n, 0)]), err
		}
	}
}
