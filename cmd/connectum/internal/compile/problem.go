package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is a mistake in a file. Line and Column count from 1, and the column
// in bytes; zero is unknown.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Source  string `json:"-"` // the line, where it is known
}

// String is the problem on one line, as editors read it: file:line:col: message.
func (p Problem) String() string {
	if p.Line <= 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Excerpt is the line of the mistake and below it a caret under its place, or
// empty when they are unknown. Tabs stay tabs, so that the caret stands right
// however wide they are.
func (p Problem) Excerpt() string {
	if strings.TrimSpace(p.Source) == "" {
		return ""
	}
	number := fmt.Sprintf("%5d | ", p.Line)
	var margin strings.Builder
	for i, r := range p.Source {
		if i >= p.Column-1 {
			break
		}
		if r == '\t' {
			margin.WriteByte('\t')
		} else {
			margin.WriteByte(' ')
		}
	}
	return number + p.Source + "\n" + strings.Repeat(" ", utf8.RuneCountInString(number)-2) + "| " + margin.String() + "^"
}

// Problems are mistakes in files, as an error.
type Problems []Problem

// Error implements error: a line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sorted orders problems by place and drops repetitions: two files that import
// a third report it twice.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}
