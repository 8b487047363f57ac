package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unicode"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	"golang.org/x/sys/unix"
)

// The exit status.
const (
	exitDone   = 0
	exitFailed = 1 // and nothing is left behind
	exitUsage  = 2
)

// errUsage is of a command line that can't be understood.
var errUsage = errors.New("see netsetgo -h")

// run is the whole program: it returns the exit status. Standard output gets
// results only, standard error one line for an error.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := dispatch(args, stdin, stdout)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, errTerminal):
		usage(stderr)
		return exitUsage
	}
	_, _ = fmt.Fprintf(stderr, "netsetgo: %s\n", oneLine(err.Error()))
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

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

func dispatch(args []string, stdin io.Reader, stdout io.Writer) error {
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
		switch verb {
		case "up", "down":
		case "version":
			return printVersion(args, stdout)
		default:
			return fmt.Errorf("unknown verb %q: use up, down or version; %w", verb, errUsage)
		}
	}
	options, err := parse(args, stdout)
	if err != nil {
		return err
	}
	return connect(verb, options, stdin, stdout)
}

// connect runs `up` or `down` for the target that the flags or the state name.
func connect(verb string, options *options, stdin io.Reader, stdout io.Writer) error {
	config, err := options.config()
	if err != nil {
		return err
	}
	pid := options.pid
	if !options.hasTarget() && (verb != "down" || config.ID == "") {
		state, err := readState(stdin, options.timeout)
		if err != nil {
			return err
		}
		if verb, err = state.verb(verb); err != nil {
			return err
		}
		if verb == "down" && state.stopped() {
			pid = 0 // whoever has that number now
		} else {
			pid = state.Pid
		}
		if config.ID == "" {
			config.ID, config.IDIsHint = state.ID, true
		}
		if pid == 0 && config.ID == "" {
			return errors.New("disconnecting a container: its state has no id")
		}
	}
	if err := config.Validate(); err != nil {
		return fmt.Errorf("%w; %w", err, errUsage)
	}
	config.Deadline = time.Now().Add(options.timeout)
	if missing := kernel.MissingCapabilities(); len(missing) > 0 {
		return fmt.Errorf("connecting to the kernel: this process lacks %s; run netsetgo as root", strings.Join(missing, ", "))
	}
	system := kernel.System{}
	netset := netsetgo.New(configurer.NewHostConfigurer(system), configurer.NewContainerConfigurer(system))
	namespace, err := openTarget(system, options.netns, pid)
	if namespace != nil {
		defer func() { _ = namespace.Close() }()
		config.Namespace = namespace
	}
	gone := errors.Is(err, configurer.ErrNoProcess) || errors.Is(err, configurer.ErrNoNamespace)
	if verb == "down" && (err == nil || gone) {
		return netset.Down(config, 0)
	}
	if err != nil {
		return err
	}
	return up(netset, config, options.output, stdout)
}

// openTarget pins the container's namespace once, for all that follows; nil where
// no target was named.
func openTarget(system kernel.System, netns string, pid int) (*os.File, error) {
	if netns != "" {
		return kernel.OpenNamespace(netns)
	}
	if pid == 0 {
		return nil, nil
	}
	return system.Pin(pid)
}

func up(netset *netsetgo.Netset, config netsetgo.NetworkConfig, output string, stdout io.Writer) error {
	transaction, err := netset.Begin(config, 0)
	if err != nil {
		return err
	}
	if output == outputJSON {
		attachment, err := netset.Inspect(config, 0)
		if err == nil {
			err = printResult(stdout, attachment)
		}
		if err != nil {
			return errors.Join(err, transaction.Rollback())
		}
	}
	transaction.Commit()
	return nil
}

func printVersion(args []string, stdout io.Writer) error {
	if len(args) > 0 {
		if _, err := parse(args, stdout); errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("version takes no arguments; %w", errUsage)
	}
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	_, err := fmt.Fprintf(stdout, "netsetgo %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
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
