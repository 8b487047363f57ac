package netsetgo_test

import (
	"net"
	"net/netip"
	"os"
	"regexp"
	"testing"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

var (
	interfaceName = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\z`)
	printable     = regexp.MustCompile(`\A[^\x00-\x1f\x7f]*\z`)
)

func FuzzValidate(f *testing.F) {
	f.Add("brg0", "veth", "eth0", "web", []byte{10, 0, 0, 1}, 24, []byte{10, 0, 0, 2}, 1500, []byte{2, 0, 0, 0, 0, 1}, []byte{192, 168, 0, 0}, 16, []byte{10, 0, 0, 9}, 7)
	f.Add("..", "a%db", "lo", "a\x1b[31m", []byte{127, 0, 0, 1}, 31, []byte{}, 67, []byte{1}, []byte{}, 33, []byte{}, -1)
	f.Add("", "", "", "", []byte(net.ParseIP("fd00::1")), 64, []byte(net.ParseIP("fd00::2")), 65536, []byte{}, make([]byte, 16), 0, make([]byte, 4), 1<<31)
	f.Fuzz(func(t *testing.T, bridge, prefix, ifname, id string, bridgeIP []byte, bits int, containerIP []byte,
		mtu int, mac, destination []byte, length int, via []byte, metric int,
	) {
		config := netsetgo.NetworkConfig{
			BridgeName: bridge, VethNamePrefix: prefix, ContainerInterface: ifname, ID: id, MTU: mtu,
			ContainerIP: containerIP, MAC: mac,
		}
		if len(bridgeIP) > 0 {
			config.BridgeIP = bridgeIP
			config.Subnet = &net.IPNet{IP: bridgeIP, Mask: net.CIDRMask(bits, 8*len(bridgeIP))}
		}
		if len(destination) > 0 {
			to, _ := netip.AddrFromSlice(destination)
			gateway, _ := netip.AddrFromSlice(via)
			config.Routes = []netsetgo.Route{{Destination: netip.PrefixFrom(to, length), Gateway: gateway, Metric: metric}}
		}
		if err := config.Validate(); err != nil {
			if text := err.Error(); !printable.MatchString(text) {
				t.Fatalf("%q reaches a terminal", text)
			}
			untouched(t, config, err)
			return
		}
		usable(t, config.WithDefaults())
	})
}

// untouched says that the kernel is asked nothing for a configuration that is refused.
func untouched(t *testing.T, config netsetgo.NetworkConfig, refused error) {
	t.Helper()
	kernel := noKernel{t}
	host := configurer.NewHostConfigurer(kernel)
	host.Warn = func(text string) { t.Fatal(text) }
	netset := netsetgo.New(host, configurer.NewContainerConfigurer(kernel))
	_, begin := netset.Begin(config, 7)
	_, inspect := netset.Inspect(config, 7)
	_, check := netset.Check(config, 7)
	_, diagnose := netset.Diagnose(config)
	for i, err := range []error{
		netset.Up(config, 7), netset.Down(config, 7), netset.ConfigureHost(config, 7), netset.ConfigureContainer(config, 7),
		begin, inspect, check, diagnose,
	} {
		if err == nil || err.Error() != refused.Error() {
			t.Fatalf("%d: %v, and it was to be refused: %v", i, err, refused)
		}
	}
}

// noKernel is one that nobody may ask.
type noKernel struct{ t *testing.T }

func (k noKernel) refuse() error {
	k.t.Helper()
	k.t.Fatal("the kernel was asked")
	return nil
}

func (k noKernel) Pin(int) (*os.File, error) { return nil, k.refuse() }

func (k noKernel) Connect(*os.File) (configurer.Conn, error) { return nil, k.refuse() }

func (k noKernel) Inode(*os.File) (uint64, error) { return 0, k.refuse() }

func (k noKernel) TryLock(configurer.Lock, bool) (configurer.Lock, error) { return nil, k.refuse() }

// usable looks at what is trusted of a configuration once it was validated.
func usable(t *testing.T, config netsetgo.NetworkConfig) {
	t.Helper()
	for _, name := range []string{config.BridgeName, config.VethNamePrefix + "9999", config.ContainerInterface} {
		if !interfaceName.MatchString(name) {
			t.Fatalf("%q got through", name)
		}
	}
	if !printable.MatchString(config.ID) {
		t.Fatalf("id %q got through", config.ID)
	}
	gateways := map[bool]netip.Prefix{}
	for _, family := range config.Families() {
		usableFamily(t, family)
		gateways[family.Gateway.Addr().Is4()] = family.Gateway
	}
	for _, route := range config.AllRoutes() {
		if !route.Destination.IsValid() || !gateways[route.Destination.Addr().Is4()].Contains(route.Gateway) {
			t.Fatalf("route %+v got through", route)
		}
	}
}

func usableFamily(t *testing.T, family netsetgo.Family) {
	t.Helper()
	gateway, first, last := family.Gateway, family.Gateway.Masked().Addr(), netip.Addr{}
	if gateway.Addr().Is4() {
		last = netsetgo.Broadcast(gateway)
		if !gateway.Contains(last) || gateway.Contains(last.Next()) {
			t.Fatalf("%s isn't the last of %s", last, gateway)
		}
	}
	if gateway.Bits() < 1 || gateway.Bits() > gateway.Addr().BitLen()-2 || gateway.Addr().Is4In6() {
		t.Fatalf("bridge address %s got through", gateway)
	}
	for _, addr := range []netip.Addr{gateway.Addr(), family.Address} {
		if addr.IsValid() && (!gateway.Contains(addr) || addr == last || addr == first) {
			t.Fatalf("%s in %s got through", addr, gateway)
		}
	}
	if family.Address == gateway.Addr() {
		t.Fatalf("%s got through, the gateway's", gateway)
	}
}
