package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// benchHook lets runc start containers, with netsetgo as a hook and without.
func benchHook(o options, r *report) error {
	s, err := newStage(o)
	if err != nil {
		return err
	}
	prestart := map[string]any{"prestart": []map[string]any{{
		"path": o.binary, "args": append([]string{"netsetgo"}, plainFlags...),
	}}}
	bundles := map[string]string{}
	for name, hooks := range map[string]map[string]any{"without": nil, "with": prestart} {
		if bundles[name], err = bundle(name, hooks); err != nil {
			return err
		}
	}
	runc := func(name, bundle string) peer {
		return peer{name: name, connect: func(_ *stage, namespace string, _ int) []invocation {
			return one("runc", "--root", "/run/runc", "run", "--bundle", bundle, namespace)
		}}
	}
	runs := min(o.runs, 100)
	all, err := s.measure([]peer{runc("runc run", bundles["without"]), runc("runc run, with netsetgo as its hook", bundles["with"]), plain}, runs)
	if err != nil {
		return err
	}
	longer := make([]time.Duration, runs)
	for i := range longer {
		longer[i] = all[1].connect[i] - all[0].connect[i]
	}
	r.printf("\nA container of runc's that ends at once, %d times each, by turns: milliseconds, median (and quartiles)\n", runs)
	r.row("runc run", all[0].connect)
	r.row("runc run, netsetgo its hook", all[1].connect)
	r.row("the second longer than the first of its round", longer)
	r.row("netsetgo by itself", all[2].connect)
	return nil
}

// bundle makes one of busybox, whose process ends at once.
func bundle(name string, hooks map[string]any) (string, error) {
	folder := filepath.Join("/run/bundles", name)
	err := sh(fmt.Sprintf(`
		mkdir -p %[1]s/rootfs/bin
		cp /bin/busybox %[1]s/rootfs/bin/true
		runc spec --bundle %[1]s
	`, folder))
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return "", fmt.Errorf("reading what runc spec wrote: %w", err)
	}
	process := config["process"].(map[string]any)
	process["terminal"], process["args"] = false, []string{"/bin/true"}
	config["hooks"] = hooks
	config["linux"].(map[string]any)["cgroupsPath"] = fmt.Sprintf("/netsetgo-bench-%d", os.Getpid())
	if text, err = json.Marshal(config); err != nil {
		return "", err
	}
	return folder, os.WriteFile(path, text, 0o600)
}
