package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/netsetgo/netsetgo"
)

// result is a CNI result 1.1.0 (CNI specification, section 5, Success).
type result struct {
	CNIVersion string            `json:"cniVersion"`
	Interfaces []resultInterface `json:"interfaces"`
	IPs        []resultIP        `json:"ips"`
	Routes     []resultRoute     `json:"routes,omitempty"`
	DNS        struct{}          `json:"dns"`
}

type resultInterface struct {
	Name    string `json:"name"`
	MAC     string `json:"mac,omitempty"`
	MTU     int    `json:"mtu,omitempty"`
	Sandbox string `json:"sandbox,omitempty"`
}

type resultIP struct {
	Address   string     `json:"address"`
	Gateway   netip.Addr `json:"gateway"`
	Interface int        `json:"interface"`
}

type resultRoute struct {
	Destination string     `json:"dst"`
	Gateway     netip.Addr `json:"gw"`
	Priority    int        `json:"priority,omitempty"`
}

// printResult prints an attachment. The host's links come first, as the CNI bridge
// plugin has them.
func printResult(w io.Writer, a netsetgo.Attachment) error {
	r := result{
		CNIVersion: "1.1.0",
		Interfaces: []resultInterface{
			resultOf(a.Bridge, ""), resultOf(a.HostLink, ""), resultOf(a.Container, a.Sandbox),
		},
		IPs: []resultIP{},
	}
	for _, lease := range a.Leases {
		if lease.Gateway.IsValid() { // unless somebody took the bridge's address away
			address := netip.PrefixFrom(lease.Address, lease.Gateway.Bits())
			r.IPs = append(r.IPs, resultIP{Address: address.String(), Gateway: lease.Gateway.Addr(), Interface: 2})
		}
	}
	for _, route := range a.Routes {
		r.Routes = append(r.Routes, resultRoute{route.Destination.String(), route.Gateway, route.Metric})
	}
	return printJSON(w, r)
}

func resultOf(i netsetgo.Interface, sandbox string) resultInterface {
	return resultInterface{i.Name, i.MAC.String(), i.MTU, sandbox}
}

// printJSON prints a result whole, or says why it couldn't. Texts in it may come from
// containers: no terminal is harmed by it.
func printJSON(stdout io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	var safe strings.Builder
	for _, r := range string(text) {
		if r > '~' && !unicode.IsGraphic(r) { // which encoding/json leaves as they are
			for _, unit := range utf16.Encode([]rune{r}) {
				_, _ = fmt.Fprintf(&safe, `\u%04x`, unit)
			}
			continue
		}
		safe.WriteRune(r)
	}
	return printText(stdout, safe.String()+"\n")
}
