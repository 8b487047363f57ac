package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"ociVersion":"1.0.2","id":"web","status":"created","pid":4711,"bundle":"/b"}`), "")
	f.Add([]byte(`{"ociVersion":"1.0","id":"web","status":"stopped","pid":0}`), "down")
	f.Add([]byte(`{"status":"stopped","pid":7}`), "")
	f.Add([]byte(`{"id":7,"pid":"x"}`), "up")
	f.Add([]byte(`{"status":"running","pid":7}`), "check")
	f.Add([]byte(`{"id":"web","status":"creating","pid":1}`), "")
	f.Add([]byte(`{"id":"web","status":"running","pid":-1}`), "down")
	f.Add([]byte("null"), "")
	f.Add([]byte(`{"id":"web","status":"created","pid":7,"annotations":{"netsetgo":"true","id":"db","pid":"1"}}`), "")
	f.Fuzz(func(t *testing.T, text []byte, given string) {
		if given != "up" && given != "down" && given != "check" {
			given = ""
		}
		c, err := meaning(text, given)
		if err != nil {
			expectOneLine(t, err)
			return
		}
		expectNoAnnotation(t, c, text, given)
		switch {
		case c.verb != "up" && c.verb != "down" && c.verb != "check" || given != "" && c.verb != given:
			t.Fatalf("%s with %q means %q", text, given, c.verb)
		case c.verb != "down" && c.pid <= 1, c.pid == 0 && c.config.ID == "", c.pid < 0:
			t.Fatalf("%s means %s of pid %d", text, c.verb, c.pid)
		}
	})
}

// meaning is what a state asks for, beside the verb that was given.
func meaning(text []byte, given string) (*call, error) {
	c := &call{verb: given, options: &options{timeout: time.Minute}, stdin: bytes.NewReader(text)}
	return c, c.readTarget()
}

// expectNoAnnotation says that a state means the same whatever its annotations.
func expectNoAnnotation(t *testing.T, c *call, text []byte, given string) {
	t.Helper()
	var s specs.State
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	for _, annotations := range []map[string]string{nil, {"netsetgo": "down", "pid": "1", "id": "db", "status": "stopped"}} {
		s.Annotations = annotations
		other, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		is, err := meaning(other, given)
		if err != nil || is.verb != c.verb || is.pid != c.pid || is.config.ID != c.config.ID {
			t.Fatalf("%s means %s of pid %d and id %q; with annotations %v: %s, %d, %q, %v", text, c.verb, c.pid, c.config.ID,
				annotations, is.verb, is.pid, is.config.ID, err)
		}
	}
}

// FuzzFlags: the kernel is asked nothing, unless all of a command line and a state makes sense.
func FuzzFlags(f *testing.F) {
	const none, created = "", `{"id":"web","status":"created","pid":7}`
	f.Add("up\n-pid\n7\n-route\n192.168.0.0/16,via=10.10.10.9,metric=7\n-route\n172.16.0.0/12\n-id\n a \n-publish=8080:80", none)
	f.Add("up\n-containerInterface=eth0\n-mtu\n1400\n-nat=false\n-timeout=3s", created)
	f.Add("down\n--bridgeName=tower\n--bridgeAddress=10.10.10.1/24\n--containerAddress=10.10.10.2/24\n-defaultRoute=false", created)
	f.Add("down\n-id\nweb", none)
	f.Add("up\n-pid\n0", created)
	f.Add("check\n-netns\n..\n-mac\n02:00\n-timeout\n-1s\n-output\nyaml", none)
	f.Add("check\n-bridgeName\ntower", none)
	f.Add("up\n-dryRun\n-output=json\n-log\n\n-v=maybe", none)
	f.Add("up\n-netns=blue\n-bridgeName=sixteen-bytes-xx", none)
	f.Add("list\n-output\njson", none)
	f.Add("version\n-brigdeName", none)
	f.Add("man\n-h", none)
	f.Add("chekc\n-h", none)
	f.Fuzz(func(t *testing.T, line, state string) {
		words := strings.Split(line, "\n")
		verb, ok := findVerb(words[0])
		if !ok {
			expectUsage(t, unknownVerb(words[0]))
			return
		}
		options, err := parse(verb, words[1:], io.Discard)
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		if slices.Contains(connecting, verb.name) {
			expectSense(t, &call{verb: verb.name, options: options, misread: err, stdin: strings.NewReader(state), stdout: io.Discard, stderr: io.Discard})
		}
		if err != nil {
			expectUsage(t, err)
			return
		}
		expectAgain(t, verb, options)
		if options.timeout <= 0 || options.given["pid"] && options.pid < 1 || options.pid != 0 && options.netns != "" {
			t.Fatalf("%q got through", line)
		}
		for _, argument := range options.arguments {
			if !argument.def.takes(verb.name) || argument.value == "" {
				t.Fatalf("%q got through", line)
			}
		}
	})
}

// expectSense says that a call ends where it first asks something of the kernel, and that
// it makes sense then.
func expectSense(t *testing.T, c *call) {
	t.Helper()
	asked := &noSystem{}
	c.system = asked
	err := c.connect()
	if err == nil || errors.Is(err, errAsked) != (asked.times > 0) {
		t.Fatalf("%v, and the kernel was asked %d times", err, asked.times)
	}
	expectOneLine(t, err)
	if asked.times == 0 {
		return
	}
	if c.misread != nil || c.config.Validate() != nil {
		t.Fatalf("%+v with %v got through", c.config, c.misread)
	}
	switch {
	case c.options.netns != "" || c.pid > 1 || c.options.given["pid"] && c.pid == 1:
	case c.verb == "down" && c.pid == 0 && c.config.ID != "":
	case c.verb == "check" && c.pid == 0 && c.hostAlone:
	default:
		t.Fatalf("%s of pid %d got through", c.verb, c.pid)
	}
}

// expectAgain says that flags which were read can be given again, as check's commands do.
func expectAgain(t *testing.T, verb verb, given *options) {
	t.Helper()
	var words []string
	for _, argument := range given.arguments {
		words = append(words, "-"+argument.def.name+"="+argument.value)
	}
	again, err := parse(verb, words, io.Discard)
	if err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	one, other := *given, *again
	one.arguments, other.arguments = nil, nil // which hold functions
	if !reflect.DeepEqual(one, other) {
		t.Fatalf("%q is %+v, and was %+v", words, other, one)
	}
}

// noSystem is a kernel that does nothing.
type noSystem struct{ times int }

var errAsked = errors.New("the kernel was asked")

func (s *noSystem) ask() error {
	s.times++
	return errAsked
}

func (s *noSystem) MissingCapabilities() []string { _ = s.ask(); return nil }

func (s *noSystem) OpenNamespace(string) (*os.File, error) { return nil, s.ask() }

func (s *noSystem) Pin(int) (*os.File, error) { return nil, s.ask() }

func (s *noSystem) Connect(*os.File) (configurer.Conn, error) { return nil, s.ask() }

func (s *noSystem) Inode(*os.File) (uint64, error) { return 0, s.ask() }

func (s *noSystem) TryLock(configurer.Lock, bool) (configurer.Lock, error) { return nil, s.ask() }

func FuzzWord(f *testing.F) {
	f.Add("web")
	f.Add("-")
	f.Add("a\x1b[31m \u009b\u202e\"\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := word(text)
		expectHarmless(t, got)
		for _, r := range got {
			if !unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ' {
				t.Fatalf("%q is %q", text, got)
			}
		}
		plain := got
		if got[0] == '"' {
			unquoted, err := strconv.Unquote(got)
			if err != nil {
				t.Fatalf("%q is %q: %v", text, got, err)
			}
			plain = unquoted
		}
		if plain != text && (text != "" || got != "-") {
			t.Fatalf("%q is %q", text, got)
		}
	})
}

func FuzzRoute(f *testing.F) {
	f.Add("192.168.0.0/16")
	f.Add("0.0.0.0/0,metric=4294967295,via=10.10.10.1")
	f.Add("::/0,via=fe80::1%eth0")
	f.Add("192.168.0.0/16,,")
	f.Fuzz(func(t *testing.T, text string) {
		route, err := parseRoute(text)
		if err != nil {
			expectOneLine(t, err)
			return
		}
		if !route.Destination.IsValid() || route.Metric < 0 || route.Metric > 1<<32-1 {
			t.Fatalf("%q is %+v", text, route)
		}
		if strings.Contains(text, "via=") != route.Gateway.IsValid() {
			t.Fatalf("%q is %+v", text, route)
		}
	})
}

func FuzzContainerAddress(f *testing.F) {
	f.Add("10.10.10.2", "10.10.10.1/24")
	f.Add("10.10.10.2/24", "10.10.10.1/24")
	f.Add("10.0.0.2/+16", "10.0.0.1/16")
	f.Add("fd00::2/64", "fd00::1/64")
	f.Fuzz(func(t *testing.T, text, bridge string) {
		var c netsetgo.NetworkConfig
		if parseBridgeAddresses(bridge, &c) != nil || c.Subnet != nil && c.Subnet6 != nil {
			t.Skip("there is always a subnet, and two are two of the same")
		}
		if parseContainerAddresses(text, &c) != nil || strings.Contains(text, ",") {
			return
		}
		ip, subnet := c.ContainerIP, c.Subnet
		if c.ContainerIP6 != nil {
			ip, subnet = c.ContainerIP6, c.Subnet6
		}
		if subnet == nil {
			return // another family's, which Validate refuses
		}
		bits, _ := subnet.Mask.Size()
		with, given, err := net.ParseCIDR(text)
		switch {
		case !strings.Contains(text, "/") && !net.ParseIP(text).Equal(ip):
			t.Fatalf("%q is %s", text, ip)
		case strings.Contains(text, "/") && err != nil:
			t.Fatalf("%q got through as %s in %s", text, ip, bridge)
		case strings.Contains(text, "/"):
			if length, _ := given.Mask.Size(); length != bits || !with.Equal(ip) {
				t.Fatalf("%q is %s in %s", text, ip, bridge)
			}
		}
	})
}

func FuzzOneLine(f *testing.F) {
	f.Add("netsetgo: a\nb\x1b[31m")
	f.Add("\u009b\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) { expectHarmless(t, oneLine(text)) })
}

// expectUsage says that an error ends netsetgo with the exit status of a usage error.
func expectUsage(t *testing.T, err error) {
	t.Helper()
	expectOneLine(t, err)
	if !errors.Is(err, errUsage) {
		t.Fatalf("%q doesn't point to the help", err)
	}
}

// expectOneLine says that an error is printed on one line, and harms no terminal.
func expectOneLine(t *testing.T, err error) {
	t.Helper()
	expectHarmless(t, oneLine(err.Error()))
}

func expectHarmless(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Fatalf("%q reaches a terminal", text)
	}
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			t.Fatalf("%q reaches a terminal", text)
		}
	}
}
