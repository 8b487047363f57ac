package kernel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/netsetgo/netsetgo/configurer"
	"golang.org/x/sys/unix"
)

// sysctls is where the sysctls are, of net those of the namespace of who looks.
const sysctls = "/proc/sys/"

// Sysctl implements configurer.Reader.
func (c *conn) Sysctl(key string) (string, error) {
	text, err := readSysctl(key)
	if errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("%w: %w", configurer.ErrNotFound, err)
	}
	if err != nil {
		return "", fmt.Errorf("reading sysctl %s: %w", key, err)
	}
	return text, nil
}

// readSysctl does by four calls fewer what os.ReadFile does.
func readSysctl(key string) (string, error) {
	fd, err := openFile(sysctls+key, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	value := make([]byte, 256) // those that are asked for are numbers, names or versions
	for {
		n, err := unix.Read(fd, value)
		if !errors.Is(err, unix.EINTR) {
			return strings.TrimSpace(string(value[:max(n, 0)])), errors.Join(err, unix.Close(fd))
		}
	}
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
