package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/netsetgo/netsetgo"
)

// The groups of flags, in the order of help.
const (
	groupTarget    = "target"
	groupAddresses = "addresses"
	groupLink      = "link"
	groupFirewall  = "firewall"
	groupOutput    = "output"
)

var groups = []string{groupTarget, groupAddresses, groupLink, groupFirewall, groupOutput}

// What is completed with more than words that are known here.
const (
	completeFile      = "file"
	completeNamespace = "namespace"
	completeBridge    = "bridge"
)

// flagDef is a flag: what is parsed, and what help, manual and completions say, come
// from here.
type flagDef struct {
	name  string
	value string // what stands for the value; "" for a switch
	group string
	// verbs look at the flag; others that take a target accept it too, so that one
	// line of flags serves all of them.
	verbs    []string
	fallback string // the default, as help has it; "" where there is none
	about    string
	// complete is what a shell completes the value with: all values there are, or one of
	// the words above; "" for nothing.
	complete string
	// into is where the value goes: its type says how it is read.
	into func(*options) any
}

var (
	connecting = []string{"up", "down", "check"}
	changing   = []string{"up", "down"}
	comparing  = []string{"up", "check"}
)

var flagTable = []flagDef{
	{"pid", "N", groupTarget, connecting, "", "a process in the container's network namespace", "", func(o *options) any { return &o.pid }},
	{"netns", "NAME|PATH", groupTarget, connecting, "", "the container's network namespace: a name of ip netns, or a path, which has a slash", completeNamespace, func(o *options) any { return &o.netns }},
	{"id", "ID", groupTarget, connecting, "that of the OCI state", "the container's id, by which down finds it without a namespace", "", func(o *options) any { return &o.id }},

	{"bridgeAddress", "ADDRESS/PREFIX[,...]", groupAddresses, comparing, netsetgo.DefaultBridgeAddress, "address of the bridge, the containers' gateway; one of each family, with a comma between", "", func(o *options) any { return &o.bridgeAddress }},
	{"containerAddress", "ADDRESS[,...]", groupAddresses, comparing, "the next free one of each of the bridge's subnets", "address of the container, of one or both families", "", func(o *options) any { return &o.containerAddress }},
	{"route", "DST[,via=GW][,metric=N]", groupAddresses, comparing, "none", "one more route of the container; may be repeated; without via, by way of the bridge", "", func(o *options) any { return &o.routes }},
	{"defaultRoute", "", groupAddresses, comparing, "true", "give the container a default route by way of the bridge", "", func(o *options) any { return &o.defaultRoute }},

	{"bridgeName", "NAME", groupLink, comparing, netsetgo.DefaultBridgeName, "the bridge, made where it is missing", completeBridge, func(o *options) any { return &o.bridgeName }},
	{"vethNamePrefix", "PREFIX", groupLink, connecting, netsetgo.DefaultVethNamePrefix, "begins the names of the pair: the host link is PREFIX0, or another number", "", func(o *options) any { return &o.vethNamePrefix }},
	{"containerInterface", "NAME", groupLink, connecting, "PREFIX1", "the interface in the container", "", func(o *options) any { return &o.containerInterface }},
	{"mtu", "BYTES", groupLink, comparing, "that of the host's default route", "MTU of both ends, and of a bridge that is made", "", func(o *options) any { return &o.mtu }},
	{"mac", "MAC", groupLink, comparing, "derived from the address", "MAC of the container's interface", "", func(o *options) any { return &o.mac }},

	{"nat", "", groupFirewall, comparing, "true", "let the bridge's containers reach others by the host's addresses", "", func(o *options) any { return &o.nat }},
	{"allowInbound", "", groupFirewall, comparing, "false", "let others open connections to the bridge's containers", "", func(o *options) any { return &o.allowInbound }},
	{"isolated", "", groupFirewall, comparing, "false", "keep the bridge's containers from each other", "", func(o *options) any { return &o.isolated }},
	{"spoofCheck", "", groupFirewall, comparing, "true", "let the container send from its own MAC and addresses only", "", func(o *options) any { return &o.spoofCheck }},
	{"publish", "[IP:]PORT[-LAST]:PORT[/PROTOCOL]", groupFirewall, comparing, "none", "let a port of the host lead to one of the container; may be repeated; PROTOCOL is tcp, udp or sctp", "", func(o *options) any { return &o.publish }},

	{"output", "text|json", groupOutput, []string{"up", "check", "list"}, outputText, "text or json; of up, text is nothing and json a CNI result 1.1.0", "text json", func(o *options) any { return &o.output }},
	{"v", "", groupOutput, changing, "", "print each change on standard error while it is made, as a command", "", func(o *options) any { return &o.verbose }},
	{"dryRun", "", groupOutput, changing, "", "change nothing; print the commands that would do the same", "", func(o *options) any { return &o.dryRun }},
	{"log", "FILE", groupOutput, connecting, "none", "add what happens to a file, as lines of JSON", completeFile, func(o *options) any { return &o.log }},
	{"timeout", "TIME", groupOutput, connecting, defaultTimeout.String(), "fail after this time, and undo what was done; a down that has begun to delete links goes on", "", func(o *options) any { return &o.timeout }},
}

// takes says whether a verb accepts a flag.
func (d flagDef) takes(verb string) bool {
	return slices.Contains(connecting, verb) || slices.Contains(d.verbs, verb)
}

