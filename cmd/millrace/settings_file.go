package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxSettingsFile bounds what is read of a settings file: a wrong path should
// not fill the memory.
const maxSettingsFile = 1 << 20

// BeforeResolve reads the file that --config or MILLRACE_CONFIG names. It is
// called by kong before it looks for the values of flags that aren't given.
func (s *Settings) BeforeResolve(parsed *kong.Context) error {
	path := os.Getenv(environmentName("config"))
	for _, step := range parsed.Path {
		if step.Flag != nil && step.Flag.Name == "config" {
			path, _ = parsed.FlagValue(step.Flag).(string)
		}
	}
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return usagef("open the settings file: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxSettingsFile+1))
	if err != nil {
		return usagef("read the settings file: %w", err)
	}
	if len(text) > maxSettingsFile {
		return usagef("the settings file %s is larger than 1 MiB", path)
	}
	values, err := readSettings(path, text, parsed.Selected().Flags)
	if err != nil {
		return usageError{err}
	}
	parsed.AddResolver(values)
	return nil
}

// fileSettings are the settings of a file: strings, and []any of strings, by
// the names of their flags.
type fileSettings map[string]any

// Validate implements kong.Resolver.
func (fileSettings) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. A variable of the environment counts
// before the file; kong has already read it.
func (f fileSettings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	return f[flag.Name], nil
}

// readSettings reads a YAML file of settings for the given flags. Each error
// names the file, the line and the setting.
func readSettings(path string, text []byte, flags []*kong.Flag) (fileSettings, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%s is not YAML: %s", path, yaml.FormatError(err, false, false))
	}
	known := make(map[string]*kong.Flag, len(flags))
	for _, flag := range flags {
		if flag.Name != "config" && flag.Name != "help" {
			known[flag.Name] = flag
		}
	}
	values := make(fileSettings)
	for _, document := range file.Docs {
		entries, err := mapping(document.Body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, entry := range entries {
			line, name := entry.Key.GetToken().Position.Line, entry.Key.GetToken().Value
			flag := known[name]
			if flag == nil {
				return nil, fmt.Errorf("%s, line %d: there is no setting %q", path, line, name)
			}
			if _, twice := values[name]; twice {
				return nil, fmt.Errorf("%s, line %d: %s is set for the second time", path, line, name)
			}
			value, err := settingValue(entry.Value)
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %s: %w", path, line, name, err)
			}
			if value != nil {
				// kong reads it again later, but can't tell the line.
				err = flag.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), reflect.New(flag.Target.Type()).Elem())
			}
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", path, line, err)
			}
			values[name] = value
		}
	}
	return values, nil
}

// mapping is the entries of a document; an empty one has none.
func mapping(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch node := body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return node.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{node}, nil
	default:
		return nil, errors.New("it must be a list of lines like \"data: /var/lib/millrace\"")
	}
}

// settingValue is a scalar as its text, so that it is read like a flag's, a
// sequence as []any of those, and nil for a key without a value.
func settingValue(node ast.Node) (any, error) {
	switch value := node.(type) {
	case *ast.NullNode:
		return nil, nil
	case *ast.StringNode:
		return value.Value, nil
	case *ast.LiteralNode:
		return value.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return value.GetToken().Value, nil
	case *ast.SequenceNode:
		items := make([]any, 0, len(value.Values))
		for _, each := range value.Values {
			item, err := settingValue(each)
			if err != nil {
				return nil, err
			}
			text, isText := item.(string)
			if !isText {
				return nil, errors.New("each item of the list must be a single value")
			}
			items = append(items, text)
		}
		return items, nil
	default:
		return nil, errors.New("it must be a single value or a list of them")
	}
}
