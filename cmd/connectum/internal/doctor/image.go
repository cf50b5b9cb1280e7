package doctor

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// imageChecks are those of images, and how they are built.
var imageChecks = []Check{
	{
		Name: "latest-tag", Severity: Warning, Finds: "an image without a fixed tag",
		Reason:  "What runs changes without a deploy, differs between nodes, and a rollback brings the same again.",
		Cure:    "Name a version, or better a digest.",
		project: latestTag,
	},
	{
		Name: "root-user", Severity: Warning, Finds: "an image whose process is root",
		Reason:  "Who breaks out of the process is root, inside the container at least.",
		Cure:    "USER 65532:65532 in the last stage, or a base image that ends in nonroot.",
		project: rootUser,
	},
}

// dockerfile is one, as far as it matters.
type dockerfile struct {
	file   string
	froms  []instruction
	user   *instruction // of the last stage
	stages []string
}

type instruction struct {
	line int
	args string
}

func (p *Project) readDockerfile(name string, text []byte) error {
	d := &dockerfile{file: name}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxFile)
	for n := 1; lines.Scan(); n++ {
		word, args, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		switch strings.ToUpper(word) {
		case "FROM":
			words := slices.DeleteFunc(strings.Fields(args), func(w string) bool { return strings.HasPrefix(w, "--") })
			if len(words) == 0 {
				continue
			}
			d.froms = append(d.froms, instruction{n, words[0]})
			d.user = nil
			if len(words) == 3 && strings.EqualFold(words[1], "as") {
				d.stages = append(d.stages, words[2])
			}
		case "USER":
			d.user = &instruction{n, strings.TrimSpace(args)}
		}
	}
	p.images = append(p.images, d)
	return lines.Err()
}

// floating reports whether an image has no fixed tag.
func floating(image string) bool {
	if image == "" || image == "scratch" || strings.ContainsAny(image, "@$") {
		return false // nothing, pinned, or not to be known
	}
	name := image[strings.LastIndexByte(image, '/')+1:]
	_, tag, has := strings.Cut(name, ":")
	return !has || tag == "latest"
}

func latestTag(p *Project) []hit {
	var out []hit
	for _, d := range p.images {
		for _, from := range d.froms {
			if floating(from.args) && !slices.Contains(d.stages, from.args) {
				out = append(out, hit{where: fmt.Sprintf("%s:%d", d.file, from.line), problem: "image " + from.args + " has no fixed tag"})
			}
		}
	}
	for _, c := range p.containers() {
		if image := field(c.node, "image"); image != nil && floating(image.Value) {
			out = append(out, hit{where: c.where(image), problem: "image " + image.Value + " has no fixed tag"})
		}
	}
	return out
}

func rootUser(p *Project) []hit {
	var out []hit
	for _, d := range p.images {
		if len(d.froms) == 0 {
			continue
		}
		last := d.froms[len(d.froms)-1]
		switch {
		case d.user == nil && !strings.Contains(last.args, "nonroot"):
			out = append(out, hit{where: fmt.Sprintf("%s:%d", d.file, last.line), problem: "no USER: the process is root"})
		case d.user != nil && slices.Contains([]string{"root", "0", "root:root", "0:0"}, d.user.args):
			out = append(out, hit{where: fmt.Sprintf("%s:%d", d.file, d.user.line), problem: "USER " + d.user.args + ": the process is root"})
		}
	}
	return out
}
