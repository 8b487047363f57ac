// Command bench measures what netsetgo costs, on hosts of its own (network and mount
// namespaces): a run of `up` beside others that do the same work, as the bridge fills, many at
// once, and what its rules add to a run and to a packet. It prints tables, and fails where a
// figure is worse than it has to be. It never touches the machine's network; runc, which
// starts containers for it, makes them a cgroup.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// measure is one of what is measured, on a host of its own.
type measure struct {
	name string
	run  func(o options, r *report) error
	// always says that it is part of -check as well.
	always bool
}

var measures = []measure{
	{"rules", benchRules, true},
	{"packets", benchPackets, false},
	{"attach", benchAttach, true},
	{"memory", benchMemory, true},
	{"hook", benchHook, false},
	{"ready", benchReady, false},
	{"together", benchTogether, false},
	{"growth", benchGrowth, false},
}

type options struct {
	binary string
	tools  string // the folder of the programs that netsetgo is compared with
	runs   int
	check  bool
}

func main() {
	// For good: namespaces are of threads.
	runtime.LockOSThread()
	var o options
	flag.StringVar(&o.binary, "binary", "bin/netsetgo", "the netsetgo to run")
	flag.IntVar(&o.runs, "runs", 200, "how many runs of each kind")
	flag.BoolVar(&o.check, "check", false, "measure only what changes of the code may make worse, and less often")
	here := flag.Bool("here", false, "this process is on the host that was made for it")
	flag.StringVar(&o.tools, "tools", "", "where the other programs are")
	flag.Parse()
	err := errors.New("which measure?")
	if *here && flag.NArg() == 1 {
		err = measureHere(flag.Arg(0), o)
	} else if !*here {
		err = all(o, flag.Args())
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// all measures what is named, or everything, which it writes down.
func all(o options, names []string) error {
	tools, err := os.MkdirTemp("/dev/shm", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tools) }()
	if err := build(o.binary, tools); err != nil {
		return err
	}
	o.tools, o.binary = tools, tools+"/netsetgo"
	if o.check {
		o.runs = min(o.runs, 100)
	}
	var reports []report
	var failed error
	for _, m := range measures {
		if len(names) > 0 && !slices.Contains(names, m.name) || len(names) == 0 && o.check && !m.always {
			continue
		}
		r, err := onNewHost(m.name, o)
		if err == nil && slices.ContainsFunc(r.Bars, bar.mayPass) {
			// The machine may have been busy with something else.
			_, _ = fmt.Fprintln(os.Stderr, "bench: once more:", m.name)
			r, err = onNewHost(m.name, o)
		}
		_, _ = fmt.Fprint(os.Stdout, r.Text, table(r.Bars))
		reports = append(reports, r)
		if err == nil && slices.ContainsFunc(r.Bars, bar.failed) {
			err = errors.New("a figure is worse than it has to be")
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	if failed == nil && len(names) == 0 && !o.check {
		return writeResults(reports)
	}
	return failed
}

// onNewHost runs this program again, in namespaces of its own, for one measure.
func onNewHost(name string, o options) (report, error) {
	var r report
	cmd := exec.Command("/proc/self/exe", "-here", "-binary", o.binary, "-tools", o.tools, fmt.Sprintf("-runs=%d", o.runs), fmt.Sprintf("-check=%t", o.check), name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("the process that measures: %w", err)
	}
	return r, json.Unmarshal(out, &r)
}

func measureHere(name string, o options) error {
	if err := newHost(); err != nil {
		return err
	}
	i := slices.IndexFunc(measures, func(m measure) bool { return m.name == name })
	if i < 0 {
		return fmt.Errorf("there is no measure %q", name)
	}
	var r report
	if err := measures[i].run(o, &r); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// build compiles the programs that netsetgo is compared with, and copies it beside them: how
// a file came into the page cache tells in the time to start it.
func build(binary, folder string) error {
	imports, err := exec.Command("go", "list", "-f", `{{range .Imports}}import _ "{{.}}"{{"\n"}}{{end}}`, "./cmd/netsetgo").Output()
	if err != nil {
		return fmt.Errorf("asking go for netsetgo's packages: %w", err)
	}
	for name, source := range map[string]string{
		"empty.go": "package main\nfunc main() {}\n",
		"idle.go":  "package main\n" + string(imports) + "func main() {}\n",
		"empty.c":  "int main(void) { return 0; }\n",
	} {
		if err := os.WriteFile(folder+"/"+name, []byte(source), 0o600); err != nil {
			return fmt.Errorf("writing a program: %w", err)
		}
	}
	for _, command := range []string{
		"gcc -static -Os -o FOLDER/built ci/bench/floor.c", "cp FOLDER/built FOLDER/floor",
		"gcc -static -Os -o FOLDER/built FOLDER/empty.c", "cp FOLDER/built FOLDER/emptyC",
		"go build -trimpath -o FOLDER/built FOLDER/empty.go", "cp FOLDER/built FOLDER/empty",
		"go build -trimpath -o FOLDER/built FOLDER/idle.go", "cp FOLDER/built FOLDER/idle",
		"cp " + binary + " FOLDER/netsetgo", "cp /usr/lib/cni/bridge /usr/lib/cni/host-local FOLDER",
	} {
		words := strings.Fields(strings.ReplaceAll(command, "FOLDER", folder))
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, out)
		}
	}
	return nil
}
