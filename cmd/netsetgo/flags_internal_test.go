package main

import (
	"bytes"
	"flag"
	"net"
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

// parsed are the options of a command line that is right in itself.
func parsed(args ...string) *options {
	GinkgoHelper()
	options, err := parse(verbs[0], args, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	return options
}

// configured is the configuration of a command line.
func configured(args ...string) (netsetgo.NetworkConfig, error) {
	GinkgoHelper()
	return parsed(args...).config()
}

func cidr(text string) (net.IP, *net.IPNet) {
	GinkgoHelper()
	ip, subnet, err := net.ParseCIDR(text)
	Expect(err).NotTo(HaveOccurred())
	return ip, subnet
}

var _ = Describe("the flags", Label("unit"), func() {
	It("ask for nothing when none is given", func() {
		Expect(configured()).To(Equal(netsetgo.NetworkConfig{}))
		options := parsed()
		Expect(options.hasTarget()).To(BeFalse())
		Expect(options.output).To(Equal("text"))
		Expect(options.timeout).To(Equal(10 * time.Second))
	})

	DescribeTable("ask for one thing each", func(expected func() netsetgo.NetworkConfig, args ...string) {
		config, err := configured(args...)
		Expect(err).NotTo(HaveOccurred())
		Expect(config).To(Equal(expected()))
	},
		Entry("-bridgeName", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{BridgeName: "tower"} }, "-bridgeName", "tower"),
		Entry("-bridgeAddress", func() netsetgo.NetworkConfig {
			ip, subnet := cidr("10.0.0.1/16")
			return netsetgo.NetworkConfig{BridgeIP: ip, Subnet: subnet}
		}, "-bridgeAddress", "10.0.0.1/16"),
		Entry("-containerAddress", func() netsetgo.NetworkConfig {
			return netsetgo.NetworkConfig{ContainerIP: net.ParseIP("10.10.10.7")}
		}, "-containerAddress", "10.10.10.7"),
		Entry("-vethNamePrefix", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{VethNamePrefix: "v"} }, "-vethNamePrefix", "v"),
		Entry("-containerInterface", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{ContainerInterface: "eth0"} }, "-containerInterface", "eth0"),
		Entry("-id", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{ID: "web:1"} }, "-id", "web:1"),
		Entry("-mtu", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{MTU: 1400} }, "-mtu", "1400"),
		Entry("-mac", func() netsetgo.NetworkConfig {
			return netsetgo.NetworkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
		}, "-mac", "02:00:00:00:00:01"),
		Entry("-defaultRoute", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{DefaultRoute: netsetgo.Yes} }, "-defaultRoute"),
		Entry("-defaultRoute=true", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{DefaultRoute: netsetgo.Yes} }, "-defaultRoute=true"),
		Entry("-defaultRoute=false", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{DefaultRoute: netsetgo.No} }, "-defaultRoute=false"),
		Entry("-mtu 0, the default", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{} }, "-mtu", "0"),
		Entry("-pid, no part of it", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{} }, "-pid", "42"),
	)

	It("may have two dashes and an equals sign, as the first version's", func() {
		config, err := configured("--bridgeName=tower", "--bridgeAddress=10.10.10.1/24", "--vethNamePrefix=veth",
			"--containerAddress=10.10.10.2/24", "--pid=42")
		Expect(err).NotTo(HaveOccurred())
		ip, subnet := cidr("10.10.10.1/24")
		Expect(config).To(Equal(netsetgo.NetworkConfig{
			BridgeName: "tower", BridgeIP: ip, Subnet: subnet, ContainerIP: net.ParseIP("10.10.10.2"), VethNamePrefix: "veth",
		}))
	})

	DescribeTable("name a target", func(pid int, netns string, args ...string) {
		options := parsed(args...)
		Expect(options.hasTarget()).To(BeTrue())
		Expect(options.pid).To(Equal(pid))
		Expect(options.netns).To(Equal(netns))
	},
		Entry("by pid", 1, "", "-pid", "1"),
		Entry("by the highest pid", 4194304, "", "-pid", "4194304"),
		Entry("by name", 0, "blue", "-netns", "blue"),
		Entry("by path", 0, "/run/x/../ns", "-netns", "/run/x/../ns"),
	)

	DescribeTable("give the container's address with the bridge's prefix, or none", func(args ...string) {
		config, err := configured(args...)
		Expect(err).NotTo(HaveOccurred())
		Expect(config.ContainerIP.String()).To(MatchRegexp(`^10\.`))
	},
		Entry("of the default", "-containerAddress", "10.10.10.2/24"),
		Entry("of one that is given", "-containerAddress", "10.0.7.2/16", "-bridgeAddress", "10.0.0.1/16"),
		Entry("without", "-containerAddress", "10.0.7.2", "-bridgeAddress", "10.0.0.1/16"),
	)

	DescribeTable("add routes", func(text string, expected netsetgo.Route) {
		Expect(parsed("-route", text).routes).To(Equal([]netsetgo.Route{expected}))
	},
		Entry("alone", "192.168.0.0/16", netsetgo.Route{Destination: netip.MustParsePrefix("192.168.0.0/16")}),
		Entry("with a gateway", "192.168.0.0/16,via=10.10.10.9", netsetgo.Route{
			Destination: netip.MustParsePrefix("192.168.0.0/16"), Gateway: netip.MustParseAddr("10.10.10.9"),
		}),
		Entry("with a metric", "0.0.0.0/0,metric=4294967295", netsetgo.Route{
			Destination: netip.MustParsePrefix("0.0.0.0/0"), Metric: 4294967295,
		}),
		Entry("with both, in any order", "192.168.0.0/16,metric=7,via=10.10.10.9", netsetgo.Route{
			Destination: netip.MustParsePrefix("192.168.0.0/16"), Gateway: netip.MustParseAddr("10.10.10.9"), Metric: 7,
		}),
	)

	It("may give several routes, in their order", func() {
		routes := parsed("-route", "192.168.0.0/16", "-route=172.16.0.0/12").routes
		Expect(routes).To(HaveLen(2))
		Expect(routes[1].Destination).To(Equal(netip.MustParsePrefix("172.16.0.0/12")))
	})

	DescribeTable("are refused", func(text string, args ...string) {
		options, err := parse(verbs[0], args, GinkgoWriter)
		if err == nil {
			_, err = options.config()
		}
		Expect(err).To(MatchError(errUsage))
		Expect(err).To(MatchError(ContainSubstring(text)))
	},
		Entry("unknown", "-nope", "-nope"),
		Entry("with an argument left over", `unexpected argument "down"`, "-pid", "7", "down"),
		Entry("with an argument that a flag took not", `unexpected argument "false"`, "-defaultRoute", "false"),
		Entry("after two dashes", `unexpected argument "-pid"`, "--", "-pid"),
		Entry("without their value", "-pid", "-pid"),
		Entry("pid 0", "-pid 0", "-pid", "0"),
		Entry("pid below 0", "-pid -5", "-pid", "-5"),
		Entry("pid too high", "-pid 4194305", "-pid", "4194305"),
		Entry("pid huge", "-pid", "-pid", "99999999999999999999"),
		Entry("pid not a number", "-pid", "-pid", "self"),
		Entry("pid empty", "-pid", "-pid", ""),
		Entry("both targets", "-pid and -netns", "-pid", "7", "-netns", "blue"),
		Entry("netns here", "-netns", "-netns", "."),
		Entry("netns above", "-netns", "-netns", ".."),
		Entry("netns with a NUL", `"a\x00b"`, "-netns", "a\x00b"),
		Entry("output unknown", `-output "yaml"`, "-output", "yaml"),
		Entry("output empty", "-output is empty", "-output", ""),
		Entry("timeout 0", "-timeout 0s", "-timeout", "0"),
		Entry("timeout below 0", "-timeout -1s", "-timeout", "-1s"),
		Entry("timeout without a unit", "-timeout", "-timeout", "10"),
		Entry("mtu not a number", "-mtu", "-mtu", "big"),
		Entry("defaultRoute neither", "use true or false", "-defaultRoute=maybe"),
		Entry("bridgeAddress without prefix", `-bridgeAddress "10.0.0.1"`, "-bridgeAddress", "10.0.0.1"),
		Entry("bridgeAddress not an address", `-bridgeAddress "tower/24"`, "-bridgeAddress", "tower/24"),
		Entry("bridgeAddress with two of one family", "two addresses of one family", "-bridgeAddress", "10.0.0.1/24,10.0.1.1/24"),
		Entry("containerAddress not an address", `-containerAddress "10.10.10"`, "-containerAddress", "10.10.10"),
		Entry("containerAddress with another prefix", "prefix of the bridge, /24", "-containerAddress", "10.10.10.2/16"),
		Entry("containerAddress with an empty prefix", "prefix of the bridge, /24", "-containerAddress", "10.10.10.2/"),
		Entry("containerAddress with a prefix that isn't a number", "prefix of the bridge, /24", "-containerAddress", "10.10.10.2/x"),
		Entry("containerAddress with another prefix than -bridgeAddress", "prefix of the bridge, /16", "-containerAddress", "10.0.0.2/24", "-bridgeAddress", "10.0.0.1/16"),
		Entry("mac not one", `-mac "02:00"`, "-mac", "02:00"),
		Entry("route not a network", "isn't a network", "-route", "192.168.0.0"),
		Entry("route empty", "isn't a network", "-route", ""),
		Entry("route with a gateway that isn't an address", `"via=tower"`, "-route", "192.168.0.0/16,via=tower"),
		Entry("route with an empty gateway", `"via="`, "-route", "192.168.0.0/16,via="),
		Entry("route with a metric below 0", `"metric=-1"`, "-route", "192.168.0.0/16,metric=-1"),
		Entry("route with a metric too high", `"metric=4294967296"`, "-route", "192.168.0.0/16,metric=4294967296"),
		Entry("route with something unknown", `"dev=eth0"`, "-route", "192.168.0.0/16,dev=eth0"),
		Entry("route with an end missing", `""`, "-route", "192.168.0.0/16,"),
	)

	DescribeTable("are refused when they are empty", func(name string) {
		_, err := parse(verbs[0], []string{"-" + name, ""}, GinkgoWriter)
		Expect(err).To(MatchError(errUsage))
		Expect(err).To(MatchError(ContainSubstring("-" + name + " is empty")))
	},
		Entry(nil, "netns"), Entry(nil, "bridgeName"), Entry(nil, "bridgeAddress"), Entry(nil, "containerAddress"),
		Entry(nil, "vethNamePrefix"), Entry(nil, "containerInterface"), Entry(nil, "id"), Entry(nil, "mac"),
	)

	DescribeTable("are explained on demand", func(help string) {
		var out bytes.Buffer
		_, err := parse(verbs[0], []string{help}, &out)
		Expect(err).To(MatchError(flag.ErrHelp))
		for _, def := range flagTable {
			Expect(out.String()).To(ContainSubstring("  " + def.synopsis() + "\n"))
		}
		Expect(strings.Split(out.String(), "\n")[0]).To(HavePrefix("usage: netsetgo [up] [flags]"))
	},
		Entry(nil, "-h"), Entry(nil, "-help"), Entry(nil, "--help"),
	)
})

