package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/dryrun"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	"github.com/netsetgo/netsetgo/configurer/trace"
)

// system is the kernel, of which nothing is asked before all that was given is known to
// make sense.
type system interface {
	configurer.Kernel
	// OpenNamespace opens one of `ip netns`, or any namespace file.
	OpenNamespace(nameOrPath string) (*os.File, error)
	// MissingCapabilities names those that this process lacks.
	MissingCapabilities() []string
}

var _ system = (*kernel.Session)(nil)

// call is one run of up, down or check.
type call struct {
	system         system
	verb           string // "" until the container's state tells
	options        *options
	misread        error // what is wrong with the flags
	stdin          io.Reader
	stdout, stderr io.Writer

	config netsetgo.NetworkConfig
	pid    int
	// hostAlone says that there is no container to check.
	hostAlone bool
	log       *journal // nil without -log
	// plan has the commands of a dry run; shown counts the changes of any.
	plan  strings.Builder
	shown int
}

// run keeps the log of the call, which is opened before anything else happens.
func (c *call) run() error {
	// Namespaces belong to threads: without this, under load, a wrong one is configured. It
	// costs a thread, which who calls nothing, such as version, does without.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.reserve(); err != nil {
		return errors.Join(c.misread, err)
	}
	if c.options.log == "" {
		return c.connect()
	}
	timeout := c.options.timeout
	if c.misread != nil {
		timeout = defaultTimeout // it may be what couldn't be read
	}
	var err error
	if c.log, err = openJournal(c.options.log, time.Now().Add(timeout)); err != nil {
		return errors.Join(c.misread, err)
	}
	err = c.connect()
	c.log.end(c, err)
	if failed := c.log.close(); failed != nil {
		if err == nil {
			failed = fmt.Errorf("%w; what was asked for is done all the same", failed)
		}
		_, _ = fmt.Fprintf(c.stderr, "netsetgo: %s\n", errorLine(failed))
	}
	return err
}

// reserve makes sure that a call can open its files: those of both sides, of another look
// where the result is to be printed, and the log.
func (c *call) reserve() error {
	sides, logs := 2, 0
	if c.options.output == outputJSON {
		sides++
	}
	if c.options.log != "" {
		logs = 1
	}
	return kernel.Reserve(sides, logs)
}

// connect runs the verb for the target that the flags or the state name.
func (c *call) connect() error {
	if c.misread != nil {
		return c.misread
	}
	var err error
	if c.config, err = c.options.config(); err != nil {
		return err
	}
	c.pid = c.options.pid
	if c.options.hasTarget() && c.verb == "" {
		c.verb = "up"
	}
	if !c.options.hasTarget() && (c.verb != "down" || c.config.ID == "") {
		err := c.readTarget()
		c.hostAlone = c.verb == "check" && (errors.Is(err, errTerminal) || errors.Is(err, errEmpty))
		if err != nil && !c.hostAlone {
			return err
		}
	}
	if err := c.config.Validate(); err != nil {
		return fmt.Errorf("%w; %w", err, errUsage)
	}
	c.config.Deadline = time.Now().Add(c.options.timeout)
	if missing := c.system.MissingCapabilities(); len(missing) > 0 {
		return fmt.Errorf("connecting to the kernel: this process lacks %s; run netsetgo as root", strings.Join(missing, ", "))
	}
	netset := c.netset()
	namespace, err := c.openTarget()
	if namespace != nil {
		defer func() { _ = namespace.Close() }()
		c.config.Namespace = namespace
	}
	gone := errors.Is(err, configurer.ErrNoProcess) || errors.Is(err, configurer.ErrNoNamespace)
	switch {
	case c.verb == "down" && (err == nil || gone):
		err = netset.Down(c.config, 0)
	case err != nil:
	case c.verb == "check":
		err = c.check(netset)
	default:
		err = c.up(netset)
	}
	switch {
	case err != nil:
	case c.options.dryRun:
		err = printText(c.stdout, c.plan.String())
	case c.options.verbose && c.shown == 0 && c.verb != "check":
		_, _ = fmt.Fprintf(c.stderr, "# nothing to change for %s\n", c.config.WithDefaults().ContainerInterface)
	}
	return err
}

// readTarget takes the target from the state that a runtime wrote.
func (c *call) readTarget() error {
	state, err := readState(c.stdin, c.options.timeout)
	if err != nil {
		return err
	}
	if c.config.ID == "" {
		c.config.ID, c.config.IDIsHint = state.ID, true
	}
	verb, err := state.verb(c.verb)
	if err != nil {
		return err
	}
	c.verb = verb
	if verb != "down" || !state.stopped() { // then somebody else may have the number
		c.pid = state.Pid
	}
	if c.pid == 0 && c.config.ID == "" {
		return errors.New("disconnecting a container: its state has no id; name it by -id, -pid or -netns")
	}
	return nil
}

