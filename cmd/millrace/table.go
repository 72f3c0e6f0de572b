package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// table prints rows under headings, in columns as wide as their widest cell.
func (s streams) table(headings []string, rows [][]string) error {
	out := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{headings}, rows...) {
		clean := make([]string, len(row))
		for i, cell := range row {
			clean[i] = strings.ReplaceAll(printable(cell), "\n", " ")
		}
		fmt.Fprintln(out, strings.Join(clean, "\t"))
	}
	return out.Flush()
}
