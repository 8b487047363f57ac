package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/netsetgo/netsetgo"
)

var errPublish = errors.New("use [IP:]PORT[-LAST]:PORT[/PROTOCOL], such as 8080:80, with brackets around an IPv6 address")

// parsePublish reads a published port. What is wrong beside its form is left to Validate.
func parsePublish(text string) (netsetgo.Publish, error) {
	var publish netsetgo.Publish
	rest, protocol, hasProtocol := strings.Cut(text, "/")
	if hasProtocol && protocol == "" {
		return publish, errPublish
	}
	publish.Protocol = protocol
	at := strings.LastIndexByte(rest, ':')
	if at < 0 {
		return publish, errPublish
	}
	var err error
	if publish.ContainerPort, err = parsePort(rest[at+1:]); err != nil {
		return publish, err
	}
	hostPart := rest[:at]
	if at = strings.LastIndexByte(hostPart, ':'); at >= 0 {
		address := hostPart[:at]
		if inner, ok := strings.CutPrefix(address, "["); ok {
			address, ok = strings.CutSuffix(inner, "]")
			if !ok {
				return publish, errPublish
			}
		} else if strings.Contains(address, ":") {
			return publish, errPublish
		}
		if publish.HostIP, err = netip.ParseAddr(address); err != nil {
			return publish, errPublish
		}
		hostPart = hostPart[at+1:]
	}
	first, last, isRange := strings.Cut(hostPart, "-")
	if publish.HostPort, err = parsePort(first); err != nil {
		return publish, err
	}
	if isRange {
		end, err := parsePort(last)
		if err != nil {
			return publish, err
		}
		if end < publish.HostPort {
			return publish, fmt.Errorf("the range %s ends before it begins", hostPart)
		}
		publish.Count = end - publish.HostPort + 1
	}
	return publish, nil
}

// parsePort takes digits alone, and no sign.
func parsePort(text string) (int, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q isn't a port, which is 1 to 65535; %w", text, errPublish)
	}
	return int(port), nil
}
