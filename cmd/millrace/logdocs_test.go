package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Whoever finds a warning or an error in the log at night looks for its words in the
// operator's manual.
func TestTheManualHasEachWarningOfTheLog(t *testing.T) {
	root := filepath.Join("..", "..")
	manual, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != root || entry.Name() == "bench"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if message, is := warning(node); is {
				said++
				if !strings.Contains(string(manual), "`"+message+"`") {
					t.Errorf("%s warns %q: docs/operations.md doesn't say what to do about it", path, message)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if said < 30 {
		t.Errorf("only %d warnings were found: the test sees too little", said)
	}
}

// warning is the message of a call of a logger that warns or tells of an error.
func warning(node ast.Node) (message string, is bool) {
	call, is := node.(*ast.CallExpr)
	if !is || len(call.Args) == 0 {
		return "", false
	}
	of, is := call.Fun.(*ast.SelectorExpr)
	if !is {
		return "", false
	}
	at := map[string]int{"Warn": 0, "Error": 0, "WarnContext": 1, "ErrorContext": 1, "Log": 2}
	which, is := at[of.Sel.Name]
	if !is || which >= len(call.Args) {
		return "", false
	}
	text, is := call.Args[which].(*ast.BasicLit)
	if !is || text.Kind != token.STRING {
		return "", false
	}
	message, err := strconv.Unquote(text.Value)
	return message, err == nil
}