var _ = Describe("what isn't known", Label("unit"), func() {
	DescribeTable("is answered by what was probably meant", func(meant string, args ...string) {
		end := finish("", args...)
		Expect(end.code).To(Equal(2))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(MatchRegexp(`\Anetsetgo: unknown [^\n]+\n\z`))
		Expect(end.stderr).To(ContainSubstring(": did you mean " + meant + "? see netsetgo -h\n"))
	},
		Entry("a verb with two letters swapped", "check", "chekc"),
		Entry("a verb with a letter missing", "list", "lst"),
		Entry("a verb with a letter too many", "down", "downn", "-netns", nowhere),
		Entry("a verb with a wrong letter", "version", "versoon"),
		Entry("a verb in capitals", "up", "UP"),
		Entry("a verb cut off", "completions", "completion"),
		Entry("a flag with two letters swapped", "-bridgeName", "-brigdeName", "y"),
		Entry("a flag with two dashes and two letters swapped", "-netns", "--nents", "y"),
		Entry("a flag with a letter missing", "-vethNamePrefix", "-vethNamePrefx", "y"),
		Entry("a flag in small letters", "-dryRun", "-dryrun"),
		Entry("a flag in small letters, with its value", "-containerInterface", "-containerinterface=eth0"),
		Entry("a flag in capitals", "-mtu", "-MTU", "1400"),
		Entry("a flag as other tools call it", "-defaultRoute", "-default-route"),
		Entry("a flag behind others with values", "-bridgeName", "-pid=7", "-route", "192.168.0.0/16", "-brigdename", "y"),
		Entry("a flag behind a value that looks like one", "-timeout", "-id", "-web", "-timout", "1s"),
		Entry("a flag before others", "-timeout", "-timout", "1s", "-pid", "7"),
		Entry("a short flag with two letters swapped", "-mtu", "-mut", "1400"),
		Entry("a verb as other tools have it", "netsetgo version", "--version"),
		Entry("a flag of another verb", "-output", "list", "-outptu", "json"),
	)

	DescribeTable("and isn't like anything is answered by that alone", func(text string, args ...string) {
		end := finish("", args...)
		Expect(end.code).To(Equal(2))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(Equal("netsetgo: " + text + "; see netsetgo -h\n"))
	},
		Entry("a verb", `unknown verb "disconnect": use one of up, down, check, list, version, completions, man`, "disconnect", "-pid", "7"),
		Entry("a short verb", `unknown verb "ls": use one of up, down, check, list, version, completions, man`, "ls"),
		Entry("a flag", `unknown flag "-verbose" of up`, "-verbose"),
		Entry("a short flag", `unknown flag "-x" of up`, "-x"),
		Entry("a flag behind others with values", `unknown flag "-nope" of up`, "-pid", "7", "-nope"),
		Entry("a flag with a value", `unknown flag "--hostname=-pid" of down`, "down", "-pid=7", "--hostname=-pid"),
		Entry("a flag of a verb that takes none", `unknown flag "-timeout" of version`, "version", "-timeout", "1s"),
		Entry("a flag that another verb has", `unknown flag "-bridgeName" of list`, "list", "-bridgeName", "brg0"),
	)

	It("isn't compared for hours, however long it is", func() {
		done := make(chan string, 1)
		go func() { done <- nearest(strings.Repeat("a", 1<<20), verbNames()) }()
		Eventually(done).WithTimeout(20 * time.Second).Should(Receive(BeEmpty()))
	})

	It("is only sought among the flags that the verb takes", func() {
		end := finish("", "list", "-brigdeName", "brg0")
		Expect(end.code).To(Equal(2))
		Expect(end.stderr).NotTo(ContainSubstring("did you mean"))
	})

	DescribeTable("of a value is answered by what to write", func(text string, args ...string) {
		end := finish("", args...)
		Expect(end.code).To(Equal(2))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(Equal("netsetgo: " + text + "; see netsetgo -h\n"))
	},
		Entry("a number", `invalid value "x" for flag -pid: use a number`, "-pid", "x"),
		Entry("a number that is none yet", `invalid value "" for flag -mtu: use a number`, "-mtu="),
		Entry("a time", `invalid value "x" for flag -timeout: use a time, such as 10s`, "-timeout", "x"),
		Entry("a time of down", `invalid value "10" for flag -timeout: use a time, such as 10s`, "down", "-timeout", "10"),
		Entry("a choice", `invalid boolean value "maybe" for -defaultRoute: use true or false`, "-defaultRoute=maybe"),
		Entry("a switch", `invalid boolean value "maybe" for -v: use true or false`, "check", "-v=maybe"),
		Entry("another switch", `invalid boolean value "" for -dryRun: use true or false`, "-dryRun="),
		Entry("a route", `invalid value "x" for flag -route: the destination isn't a network, such as 192.168.0.0/16`, "-pid=7", "-route", "x"),
		Entry("a route's gateway", `invalid value "10.0.0.0/8,via=x" for flag -route: "via=x" isn't right: use via=ADDRESS and metric=NUMBER`, "-route=10.0.0.0/8,via=x"),
		Entry("a route's rest", `invalid value "10.0.0.0/8,dev=x" for flag -route: "dev=x" isn't known: use via=ADDRESS and metric=NUMBER`, "-route", "10.0.0.0/8,dev=x"),
		Entry("a value that isn't there", `flag needs an argument: -mac`, "-pid", "7", "-mac"),
		Entry("a form of result", `-output "yaml": use text or json`, "list", "-output", "yaml"),
		Entry("a form of result that a dry run hasn't", "-dryRun prints commands, and has no result for -output json: use one of them", "-dryRun", "-output", "json"),
		Entry("a number that looks like a flag", `invalid value "-nope" for flag -pid: use a number`, "-pid", "-nope"),
		Entry("a time that looks like a flag", `invalid value "-1" for flag -timeout: use a time, such as 10s`, "-timeout", "-1"),
		Entry("a flag with nothing but too many dashes", "bad flag syntax: ---x", "---x"),
		Entry("a flag without a name", "bad flag syntax: -=7", "list", "-=7"),
		Entry("a flag with too many dashes", "bad flag syntax: ---pid", "-v", "---pid", "7"),
	)
})
