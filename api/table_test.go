package api

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestErrorPageIsFresh(t *testing.T) {
	const path = "../docs/errors.md"
	if *update {
		if err := os.WriteFile(path, []byte(ErrorPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != ErrorPage() {
		t.Error("docs/errors.md is out of date: run go generate ./api")
	}
}

func TestEveryProblemHasItsLine(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	used := regexp.MustCompile(`(?:newProblem\(|problem\{code: |setDefault\(&code, )"([a-z_]+)"`)
	found := map[string]bool{"invalid_input_url": true, "invalid_output_path": true} // by a variable
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		source, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range used.FindAllStringSubmatch(string(source), -1) {
			found[match[1]] = true
		}
	}
	for code := range found {
		if !slices.ContainsFunc(ProblemTable, func(info ProblemInfo) bool { return info.Code == code }) {
			t.Errorf("%s is not in ProblemTable", code)
		}
	}
	for _, info := range ProblemTable {
		if !found[info.Code] {
			t.Errorf("%s is in ProblemTable, but nothing says it", info.Code)
		}
	}
}
