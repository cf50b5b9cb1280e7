package dev

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// buildError is what the go command said of code that does not compile.
type buildError struct{ text string }

func (e *buildError) Error() string { return e.text }

// build builds the program into a new file.
func (d *Dev) build(ctx context.Context) (string, error) {
	d.builds++
	file := filepath.Join(d.temp, fmt.Sprintf("%s-%d", filepath.Base(d.Project.Dir), d.builds))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, d.Package)
	cmd.Dir = d.Project.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if len(bytes.TrimSpace(out)) == 0 {
			return "", fmt.Errorf("go build: %w", err)
		}
		return "", &buildError{strings.TrimSpace(string(out))}
	}
	if info, err := os.Stat(file); err != nil || info.IsDir() {
		return "", &buildError{d.Package + " is not a program: its package is not main"}
	}
	return file, nil
}

// embedded returns the files that the program has by go:embed, which are not
// recognised by their names.
func (d *Dev) embedded(ctx context.Context) map[string]bool {
	const format = `{{if and .Module .EmbedFiles}}{{if .Module.Main}}{{$dir := .Dir}}{{range .EmbedFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", format, d.Package)
	cmd.Dir = d.Project.Dir
	out, err := cmd.Output()
	if err != nil {
		return nil // what does not compile is told by the build
	}
	files := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		files[filepath.Clean(filepath.FromSlash(strings.TrimSpace(line)))] = true
	}
	return files
}
