// Command readme runs the commands of README.md's console blocks, those behind '$ ',
// in a host of their own (a network and a mount namespace), and writes what they
// print below them, and says how many differ. It never touches the machine's network, nor a block that says
// the same but for numbers that the kernel gives out.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const file = "README.md"

func main() {
	if err := update(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

var console = regexp.MustCompile("(?s)```console\n(.*?)```\n")

func update() error {
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	outputs, err := run(commands(before))
	if err != nil {
		return err
	}
	sessions, different := 0, 0
	after := console.ReplaceAllFunc(before, func(block []byte) []byte {
		var session strings.Builder
		session.WriteString("```console\n")
		for _, command := range commands(block) {
			session.WriteString("$ " + command + "\n" + outputs[0])
			outputs = outputs[1:]
		}
		session.WriteString("```\n")
		sessions++
		if steady(session.String()) == steady(string(block)) {
			return block
		}
		different++
		return []byte(session.String())
	})
	_, _ = fmt.Fprintf(os.Stdout, "%d sessions, of which %d differ\n", sessions, different)
	return os.WriteFile(file, after, 0o644)
}

// commands are those of all blocks in a text.
func commands(text []byte) []string {
	var found []string
	for _, block := range console.FindAllSubmatch(text, -1) {
		for line := range strings.Lines(string(block[1])) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				found = append(found, strings.TrimSuffix(command, "\n"))
			}
		}
	}
	return found
}

// end follows the output of each command.
const end = "\x00"

// run returns what each command prints. They share a shell, so that a later block
// finds what an earlier one did.
func run(commands []string) ([]string, error) {
	bin, err := filepath.Abs("bin")
	if err != nil {
		return nil, err
	}
	var script strings.Builder
	script.WriteString(`mount -t tmpfs tmpfs /run || exit
		ip link set lo up || exit
		sudo() { "$@"; }
		exec 2>&1
	`)
	for _, command := range commands {
		script.WriteString(command + "\nprintf '\\000'\n")
	}
	shell := exec.Command("unshare", "--net", "--mount", "bash", "-c", script.String())
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LC_ALL=C")
	shell.Stderr = os.Stderr
	output, err := shell.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	outputs := strings.Split(string(output), end)
	if len(outputs) != len(commands)+1 {
		return nil, fmt.Errorf("of %d commands %d ended: %s", len(commands), len(outputs)-1, outputs[len(outputs)-1])
	}
	return outputs[:len(commands)], nil
}

var (
	owner = regexp.MustCompile(`(\bnetsetgo:n:)[0-9a-f]{4}(:[^:\s]+:4[0-9]{9}\b)`) // whose hash is of the inode
	inode = regexp.MustCompile(`\b4[0-9]{9}\b`)                                    // of a namespace
	time  = regexp.MustCompile(`"time":"[^"]*"`)                                   // of a record of the log
	bytes = regexp.MustCompile(`(?m)( up +| no carrier +)[0-9]+ +[0-9]+$`)         // received and sent
)

// steady is a text without what differs from run to run.
func steady(text string) string {
	text = owner.ReplaceAllString(text, "${1}H$2")
	text = inode.ReplaceAllString(text, "N")
	text = time.ReplaceAllString(text, "T")
	return bytes.ReplaceAllString(text, "up N N")
}
