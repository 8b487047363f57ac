package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/vishvananda/netlink"
)

// stage is a host with a bridge of netsetgo's, and the programs that connect to it.
type stage struct {
	tools  string // the folder of what is built for it
	binary string
	bridge netlink.Link
	made   int // namespaces so far
}

// invocation is a program, as its caller starts it.
type invocation struct {
	arguments []string
	stdin     string
	env       []string
}

// peer connects a namespace to the bridge, by one program or several.
type peer struct {
	name string
	// connect is given a namespace's name, as `ip netns` has it, and a number of its own.
	connect func(s *stage, namespace string, n int) []invocation
	// disconnect takes away what doesn't go with the host link.
	disconnect func(s *stage, namespace string, n int) []invocation
}

const (
	namespaces = "/run/netns/"
	cniPlugins = "/usr/lib/cni"
)

// What is compared, by name.
const (
	floorName    = "floor: the least in C"
	plainName    = "netsetgo -nat=false"
	ipName       = "ip, and ip -batch inside"
	cniName      = "CNI bridge, host-local"
	scriptName   = "a script of nine calls of ip"
	emptyName    = "nothing, in Go"
	idleName     = "nothing, with netsetgo's packages"
	versionName  = "netsetgo version"
	againName    = "netsetgo again, nothing to do"
	downGoneName = "netsetgo down, nothing there"
)

func one(arguments ...string) []invocation { return []invocation{{arguments: arguments}} }

// netsetgoWith connects by our program.
func netsetgoWith(flags ...string) func(*stage, string, int) []invocation {
	return func(s *stage, namespace string, _ int) []invocation {
		return one(append([]string{s.binary, "-netns", namespaces + namespace, "-bridgeAddress", subnet}, flags...)...)
	}
}

func cni(verb string) func(*stage, string, int) []invocation {
	return func(_ *stage, namespace string, _ int) []invocation {
		return []invocation{{
			arguments: []string{filepath.Join(cniPlugins, "bridge")},
			stdin: `{"cniVersion": "1.0.0", "name": "bench", "type": "bridge", "bridge": "brg0", "isDefaultGateway": true, "ipMasq": false,
				"ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.10.0.0/16", "gateway": "10.10.0.1"}]]}}`,
			env: []string{
				"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + namespace, "CNI_NETNS=" + namespaces + namespace,
				"CNI_IFNAME=veth1", "CNI_PATH=" + cniPlugins, "PATH=" + os.Getenv("PATH"),
			},
		}}
	}
}

// address is one that no netsetgo leases in a run so short.
func address(n int) string { return fmt.Sprintf("10.10.%d.%d", 100+n/250, 2+n%250) }

func byFloor(s *stage, namespace string, n int) []invocation {
	return one(filepath.Join(s.tools, "floor"), namespaces+namespace, strconv.Itoa(s.bridge.Attrs().Index), fmt.Sprintf("floor%d", n), address(n), "10.10.0.1")
}

// byIP is the fewest calls of ip(8) there are.
func byIP(_ *stage, namespace string, n int) []invocation {
	return []invocation{
		{arguments: strings.Fields(fmt.Sprintf("ip link add ip%d up master brg0 numtxqueues 1 numrxqueues 1 type veth peer name veth1 netns %s numtxqueues 1 numrxqueues 1", n, namespace))},
		{arguments: []string{"ip", "-n", namespace, "-batch", "-"}, stdin: fmt.Sprintf(
			"link set lo up\nlink set veth1 up\naddress add %s/16 dev veth1\nroute add default via 10.10.0.1\n", address(n))},
	}
}

// byScript is what pages about container networking show.
func byScript(_ *stage, namespace string, n int) []invocation {
	return one("sh", "-ec", fmt.Sprintf(`
		ip link add sh%[1]d type veth peer name tmp%[1]d
		ip link set sh%[1]d master brg0
		ip link set sh%[1]d up
		ip link set tmp%[1]d netns %[2]s
		ip -n %[2]s link set tmp%[1]d name veth1
		ip -n %[2]s link set lo up
		ip -n %[2]s link set veth1 up
		ip -n %[2]s address add %[3]s/16 dev veth1
		ip -n %[2]s route add default via 10.10.0.1
	`, n, namespace, address(n)))
}

// subnet is wide, for all that come.
const subnet = "10.10.0.1/16"

var peers = []peer{
	{name: floorName, connect: byFloor},
	{name: plainName, connect: netsetgoWith("-nat=false")},
	{name: ipName, connect: byIP},
	{name: cniName, connect: cni("ADD"), disconnect: cni("DEL")},
	{name: scriptName, connect: byScript},
}

