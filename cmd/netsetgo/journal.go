package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/trace"
	"golang.org/x/sys/unix"
)

// journal is the file of -log. Each record is one write to a file opened for
// appending, so that the lines of any number of runs stay whole.
type journal struct {
	file    *os.File
	handler slog.Handler
	failed  error // the first record that couldn't be written
}

// openJournal doesn't follow a link, which somebody else may have put there, nor
// wait for the reader of a pipe; one that is full is waited for until the deadline.
func openJournal(path string, deadline time.Time) (*journal, error) {
	const how = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK
	file, err := os.OpenFile(path, how, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w; -log takes a file that is there or can be made, and no symbolic link", err)
	}
	_ = file.SetWriteDeadline(deadline) // which a file hasn't got, and doesn't need
	return &journal{file: file, handler: slog.NewJSONHandler(file, nil)}, nil
}

// change records one change, made or refused.
func (j *journal) change(c *call, event trace.Event) {
	attrs := []slog.Attr{slog.String("command", event.Command), slog.String("why", event.Why)}
	if event.Err != nil {
		attrs = append(attrs, slog.String("refused", errorLine(event.Err)))
	}
	j.write(c, slog.LevelInfo, "change", attrs)
}

// differences records what check found, as it prints it.
func (j *journal) differences(c *call, differences []netsetgo.Difference) {
	for _, d := range differences {
		j.write(c, slog.LevelWarn, "difference", []slog.Attr{
			slog.String("what", oneLine(d.What)), slog.String("asked", oneLine(d.Asked)),
			slog.String("is", oneLine(d.Is)), slog.String("mend", d.Mend),
		})
	}
}

// warning records what is wrong beside what was asked for.
func (j *journal) warning(c *call, text string) {
	j.write(c, slog.LevelWarn, "warning", []slog.Attr{slog.String("text", oneLine(text))})
}

// end records how a call ended.
func (j *journal) end(c *call, err error) {
	level, attrs := slog.LevelInfo, []slog.Attr{slog.String("outcome", "done")}
	switch {
	case errors.Is(err, errDifferent):
		attrs = []slog.Attr{slog.String("outcome", "different")}
	case err != nil:
		level, attrs = slog.LevelError, []slog.Attr{slog.String("outcome", "failed"), slog.String("error", errorLine(err))}
	}
	if c.options.dryRun {
		attrs = append(attrs, slog.Bool("dryRun", true))
	}
	j.write(c, level, "end", attrs)
}

func (j *journal) write(c *call, level slog.Level, message string, attrs []slog.Attr) {
	target := c.options.netns
	if target == "" && c.pid != 0 {
		target = fmt.Sprintf("/proc/%d/ns/net", c.pid)
	}
	record := slog.NewRecord(time.Now(), level, message, 0)
	for _, attr := range []slog.Attr{slog.String("verb", c.verb), slog.String("container", oneLine(c.config.ID)), slog.String("target", oneLine(target))} {
		if attr.Value.String() != "" {
			record.AddAttrs(attr)
		}
	}
	record.AddAttrs(attrs...)
	j.failed = cmp.Or(j.failed, j.handler.Handle(context.Background(), record))
}

// close returns what went wrong with the log.
func (j *journal) close() error {
	if err := cmp.Or(j.failed, j.file.Close()); err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	return nil
}
