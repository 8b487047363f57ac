package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Breakage is a fault of netsetgo's that has to be found: a text of a file that is replaced.
type Breakage struct {
	What             string
	File, From, Into string
}

// Build builds netsetgo with the breakage, which the tree doesn't get.
func (b Breakage) Build(folder, binary string) error {
	text, err := os.ReadFile(b.File)
	if err != nil {
		return err
	}
	if strings.Count(string(text), b.From) != 1 {
		return fmt.Errorf("%s doesn't have %q just once", b.File, b.From)
	}
	broken := filepath.Join(folder, "broken.go")
	file, err := filepath.Abs(b.File)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: broken}})
	if err != nil {
		return err
	}
	list := filepath.Join(folder, "overlay.json")
	if err := errors.Join(
		os.WriteFile(broken, []byte(strings.Replace(string(text), b.From, b.Into, 1)), 0o600),
		os.WriteFile(list, overlay, 0o600),
	); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-overlay", list, "-o", binary, "./cmd/netsetgo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building: %w: %s", err, out)
	}
	return nil
}
