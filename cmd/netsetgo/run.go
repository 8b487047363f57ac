package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"

	"github.com/netsetgo/netsetgo/configurer/kernel"
	"golang.org/x/sys/unix"
)

// The exit status.
const (
	exitDone      = 0
	exitFailed    = 1 // and what up did is undone
	exitUsage     = 2
	exitDifferent = 3 // of check
)

var (
	// errUsage is of a command line that can't be understood.
	errUsage = errors.New("see netsetgo -h")
	// errDifferent is of a check that has printed what it found.
	errDifferent = errors.New("what is there isn't what the flags ask for")
)

// run is the whole program: it returns the exit status. Standard output gets
// results only, standard error one line for an error.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := dispatch(args, stdin, stdout, stderr)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, errDifferent):
		return exitDifferent
	case errors.Is(err, errTerminal):
		return exitUsage // and has been shown how
	}
	_, _ = fmt.Fprintf(stderr, "netsetgo: %s\n", errorLine(err))
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

func errorLine(err error) string { return oneLine(err.Error()) }

// oneLine keeps an error to its line and a terminal unharmed: texts in it may
// come from containers and runtimes.
func oneLine(text string) string {
	text = strings.ReplaceAll(text, "\n", "; ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func dispatch(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	verb, given := verbs[0], "" // up, unless the state of a container says otherwise
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		var ok bool
		if verb, ok = findVerb(args[0]); !ok {
			return unknownVerb(args[0])
		}
		given, args = verb.name, args[1:]
	}
	options, err := parse(verb, args, stdout)
	isCall := slices.Contains(connecting, verb.name)
	if err != nil && (!isCall || errors.Is(err, flag.ErrHelp)) {
		return err
	}
	switch given {
	case "list":
		return list(options.output, stdout)
	case "version":
		return printVersion(stdout)
	case "completions":
		return printText(stdout, completions())
	case "man":
		return printText(stdout, manual())
	}
	c := &call{system: &kernel.Session{}, verb: given, options: options, misread: err, stdin: stdin, stdout: stdout, stderr: stderr}
	err = c.run()
	if errors.Is(err, errTerminal) {
		return errors.Join(err, verb.help(stderr))
	}
	return err
}

func unknownVerb(name string) error {
	if name == "help" {
		return fmt.Errorf("unknown verb %q; %w", name, errUsage)
	}
	if near := nearest(name, verbNames()); near != "" {
		return fmt.Errorf("unknown verb %q: did you mean %s? %w", name, near, errUsage)
	}
	return fmt.Errorf("unknown verb %q: use one of %s; %w", name, strings.Join(verbNames(), ", "), errUsage)
}

func printVersion(stdout io.Writer) error {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return printText(stdout, fmt.Sprintf("netsetgo %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH))
}

func printText(stdout io.Writer, text string) error {
	if _, err := io.WriteString(stdout, text); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	return nil
}

// isTerminal says whether somebody sits at the other end, who would wait for ever.
func isTerminal(stream io.Reader) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