// parse reads the flags of a verb, and prints its help where that is asked for. What
// it returns beside an error has at least the log.
func parse(verb verb, args []string, stdout io.Writer) (*options, error) {
	o := &options{output: outputText, timeout: defaultTimeout, given: map[string]bool{}}
	flags := flag.NewFlagSet("netsetgo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, def := range flagTable {
		if def.takes(verb.name) {
			o.define(flags, def)
		}
	}
	err := o.parse(flags, verb, args)
	if errors.Is(err, flag.ErrHelp) {
		err = cmp.Or(verb.help(stdout), err)
	}
	if err == nil {
		err = o.check()
	}
	if err != nil && o.log == "" {
		o.log = logOf(args) // a hook may have no other way to tell what is wrong with its flags
	}
	return o, err
}

func (o *options) parse(flags *flag.FlagSet, verb verb, args []string) error {
	if flag := unknownFlag(args, flags); flag != "" {
		return explain(flag, verb, flags)
	}
	if err := flags.Parse(args); err != nil && !errors.Is(err, flag.ErrHelp) {
		return fmt.Errorf("%w; %w", err, errUsage)
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: a verb comes first, and flags have a dash, as in -defaultRoute=false; %w", flags.Arg(0), errUsage)
	}
	return nil
}

// define adds a flag to those that are parsed.
func (o *options) define(flags *flag.FlagSet, def flagDef) {
	set := func(value string) error {
		o.given[def.name] = true
		o.arguments = append(o.arguments, argument{def, value})
		return read(value, def.into(o))
	}
	if def.value == "" {
		flags.BoolFunc(def.name, def.about, set)
		return
	}
	flags.Func(def.name, def.about, set)
}

// read reads a value into a field of options.
func read(value string, into any) (err error) {
	switch into := into.(type) {
	case *string:
		*into = value
	case *int:
		if *into, err = strconv.Atoi(value); err != nil {
			return errors.New("use a number")
		}
	case *bool:
		if *into, err = strconv.ParseBool(value); err != nil {
			return errors.New("use true or false")
		}
	case *netsetgo.Choice:
		yes, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("use true or false")
		}
		*into = netsetgo.No
		if yes {
			*into = netsetgo.Yes
		}
	case *time.Duration:
		if *into, err = time.ParseDuration(value); err != nil {
			return errors.New("use a time, such as 10s")
		}
	case *[]netsetgo.Route:
		route, err := parseRoute(value)
		if err != nil {
			return err
		}
		*into = append(*into, route)
	case *[]netsetgo.Publish:
		publish, err := parsePublish(value)
		if err != nil {
			return err
		}
		*into = append(*into, publish)
	}
	return nil
}

func parseRoute(text string) (netsetgo.Route, error) {
	fields := strings.Split(text, ",")
	destination, err := netip.ParsePrefix(fields[0])
	if err != nil {
		return netsetgo.Route{}, errors.New("the destination isn't a network, such as 192.168.0.0/16")
	}
	route := netsetgo.Route{Destination: destination}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "via":
			route.Gateway, err = netip.ParseAddr(value)
		case "metric":
			var metric uint64
			metric, err = strconv.ParseUint(value, 10, 32)
			route.Metric = int(metric)
		default:
			return route, fmt.Errorf("%q isn't known: use via=ADDRESS and metric=NUMBER", field)
		}
		if err != nil {
			return route, fmt.Errorf("%q isn't right: use via=ADDRESS and metric=NUMBER", field)
		}
	}
	return route, nil
}

// unknownFlag is the first flag that isn't known, as it was written, or "". It reads
// the arguments as package flag does, which doesn't tell.
func unknownFlag(args []string, flags *flag.FlagSet) string {
	for len(args) > 0 {
		arg := args[0]
		dashed, isFlag := strings.CutPrefix(arg, "-")
		name, _, hasValue := strings.Cut(strings.TrimPrefix(dashed, "-"), "=")
		if !isFlag || name == "" || name == "h" || name == "help" || name[0] == '-' {
			return ""
		}
		known := flags.Lookup(name)
		if known == nil {
			return arg
		}
		args = args[1:]
		if _, isSwitch := known.Value.(interface{ IsBoolFlag() bool }); !isSwitch && !hasValue && len(args) > 0 {
			args = args[1:]
		}
	}
	return ""
}

// explain names what is nearest to an unknown flag.
func explain(arg string, verb verb, flags *flag.FlagSet) error {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	hint := ";"
	if _, isVerb := findVerb(name); isVerb {
		hint = ": did you mean netsetgo " + name + "?"
	} else if near := nearest(name, names); near != "" {
		hint = ": did you mean -" + near + "?"
	}
	return fmt.Errorf("unknown flag %q of %s%s %w", arg, verb.name, hint, errUsage)
}

// logOf is the file that arguments name for a log, though they may not be understood.
func logOf(args []string) (path string) {
	for i, arg := range args {
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case name != "log" || !strings.HasPrefix(arg, "-"):
		case hasValue:
			path = value
		case i+1 < len(args):
			path = args[i+1]
		}
	}
	return path
}

// typos counts those that make one word of another; two letters swapped are one.
func typos(word, candidate string) int {
	least := levenshtein.ComputeDistance(word, candidate)
	for i := 1; i < len(word); i++ {
		swapped := word[:i-1] + word[i:i+1] + word[i-1:i] + word[i+1:]
		least = min(least, 1+levenshtein.ComputeDistance(swapped, candidate))
	}
	return least
}

// nearest is the known word that was probably meant, or "".
func nearest(word string, known []string) string {
	const longest = 32 // beyond, it is no misspelt word of ours
	if len(word) > longest {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, candidate := range known {
		distance := typos(strings.ToLower(word), strings.ToLower(candidate))
		if distance < min(least, len(word)) {
			best, least = candidate, distance
		}
	}
	return best
}
