package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"

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
			{Name: a.BridgeName},
			{Name: a.HostLink},
			{Name: a.ContainerInterface, MAC: a.MAC.String(), MTU: a.MTU, Sandbox: a.Sandbox},
		},
		IPs: []resultIP{},
	}
	if a.Gateway.IsValid() { // unless somebody took the bridge's address away
		address := netip.PrefixFrom(a.Address, a.Gateway.Bits())
		r.IPs = append(r.IPs, resultIP{Address: address.String(), Gateway: a.Gateway.Addr(), Interface: 2})
	}
	for _, route := range a.Routes {
		r.Routes = append(r.Routes, resultRoute{route.Destination.String(), route.Gateway, route.Metric})
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	if _, err = fmt.Fprintf(w, "%s\n", text); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	return nil
}