// newStage makes the bridge, on the thread's host, with a container that keeps it.
func newStage(tools, binary string) (*stage, error) {
	s := &stage{tools: tools, binary: binary}
	if err := os.MkdirAll(namespaces, 0o755); err != nil { //nolint:gosec // ip(8) makes it as open
		return nil, err
	}
	keeper, err := s.namespace()
	if err != nil {
		return nil, err
	}
	if _, err := s.run(netsetgoWith("-nat=false")(s, keeper, 0)); err != nil {
		return nil, err
	}
	s.bridge, err = netlink.LinkByName("brg0")
	return s, err
}

// build compiles the programs that netsetgo is compared with.
func build(folder string) error {
	imports, err := exec.Command("go", "list", "-f", `{{range .Imports}}import _ "{{.}}"{{"\n"}}{{end}}`, "./cmd/netsetgo").Output()
	if err != nil {
		return fmt.Errorf("asking go for netsetgo's packages: %w", err)
	}
	for name, source := range map[string]string{"empty": "", "idle": string(imports)} {
		source = "package main\n" + source + "func main() {}\n"
		if err := os.WriteFile(filepath.Join(folder, name+".go"), []byte(source), 0o600); err != nil {
			return fmt.Errorf("writing a program: %w", err)
		}
	}
	for _, command := range []string{
		"gcc -static -Os -o FOLDER/floor ci/bench/floor.c",
		"go build -trimpath -o FOLDER/empty FOLDER/empty.go",
		"go build -trimpath -o FOLDER/idle FOLDER/idle.go",
	} {
		words := strings.Fields(strings.ReplaceAll(command, "FOLDER", folder))
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, out)
		}
	}
	return nil
}

// namespace makes a namespace, which `ip netns` knows by the name that is returned.
func (s *stage) namespace() (string, error) {
	name := fmt.Sprintf("c%d", s.made)
	s.made++
	return name, nameNamespace(name)
}

// run starts programs one after the other, as their caller would, and says how long they took
// together.
func (s *stage) run(invocations []invocation) (time.Duration, error) {
	var took time.Duration
	for _, i := range invocations {
		cmd := exec.Command(i.arguments[0], i.arguments[1:]...)
		cmd.Env = i.env
		if i.stdin != "" {
			// A file: else this process would have to copy while it waits.
			file, err := memory(i.stdin)
			if err != nil {
				return 0, err
			}
			defer file.Close() //nolint:errcheck // it is in memory
			cmd.Stdin = file
		}
		errs, err := memory("")
		if err != nil {
			return 0, err
		}
		defer errs.Close() //nolint:errcheck // it is in memory
		cmd.Stderr = errs
		began := time.Now()
		err = cmd.Run()
		took += time.Since(began)
		if err != nil {
			said := make([]byte, 4096)
			n, _ := errs.ReadAt(said, 0)
			return 0, fmt.Errorf("%s: %w: %s", strings.Join(i.arguments, " "), err, bytes.TrimSpace(said[:n]))
		}
	}
	return took, nil
}

// clear takes away all ports of the bridge but the keeper's.
func (s *stage) clear() error {
	links, err := testbed.Links()
	if err != nil {
		return err
	}
	for _, link := range links {
		if attrs := link.Attrs(); attrs.MasterIndex == s.bridge.Attrs().Index && attrs.Name != "veth0" {
			if err := netlink.LinkDel(link); err != nil && !errors.Is(err, syscall.ENODEV) {
				return fmt.Errorf("deleting %s: %w", attrs.Name, err)
			}
		}
	}
	return nil
}

// measure lets some peers connect a namespace each, by turns, and returns their times in the
// order of the peers.
func (s *stage) measure(peers []peer, runs int) ([][]time.Duration, error) {
	times := make([][]time.Duration, len(peers))
	order := make([]int, len(peers))
	for i := range order {
		order[i] = i
	}
	for n := range runs {
		for _, i := range order {
			p := peers[i]
			name, err := s.namespace()
			if err != nil {
				return nil, err
			}
			took, err := s.run(p.connect(s, name, n))
			if err == nil && p.disconnect != nil {
				_, err = s.run(p.disconnect(s, name, n))
			}
			if err = errors.Join(err, s.clear()); err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			times[i] = append(times[i], took)
		}
		order = append(order[1:], order[0]) // nobody always comes behind the same
	}
	return times, nil
}
