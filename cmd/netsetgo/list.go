package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
)

// listed is an attachment as `list -output json` has it.
type listed struct {
	Container     string       `json:"container"`
	Interface     string       `json:"interface"`
	Addresses     []netip.Addr `json:"addresses"`
	MAC           string       `json:"mac"`
	Bridge        string       `json:"bridge"`
	HostLink      string       `json:"hostLink"`
	State         string       `json:"state"`
	ReceivedBytes uint64       `json:"receivedBytes"`
	SentBytes     uint64       `json:"sentBytes"`
}

func list(output string, stdout io.Writer) error {
	system := kernel.System{}
	netset := netsetgo.New(configurer.NewHostConfigurer(system), configurer.NewContainerConfigurer(system))
	attachments, err := netset.List()
	if err != nil {
		return err
	}
	if output == outputText {
		return printText(stdout, table(attachments))
	}
	return printJSON(stdout, objects(attachments))
}

func objects(attachments []netsetgo.Listed) []listed {
	all := []listed{}
	for _, a := range attachments {
		all = append(all, listed{
			a.Container, a.Interface, a.Addresses, a.MAC.String(), a.Bridge, a.HostLink, string(a.State), a.Received, a.Sent,
		})
	}
	return all
}

// table has a line for each attachment, below one of titles.
func table(attachments []netsetgo.Listed) string {
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(columns, "CONTAINER\tINTERFACE\tADDRESSES\tMAC\tBRIDGE\tHOST LINK\tSTATE\tRECEIVED\tSENT")
	for _, a := range attachments {
		addresses := make([]string, len(a.Addresses))
		for i, addr := range a.Addresses {
			addresses[i] = addr.String()
		}
		_, _ = fmt.Fprintf(columns, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n",
			word(a.Container), word(a.Interface), word(strings.Join(addresses, ",")), word(a.MAC.String()),
			word(a.Bridge), word(a.HostLink), a.State, a.Received, a.Sent)
	}
	_ = columns.Flush()
	return text.String()
}

// word is a text as one word of a table: '-' for none, in quotes where it holds
// anything that would look like something else.
func word(text string) string {
	odd := func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == '"' || r == unicode.ReplacementChar
	}
	switch {
	case text == "":
		return "-"
	case text == "-" || strings.ContainsFunc(text, odd):
		return strconv.Quote(text)
	}
	return text
}
