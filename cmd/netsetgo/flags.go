package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/netsetgo/netsetgo"
)

const (
	outputText = "text"
	outputJSON = "json"

	// maxPid is the kernel's PID_MAX_LIMIT, linux/threads.h.
	maxPid = 4 << 20
	// defaultTimeout is long: only a lock or a dying container is ever waited for.
	defaultTimeout = 10 * time.Second
)

// options are the flags as they were given: "", 0 and Default where they weren't.
type options struct {
	pid     int
	netns   string
	output  string
	timeout time.Duration

	bridgeName, bridgeAddress, containerAddress string
	vethNamePrefix, containerInterface, id, mac string
	mtu                                         int
	routes                                      []netsetgo.Route
	defaultRoute                                netsetgo.Choice

	given map[string]bool
}

const synopsis = `usage: netsetgo [up] [flags]    connect a container
       netsetgo down [flags]    disconnect it
       netsetgo version

Without -pid and -netns, the container is the one whose OCI state a runtime
writes to standard input: netsetgo is a hook for prestart, createRuntime and
poststop, and up or down follows from the state.

flags:
`

func usage(w io.Writer) {
	_, flags := newFlags()
	flags.SetOutput(w)
	_, _ = io.WriteString(w, synopsis)
	flags.PrintDefaults()
}

func newFlags() (*options, *flag.FlagSet) {
	o := &options{given: map[string]bool{}}
	flags := flag.NewFlagSet("netsetgo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&o.pid, "pid", 0, "a `process` in the container's network namespace")
	flags.StringVar(&o.netns, "netns", "", "the container's network namespace: a `name` of ip netns, or a path")
	flags.StringVar(&o.bridgeName, "bridgeName", "", "`name` of the bridge, made where it is missing (default brg0)")
	flags.StringVar(&o.bridgeAddress, "bridgeAddress", "", "`address` of the bridge, with its prefix (default 10.10.10.1/24)")
	flags.StringVar(&o.containerAddress, "containerAddress", "", "`address` of the container (default the next free one of the bridge's subnet)")
	flags.StringVar(&o.vethNamePrefix, "vethNamePrefix", "", "`prefix` of the names of the pair: the host end is <prefix>0, or another number (default veth)")
	flags.StringVar(&o.containerInterface, "containerInterface", "", "`name` of the interface in the container (default <vethNamePrefix>1)")
	flags.StringVar(&o.id, "id", "", "the container's `id`, by which down finds it without a namespace (default that of the OCI state)")
	flags.IntVar(&o.mtu, "mtu", 0, "MTU in `bytes` (default that of the host's default route)")
	flags.StringVar(&o.mac, "mac", "", "`MAC` of the container's interface (default derived from its address)")
	flags.Func("route", "one more `DST[,via=GW][,metric=N]`; may be repeated (via: default the bridge)", o.addRoute)
	flags.BoolFunc("defaultRoute", "give the container a default route by way of the bridge (default true)", o.setDefaultRoute)
	flags.StringVar(&o.output, "output", outputText, "`form` of the result: text, which prints nothing, or json, a CNI result")
	flags.DurationVar(&o.timeout, "timeout", defaultTimeout, "undo and fail after this `time`")
	return o, flags
}

// parse reads the flags of up and down, which are the same: one line of a
// runtime's configuration serves both.
func parse(args []string, stdout io.Writer) (*options, error) {
	o, flags := newFlags()
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		usage(stdout)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w; %w", err, errUsage)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: a verb comes first, and flags have a dash, as in -defaultRoute=false; %w", flags.Arg(0), errUsage)
	}
	flags.Visit(func(f *flag.Flag) { o.given[f.Name] = true })
	return o, o.check()
}

