package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/netsetgo/netsetgo/configurer"
	"golang.org/x/sys/unix"
)

// sysctls is where the sysctls are, of net those of the namespace of who looks.
const sysctls = "/proc/sys/"

// Sysctl implements configurer.Reader.
func (c *conn) Sysctl(key string) (string, error) {
	text, err := os.ReadFile(sysctls + key)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", configurer.ErrNotFound, err)
	}
	if err != nil {
		return "", fmt.Errorf("reading sysctl %s: %w", key, err)
	}
	return strings.TrimSpace(string(text)), nil
}

func writeSysctl(change configurer.SetSysctl) error {
	if astray.Load() {
		return errAstray
	}
	fd, err := openFile(sysctls+change.Key, unix.O_WRONLY)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: %w", configurer.ErrNotFound, err)
	}
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w; /proc/sys has to be writable for netsetgo", err)
	}
	if err != nil {
		return err
	}
	for {
		_, err = unix.Write(fd, []byte(change.Value))
		if !errors.Is(err, unix.EINTR) {
			return errors.Join(err, unix.Close(fd))
		}
	}
}
