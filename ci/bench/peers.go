package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
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

// stage is a host with bridges, each with a container that keeps it.
type stage struct {
	options
	bridge netlink.Link // that to which all connect who know of no rules
	stays  map[string]bool
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
	// disconnect takes away what doesn't go with the host link; nil where all does.
	disconnect func(s *stage, namespace string, n int) []invocation
}

// What is compared, by name.
const (
	floorName    = "floor: the least in C"
	plainName    = "netsetgo -nat=false"
	ipName       = "ip, and ip -batch inside"
	cniName      = "CNI bridge, host-local"
	scriptName   = "a script of nine calls of ip"
	fullName     = "netsetgo"
	masqName     = "CNI bridge, host-local, masquerade"
	dualName     = "netsetgo, both families, one port published"
	emptyCName   = "nothing, in C"
	emptyName    = "nothing, in Go"
	idleName     = "nothing, with netsetgo's packages"
	versionName  = "netsetgo version"
	againName    = "netsetgo again, nothing to do"
	downGoneName = "netsetgo down, nothing there"
)

// The bridges of netsetgo's: that on which all meet, with room for all that come, one with
// the rules of a default run, and one of both families.
var (
	plainFlags = []string{"-nat=false", "-bridgeAddress", "10.10.0.1/16"}
	fullFlags  = []string{"-bridgeName", "brg1", "-bridgeAddress", "10.20.0.1/16"}
	dualFlags  = []string{"-bridgeName", "brg2", "-bridgeAddress", "10.40.0.1/16,fd40::1/64"}
)

var (
	floor  = peer{name: floorName, connect: byFloor}
	plain  = peer{name: plainName, connect: byNetsetgo(plainFlags...), disconnect: byNetsetgoDown}
	full   = peer{name: fullName, connect: byNetsetgo(fullFlags...), disconnect: byNetsetgoDown}
	dual   = peer{name: dualName, connect: byNetsetgo(append(dualFlags, "-publish", "8080:80")...), disconnect: byNetsetgoDown}
	byCNI  = peer{name: cniName, connect: cni("ADD", "brg0", "10.10", false), disconnect: cni("DEL", "brg0", "10.10", false)}
	masq   = peer{name: masqName, connect: cni("ADD", "cni1", "10.30", true), disconnect: cni("DEL", "cni1", "10.30", true)}
	batch  = peer{name: ipName, connect: byIP}
	script = peer{name: scriptName, connect: byScript}
)

func one(arguments ...string) []invocation { return []invocation{{arguments: arguments}} }

// idle is a program that connects nobody.
func idle(name string, arguments ...string) peer {
	return peer{name: name, connect: func(*stage, string, int) []invocation { return one(arguments...) }}
}

func byNetsetgo(flags ...string) func(*stage, string, int) []invocation {
	return func(s *stage, namespace string, _ int) []invocation {
		return one(append([]string{s.binary, "-netns", namespaces + namespace}, flags...)...)
	}
}

func byNetsetgoDown(s *stage, namespace string, _ int) []invocation {
	return one(s.binary, "down", "-netns", namespaces+namespace)
}

// cni is a call of the bridge plugin, on a bridge whose subnet begins so.
func cni(verb, bridge, subnet string, masquerade bool) func(*stage, string, int) []invocation {
	return func(s *stage, namespace string, _ int) []invocation {
		return []invocation{{
			arguments: []string{filepath.Join(s.tools, "bridge")},
			stdin: fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "type": "bridge", "bridge": %[1]q, "isDefaultGateway": true, "ipMasq": %t,
				"ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "%s.0.0/16", "rangeStart": "%[3]s.200.2", "gateway": "%[3]s.0.1"}]]}}`, bridge, masquerade, subnet),
			env: []string{
				"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + namespace, "CNI_NETNS=" + namespaces + namespace,
				"CNI_IFNAME=veth1", "CNI_PATH=" + s.tools, "PATH=" + os.Getenv("PATH"),
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

// newStage makes the bridges of some peers; that of plain is always there.
func newStage(o options, peers ...peer) (*stage, error) {
	s := &stage{options: o}
	for _, p := range append([]peer{plain}, peers...) {
		name, err := s.namespace()
		if err != nil {
			return nil, err
		}
		if _, err := s.run(p.connect(s, name, -1)); err != nil {
			return nil, err
		}
	}
	var err error
	if s.bridge, err = netlink.LinkByName("brg0"); err != nil {
		return nil, err
	}
	return s, s.keep()
}

// keep keeps all links that are there from being cleared.
func (s *stage) keep() error {
	links, err := testbed.Links()
	s.stays = map[string]bool{}
	for _, link := range links {
		s.stays[link.Attrs().Name] = true
	}
	return err
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
		cmd, done, err := i.command()
		if err != nil {
			return 0, err
		}
		began := time.Now()
		err = cmd.Run()
		took += time.Since(began)
		if err = done(err); err != nil {
			return 0, err
		}
	}
	return took, nil
}

// command is a program to start, and what makes an error of its own, and closes files.
func (i invocation) command() (*exec.Cmd, func(error) error, error) {
	cmd := exec.Command(i.arguments[0], i.arguments[1:]...)
	cmd.Env = i.env
	// Files: else this process would have to copy while it waits.
	in, err := memory(i.stdin)
	if err != nil {
		return nil, nil, err
	}
	out, err := memory("")
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdin, cmd.Stderr = in, out
	return cmd, func(err error) error {
		said := make([]byte, 4096)
		n, _ := out.ReadAt(said, 0)
		_, _ = in.Close(), out.Close()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(i.arguments, " "), err, bytes.TrimSpace(said[:n]))
		}
		return nil
	}, nil
}

// clear takes away all links that came since the stage was made.
func (s *stage) clear() error {
	links, err := testbed.Links()
	if err != nil {
		return err
	}
	for _, link := range links {
		if name := link.Attrs().Name; !s.stays[name] {
			if err := netlink.LinkDel(link); err != nil && !errors.Is(err, syscall.ENODEV) {
				return fmt.Errorf("deleting %s: %w", name, err)
			}
		}
	}
	return nil
}

// times are those of a peer's runs.
type times struct{ connect, disconnect []time.Duration }

// measure lets some peers connect a namespace each, by turns, and returns their times in the
// order of the peers.
func (s *stage) measure(peers []peer, runs int) ([]times, error) {
	all := make([]times, len(peers))
	shuffle := rand.New(rand.NewPCG(1, 2)) // the same each time
	for n := range runs {
		// Nobody always comes behind the same: what one leaves to the kernel takes time from the next.
		var names []string
		for _, i := range shuffle.Perm(len(peers)) {
			name, err := s.namespace()
			if err == nil {
				err = s.once(peers[i], name, n, &all[i])
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", peers[i].name, err)
			}
			names = append(names, name)
		}
		if err := s.leave(names); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (s *stage) once(p peer, name string, n int, t *times) error {
	took, err := s.run(p.connect(s, name, n))
	if err != nil {
		return err
	}
	t.connect = append(t.connect, took)
	if p.disconnect != nil {
		if took, err = s.run(p.disconnect(s, name, n)); err != nil {
			return err
		}
		t.disconnect = append(t.disconnect, took)
	}
	return nil
}

// leave takes away what was connected, and waits until the kernel has done so: it would take
// time from the next that is measured.
func (s *stage) leave(names []string) error {
	err := s.clear()
	for _, name := range names {
		err = errors.Join(err, dropNamespace(name))
	}
	return errors.Join(err, cleared())
}
