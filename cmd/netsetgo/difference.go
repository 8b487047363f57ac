package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/netsetgo/netsetgo"
)

// difference is one as `check -output json` has it.
type difference struct {
	What  string `json:"what"`
	Asked string `json:"asked"`
	Is    string `json:"is"`
	Mend  string `json:"mend"`
}

// printDifferences prints a line for each difference.
func printDifferences(stdout io.Writer, output string, differences []netsetgo.Difference) error {
	if output == outputJSON {
		all := []difference{}
		for _, d := range differences {
			all = append(all, difference(d))
		}
		return printJSON(stdout, all)
	}
	var text strings.Builder
	for _, d := range differences {
		line := fmt.Sprintf("%s is %s", d.What, d.Is)
		if d.Is != netsetgo.Missing {
			line += ", asked for is " + d.Asked
		}
		text.WriteString(oneLine(line+"; to mend it: "+d.Mend) + "\n")
	}
	return printText(stdout, text.String())
}