// netset puts the parts together: what is shown is seen on the way to the kernel,
// or to what stands for it in a dry run.
func (c *call) netset() *netsetgo.Netset {
	var system configurer.Kernel = c.system
	if c.options.dryRun {
		system = dryrun.Kernel(system)
	}
	if c.options.dryRun || c.options.verbose || c.log != nil {
		system = trace.Kernel(system, c.show)
	}
	host := configurer.NewHostConfigurer(system)
	host.Warn = c.warn
	return netsetgo.New(host, configurer.NewContainerConfigurer(system))
}

// warn tells of what was done and won't work all the same.
func (c *call) warn(text string) {
	_, _ = fmt.Fprintf(c.stderr, "netsetgo: warning: %s\n", oneLine(text))
	if c.log != nil {
		c.log.warning(c, text)
	}
}

// show is told of each change.
func (c *call) show(event trace.Event) {
	c.shown++
	if c.options.dryRun {
		if event.Err == nil {
			_, _ = fmt.Fprintf(&c.plan, "%s  # %s\n", event.Command, event.Why)
		}
		return
	}
	if c.log != nil {
		c.log.change(c, event)
	}
	switch {
	case !c.options.verbose:
	case errors.Is(event.Err, configurer.ErrUnknown):
		_, _ = fmt.Fprintf(c.stderr, "# unanswered (%s): %s\n", errorLine(event.Err), event.Command)
	case event.Err != nil:
		_, _ = fmt.Fprintf(c.stderr, "# refused (%s): %s\n", errorLine(event.Err), event.Command)
	default:
		_, _ = fmt.Fprintf(c.stderr, "%s  # %s\n", event.Command, event.Why)
	}
}

// openTarget pins the container's namespace once, for all that follows; nil where
// no target was named.
func (c *call) openTarget() (*os.File, error) {
	if c.options.netns != "" {
		return c.system.OpenNamespace(c.options.netns)
	}
	if c.pid == 0 {
		return nil, nil
	}
	return c.system.Pin(c.pid)
}

func (c *call) up(netset *netsetgo.Netset) error {
	transaction, err := netset.Begin(c.config, 0)
	if err != nil {
		return err
	}
	if c.options.output == outputJSON {
		attachment, err := netset.Inspect(c.config, 0)
		if err == nil {
			err = printResult(c.stdout, attachment)
		}
		if err != nil {
			return errors.Join(err, transaction.Rollback())
		}
	}
	transaction.Commit()
	return nil
}

func (c *call) check(netset *netsetgo.Netset) error {
	compare := netset.Check
	if c.hostAlone {
		compare = func(config netsetgo.NetworkConfig, _ int) ([]netsetgo.Difference, error) {
			return netset.Diagnose(config)
		}
	}
	differences, err := compare(c.config, 0)
	if err != nil {
		return err
	}
	for i, difference := range differences {
		if difference.Mend == "" {
			differences[i].Mend = c.anew()
		}
		if first, ok := strings.CutSuffix(difference.Mend, netsetgo.UpAgain); ok {
			differences[i].Mend = first + c.upAgain()
		}
	}
	if c.log != nil {
		c.log.differences(c, differences)
	}
	if err := printDifferences(c.stdout, c.options.output, differences); err != nil {
		return err
	}
	if len(differences) > 0 {
		return errDifferent
	}
	return nil
}

// anew is the command line that connects the container anew, as the flags ask for.
func (c *call) anew() string { return c.commandLine("down") + "; " + c.commandLine("up") }

// upAgain is the command line that mends what all containers share.
func (c *call) upAgain() string {
	if c.hostAlone {
		return netsetgo.UpAgain + " -netns NAME # of any container, also one that is connected"
	}
	return c.commandLine("up")
}

func (c *call) commandLine(verb string) string {
	words := []string{"netsetgo", verb}
	if !c.options.hasTarget() {
		words = append(words, fmt.Sprintf("-pid=%d", c.pid))
	}
	if c.config.IDIsHint && c.config.ID != "" {
		words = append(words, configurer.Quote("-id="+c.config.ID))
	}
	for _, argument := range c.options.arguments {
		if argument.def.group != groupOutput && slices.Contains(argument.def.verbs, verb) {
			words = append(words, configurer.Quote("-"+argument.def.name+"="+argument.value))
		}
	}
	return strings.Join(words, " ")
}
