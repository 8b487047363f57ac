package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/kernel"
)

// otherwise are ways to build and to run netsetgo that would have to be faster by 3% to be
// kept: by a profile (PGO), without symbols, without the garbage collector.
func otherwise(o options) ([]peer, error) {
	profile := filepath.Join(o.tools, "profile")
	if err := writeProfile(profile); err != nil {
		return nil, fmt.Errorf("making a profile: %w", err)
	}
	var peers []peer
	for _, way := range []struct {
		name, flag string
		env        []string
	}{
		{name: plainName + ", built by a profile", flag: "-pgo=" + profile},
		{name: plainName + ", built without symbols", flag: "-ldflags=-s -w"},
		{name: plainName + ", run with GOGC=off", flag: "-pgo=off", env: append(os.Environ(), "GOGC=off")},
	} {
		binary := filepath.Join(o.tools, fmt.Sprintf("netsetgo%d", len(peers)))
		built := filepath.Join(o.tools, "built")
		for _, command := range [][]string{
			{"go", "build", "-trimpath", way.flag, "-o", built, "./cmd/netsetgo"},
			{"cp", built, binary}, // as build does
		} {
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%s: %w: %s", way.name, err, out)
			}
		}
		call := func(verb []string, flags ...string) func(*stage, string, int) []invocation {
			return func(_ *stage, namespace string, _ int) []invocation {
				arguments := slices.Concat([]string{binary}, verb, []string{"-netns", namespaces + namespace}, flags)
				return []invocation{{arguments: arguments, env: way.env}}
			}
		}
		peers = append(peers, peer{name: way.name, connect: call(nil, plainFlags...), disconnect: call([]string{"down"})})
	}
	return peers, nil
}

// writeProfile connects a container again and again in this process, and writes down where that
// takes its time.
func writeProfile(path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	c := contender{config: netsetgo.NetworkConfig{BridgeName: "brg9", NAT: netsetgo.No}}
	if err := c.prepare(); err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	for range 1000 {
		if err := c.run(); err != nil {
			return err
		}
	}
	c.config.Namespace = c.stays
	return errors.Join(netset(kernel.System{}).Down(c.config, 0), c.stays.Close(), cleared())
}
