package main

import (
	"errors"
	"fmt"
	"net"
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
	pid             int
	netns           string
	output, log     string
	verbose, dryRun bool
	timeout         time.Duration

	bridgeName, bridgeAddress, containerAddress string
	vethNamePrefix, containerInterface, id, mac string
	mtu                                         int
	routes                                      []netsetgo.Route
	publish                                     []netsetgo.Publish
	defaultRoute                                netsetgo.Choice
	nat, allowInbound, isolated, spoofCheck     netsetgo.Choice

	// given are the names of the flags that were given, arguments the flags as they
	// could be given again.
	given     map[string]bool
	arguments []argument
}

// argument is a flag with its value.
type argument struct {
	def   flagDef
	value string
}

// check looks at the flags that aren't part of the NetworkConfig, and at empty
// ones, which a NetworkConfig takes for the default.
func (o *options) check() error {
	for _, argument := range o.arguments {
		if argument.value == "" {
			return fmt.Errorf("-%s is empty; %w", argument.def.name, errUsage)
		}
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s; %w", fmt.Sprintf(format, args...), errUsage)
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
	case o.output == outputJSON && o.dryRun:
		return fail("-dryRun prints commands, and has no result for -output json: use one of them")
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
		NAT: o.nat, AllowInbound: o.allowInbound, Isolated: o.isolated, SpoofCheck: o.spoofCheck, Publish: o.publish,
	}
	var err error
	if o.bridgeAddress != "" {
		if err := parseBridgeAddresses(o.bridgeAddress, &c); err != nil {
			return c, fmt.Errorf("-bridgeAddress %q %w; %w", o.bridgeAddress, err, errUsage)
		}
	}
	if o.containerAddress != "" {
		if err := parseContainerAddresses(o.containerAddress, &c); err != nil {
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

var errTwice = errors.New("names two addresses of one family")

// parseBridgeAddresses reads one address with its prefix, or one of each family.
func parseBridgeAddresses(text string, c *netsetgo.NetworkConfig) error {
	for part := range strings.SplitSeq(text, ",") {
		ip, subnet, err := net.ParseCIDR(part)
		if err != nil {
			return fmt.Errorf("isn't an address with its prefix, such as %s, or one of each family with a comma between", netsetgo.DefaultBridgeAddress)
		}
		address, network := &c.BridgeIP6, &c.Subnet6
		if ip.To4() != nil {
			address, network = &c.BridgeIP, &c.Subnet
		}
		if *address != nil {
			return errTwice
		}
		*address, *network = ip, subnet
	}
	return nil
}

// parseContainerAddresses reads them too; their prefixes may be left out.
func parseContainerAddresses(text string, c *netsetgo.NetworkConfig) error {
	defaults := c.WithDefaults()
	for part := range strings.SplitSeq(text, ",") {
		text, prefix, hasPrefix := strings.Cut(part, "/")
		ip := net.ParseIP(text)
		if ip == nil {
			return errors.New("isn't an address, such as 10.10.10.2, or one of each family with a comma between")
		}
		address, subnet := &c.ContainerIP6, defaults.Subnet6
		if ip.To4() != nil {
			address, subnet = &c.ContainerIP, defaults.Subnet
		}
		if *address != nil {
			return errTwice
		}
		*address = ip
		if subnet == nil {
			continue // which Validate tells
		}
		if bits, _ := subnet.Mask.Size(); hasPrefix && prefix != strconv.Itoa(bits) {
			return fmt.Errorf("hasn't the prefix of the bridge, /%d", bits)
		}
	}
	return nil
}
