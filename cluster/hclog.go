package cluster

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// raftLogger lets raft and its store, which speak hclog, speak through slog.
type raftLogger struct {
	out  *slog.Logger
	name string
	args []any
}

var _ hclog.Logger = (*raftLogger)(nil)

func newRaftLogger(out *slog.Logger, name string) *raftLogger {
	return &raftLogger{out: out.With("part", name), name: name}
}

// level turns hclog's levels down one: what raft calls information (every
// election) is of use only to whoever looks for it.
func (l *raftLogger) level(level hclog.Level) slog.Level {
	switch level {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelDebug
	default:
		return slog.LevelDebug - 4
	}
}

// Log implements hclog.Logger.
func (l *raftLogger) Log(level hclog.Level, message string, args ...any) {
	for i, arg := range args {
		if format, ok := arg.(hclog.Format); ok && len(format) > 0 {
			args[i] = format[1:]
		}
	}
	l.out.Log(context.Background(), l.level(level), message, args...)
}

func (l *raftLogger) enabled(level hclog.Level) bool {
	return l.out.Enabled(context.Background(), l.level(level))
}

// The rest of hclog.Logger.

func (l *raftLogger) Trace(message string, args ...any) { l.Log(hclog.Trace, message, args...) }
func (l *raftLogger) Debug(message string, args ...any) { l.Log(hclog.Debug, message, args...) }
func (l *raftLogger) Info(message string, args ...any)  { l.Log(hclog.Info, message, args...) }
func (l *raftLogger) Warn(message string, args ...any)  { l.Log(hclog.Warn, message, args...) }
func (l *raftLogger) Error(message string, args ...any) { l.Log(hclog.Error, message, args...) }
func (l *raftLogger) IsTrace() bool                     { return l.enabled(hclog.Trace) }
func (l *raftLogger) IsDebug() bool                     { return l.enabled(hclog.Debug) }
func (l *raftLogger) IsInfo() bool                      { return l.enabled(hclog.Info) }
func (l *raftLogger) IsWarn() bool                      { return l.enabled(hclog.Warn) }
func (l *raftLogger) IsError() bool                     { return l.enabled(hclog.Error) }
func (l *raftLogger) ImpliedArgs() []any                { return l.args }
func (l *raftLogger) Name() string                      { return l.name }
func (l *raftLogger) SetLevel(hclog.Level)              {}

func (l *raftLogger) GetLevel() hclog.Level {
	for _, level := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn} {
		if l.enabled(level) {
			return level
		}
	}
	return hclog.Error
}

func (l *raftLogger) With(args ...any) hclog.Logger {
	return &raftLogger{out: l.out.With(args...), name: l.name, args: append(l.args[:len(l.args):len(l.args)], args...)}
}

func (l *raftLogger) Named(name string) hclog.Logger {
	return l.ResetNamed(strings.TrimPrefix(l.name+"."+name, "."))
}

func (l *raftLogger) ResetNamed(name string) hclog.Logger {
	return &raftLogger{out: l.out, name: name, args: l.args}
}

func (l *raftLogger) StandardLogger(options *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(l.StandardWriter(options), "", 0)
}

func (l *raftLogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return lineLogger{l.out}
}

// lineLogger lets memberlist, which prints lines like "[WARN] memberlist: …",
// speak through slog.
type lineLogger struct{ out *slog.Logger }

var linePrefixes = []struct {
	prefix string
	level  slog.Level
}{
	{"[ERR] ", slog.LevelWarn}, // gossip is a hint: none of its errors is more
	{"[ERROR] ", slog.LevelWarn},
	{"[WARN] ", slog.LevelWarn},
	{"[INFO] ", slog.LevelDebug},
	{"[DEBUG] ", slog.LevelDebug - 4},
}

// Write implements io.Writer: one line a call.
func (l lineLogger) Write(line []byte) (int, error) {
	message, level := strings.TrimSpace(string(line)), slog.LevelDebug
	for _, p := range linePrefixes {
		if rest, found := strings.CutPrefix(message, p.prefix); found {
			message, level = rest, p.level
			break
		}
	}
	l.out.Log(context.Background(), level, strings.TrimPrefix(message, "memberlist: "))
	return len(line), nil
}
