package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/netsetgo/netsetgo"
)

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"ociVersion":"1.0.2","id":"web","status":"created","pid":4711,"bundle":"/b"}`), "")
	f.Add([]byte(`{"ociVersion":"1.0","id":"web","status":"stopped","pid":0}`), "down")
	f.Add([]byte(`{"status":"stopped","pid":7}`), "")
	f.Add([]byte(`{"id":7,"pid":"x"}`), "up")
	f.Add([]byte(`{"status":"running","pid":7}`), "check")
	f.Add([]byte("null"), "")
	f.Fuzz(func(t *testing.T, text []byte, given string) {
		if given != "up" && given != "down" && given != "check" {
			given = ""
		}
		c := &call{verb: given, options: &options{timeout: time.Minute}, stdin: bytes.NewReader(text)}
		if err := c.readTarget(); err != nil {
			expectOneLine(t, err)
			return
		}
		switch {
		case c.verb != "up" && c.verb != "down" && c.verb != "check" || given != "" && c.verb != given:
			t.Fatalf("%s with %q means %q", text, given, c.verb)
		case c.verb != "down" && c.pid <= 1, c.pid == 0 && c.config.ID == "", c.pid < 0:
			t.Fatalf("%s means %s of pid %d", text, c.verb, c.pid)
		}
	})
}

func FuzzFlags(f *testing.F) {
	f.Add("up\n-pid\n7\n-route\n192.168.0.0/16,via=10.10.10.9,metric=7")
	f.Add("down\n--bridgeName=tower\n--bridgeAddress=10.10.10.1/24\n--containerAddress=10.10.10.2/24\n-defaultRoute=false")
	f.Add("check\n-netns\n..\n-mac\n02:00\n-timeout\n-1s\n-output\nyaml")
	f.Add("up\n-dryRun\n-output=json\n-log\n\n-v=maybe")
	f.Add("list\n-output\njson")
	f.Add("version\n-brigdeName")
	f.Add("man\n-h")
	f.Add("chekc\n-h")
	f.Fuzz(func(t *testing.T, line string) {
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
		if err != nil {
			expectUsage(t, err)
			return
		}
		if options.timeout <= 0 || options.given["pid"] && options.pid < 1 || options.pid != 0 && options.netns != "" {
			t.Fatalf("%q got through", line)
		}
		for _, argument := range options.arguments {
			if !argument.def.takes(verb.name) || argument.value == "" {
				t.Fatalf("%q got through", line)
			}
		}
		config, err := options.config()
		if err == nil {
			err = config.Validate()
		}
		if err != nil {
			expectOneLine(t, err)
		}
	})
}

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
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			t.Fatalf("%q reaches a terminal", text)
		}
	}
}
