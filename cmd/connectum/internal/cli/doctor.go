package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/doctor"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

type doctorFlags struct {
	serverFlags
	ignore []string
	list   bool
}

func doctorCommand(io *term.IO) *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [DIR|ADDRESS]",
		Short: "Find what bites in production, in a project or a running server",
		Long: `Find what bites in production, with the reason and the cure.

In a folder (the working directory by default) doctor reads Go sources, Kubernetes
manifests, Dockerfiles and certificates, and runs nothing. A server is asked from
outside, as strangers would; nothing is changed there. What is meant to be as it is
goes into --ignore.

Exit codes: 0 nothing serious, 1 at least one error, 5 the server is not reached.`,
		Example: `  connectum doctor
  connectum doctor deploy --ignore plaintext
  connectum doctor https://api.example.com
  connectum doctor --checks`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			subject := "."
			if len(args) > 0 {
				subject = args[0]
			}
			return f.finish(io, f.run(cmd.Context(), io, subject))
		},
	}
	cmd.Flags().StringSliceVar(&f.ignore, "ignore", nil, "`checks` to leave out, by name")
	cmd.Flags().BoolVar(&f.list, "checks", false, "list the checks, and run none")
	f.serverFlags.addTo(cmd, "default 30s")
	return cmd
}

// diagnosis is what --json tells.
type diagnosis struct {
	Subject  string           `json:"subject"`
	Kind     string           `json:"kind"` // project or server
	Read     int              `json:"read"` // files
	Unread   []string         `json:"unread"`
	Errors   int              `json:"errors"`
	Warnings int              `json:"warnings"`
	Findings []doctor.Finding `json:"findings"`
}

func (f *doctorFlags) run(ctx context.Context, io *term.IO, subject string) error {
	if f.list {
		return f.checks(io)
	}
	for _, name := range f.ignore {
		if !slices.ContainsFunc(doctor.Checks(), func(c doctor.Check) bool { return c.Name == name }) {
			return exit.With(exit.Usage, fmt.Errorf("--ignore %s: no check is called so; --checks lists them", name))
		}
	}
	d := diagnosis{Subject: subject, Unread: []string{}, Findings: []doctor.Finding{}}
	if info, err := os.Stat(subject); err == nil && info.IsDir() {
		done := io.Progress("reading %s", subject)
		p, err := doctor.Load(subject)
		done()
		if err != nil {
			return err
		}
		d.Kind, d.Read, d.Unread = "project", p.Read, list(p.Unread)
		d.Findings = append(d.Findings, doctor.Diagnose(p, f.ignore)...)
	} else {
		if !strings.Contains(subject, ":") || strings.HasPrefix(subject, ".") || strings.HasPrefix(subject, "/") {
			return exit.With(exit.Usage, fmt.Errorf("%s is no folder, and no address (host:port)", subject))
		}
		t, err := f.target(subject)
		if err != nil {
			return err
		}
		ctx, cancel := f.bound(ctx, usualTimeout)
		defer cancel()
		done := io.Progress("examining %s", t)
		found, err := doctor.Examine(ctx, t, f.ignore)
		done()
		if err != nil {
			return err
		}
		d.Kind = "server"
		d.Findings = append(d.Findings, found...)
	}
	for _, finding := range d.Findings {
		if finding.Severity == doctor.Error {
			d.Errors++
		} else {
			d.Warnings++
		}
	}
	if f.json {
		if err := writeJSON(io, d); err != nil {
			return err
		}
	} else {
		d.tell(io)
	}
	if d.Errors > 0 {
		return &silent{exit.With(exit.Failed, errors.New("errors were found"))}
	}
	return nil
}

// tell writes the findings of each check together.
func (d *diagnosis) tell(io *term.IO) {
	for i := 0; i < len(d.Findings); {
		first := d.Findings[i]
		style := term.Yellow
		if first.Severity == doctor.Error {
			style = term.Red
		}
		io.Printf("%s %s", io.OnOut(style, string(first.Severity)+":"), io.OnOut(term.Bold, first.Check))
		for ; i < len(d.Findings) && d.Findings[i].Check == first.Check && d.Findings[i].Severity == first.Severity; i++ {
			io.Printf("  %s", term.Clean(d.Findings[i].Where+": "+d.Findings[i].Problem))
		}
		io.Printf("  %s %s", io.OnOut(term.Dim, "why: "), first.Reason)
		io.Printf("  %s %s", io.OnOut(term.Dim, "cure:"), first.Cure)
		io.Printf("")
	}
	for _, name := range d.Unread {
		io.Errorf("%s %s", io.OnErr(term.Dim, "not read:"), term.Clean(name))
	}
	what := d.Subject
	if d.Kind == "project" {
		what = count(d.Read, "file", "files")
	}
	io.Printf("%s: %s, %s", what, count(d.Errors, "error", "errors"), count(d.Warnings, "warning", "warnings"))
}

// checks lists what is looked for.
func (f *doctorFlags) checks(io *term.IO) error {
	type row struct {
		Name     string          `json:"name"`
		Severity doctor.Severity `json:"severity"`
		Finds    string          `json:"finds"`
		Reason   string          `json:"reason"`
		Cure     string          `json:"cure"`
	}
	rows := []row{}
	for _, c := range doctor.Checks() {
		rows = append(rows, row{c.Name, c.Severity, c.Finds, c.Reason, c.Cure})
	}
	if f.json {
		return writeJSON(io, map[string][]row{"checks": rows})
	}
	for _, r := range rows {
		io.Printf("%-20s %-8s %s", r.Name, r.Severity, r.Finds)
	}
	return nil
}