// check looks at the flags that aren't part of the NetworkConfig, and at empty
// ones, which a NetworkConfig takes for the default.
func (o *options) check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s; %w", fmt.Sprintf(format, args...), errUsage)
	}
	for name, value := range map[string]string{
		"netns": o.netns, "bridgeName": o.bridgeName, "bridgeAddress": o.bridgeAddress,
		"containerAddress": o.containerAddress, "vethNamePrefix": o.vethNamePrefix,
		"containerInterface": o.containerInterface, "id": o.id, "mac": o.mac,
	} {
		if o.given[name] && value == "" {
			return fail("-%s is empty", name)
		}
	}
	switch {
	case o.given["pid"] && o.given["netns"]:
		return fail("-pid and -netns name the same thing twice: use one of them")
	case o.given["pid"] && (o.pid < 1 || o.pid > maxPid):
		return fail("-pid %d: a pid is between 1 and %d", o.pid, maxPid)
	case strings.ContainsRune(o.netns, 0) || o.netns == "." || o.netns == "..":
		return fail("-netns %q is neither a name nor a path", o.netns)
	case o.output != outputText && o.output != outputJSON:
		return fail("-output %q: use text or json", o.output)
	case o.timeout <= 0:
		return fail("-timeout %s: use a time above 0, such as 10s", o.timeout)
	}
	return nil
}

func (o *options) hasTarget() bool { return o.given["pid"] || o.given["netns"] }

// config turns the flags into a NetworkConfig. What it finds wrong is of their
// form; the rest is left to Validate.
func (o *options) config() (netsetgo.NetworkConfig, error) {
	c := netsetgo.NetworkConfig{
		BridgeName: o.bridgeName, VethNamePrefix: o.vethNamePrefix,
		ContainerInterface: o.containerInterface, ID: o.id, MTU: o.mtu,
		Routes: o.routes, DefaultRoute: o.defaultRoute,
	}
	var err error
	if o.bridgeAddress != "" {
		if c.BridgeIP, c.Subnet, err = net.ParseCIDR(o.bridgeAddress); err != nil {
			return c, fmt.Errorf("-bridgeAddress %q isn't an address with its prefix, such as %s; %w",
				o.bridgeAddress, netsetgo.DefaultBridgeAddress, errUsage)
		}
	}
	if o.containerAddress != "" {
		if c.ContainerIP, err = parseContainerAddress(o.containerAddress, c.WithDefaults().Subnet); err != nil {
			return c, fmt.Errorf("-containerAddress %q %w; %w", o.containerAddress, err, errUsage)
		}
	}
	if o.mac != "" {
		if c.MAC, err = net.ParseMAC(o.mac); err != nil {
			return c, fmt.Errorf("-mac %q isn't six bytes, such as 02:00:00:00:00:01; %w", o.mac, errUsage)
		}
	}
	return c, nil
}

func parseContainerAddress(text string, subnet *net.IPNet) (net.IP, error) {
	address, prefix, hasPrefix := strings.Cut(text, "/")
	ip := net.ParseIP(address)
	if ip == nil {
		return nil, errors.New("isn't an address, such as 10.10.10.2")
	}
	bits, _ := subnet.Mask.Size()
	if hasPrefix && prefix != strconv.Itoa(bits) {
		return nil, fmt.Errorf("hasn't the prefix of the bridge, /%d", bits)
	}
	return ip, nil
}

func (o *options) addRoute(text string) error {
	fields := strings.Split(text, ",")
	destination, err := netip.ParsePrefix(fields[0])
	if err != nil {
		return errors.New("the destination isn't a network, such as 192.168.0.0/16")
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
			return fmt.Errorf("%q isn't known: use via=ADDRESS and metric=NUMBER", field)
		}
		if err != nil {
			return fmt.Errorf("%q isn't right: use via=ADDRESS and metric=NUMBER", field)
		}
	}
	o.routes = append(o.routes, route)
	return nil
}

func (o *options) setDefaultRoute(text string) error {
	yes, err := strconv.ParseBool(text)
	if err != nil {
		return errors.New("use true or false")
	}
	o.defaultRoute = netsetgo.No
	if yes {
		o.defaultRoute = netsetgo.Yes
	}
	return nil
}
