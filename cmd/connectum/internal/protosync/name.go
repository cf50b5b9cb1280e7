package protosync

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// CheckName refuses the name of a file that does not stay below the folder it
// is written to, or is none of a schema: names come from a server, which may be
// anybody's.
func CheckName(name string) error {
	refuse := func(why string) error { return fmt.Errorf("the server names a file %q: %s", name, why) }
	switch {
	case len(name) > 1024:
		return refuse("it is too long")
	case !fs.ValidPath(name) || !filepath.IsLocal(filepath.FromSlash(name)):
		return refuse("it leads out of the folder, or nowhere")
	case strings.ContainsAny(name, `\:*?"<>|`) || strings.ContainsFunc(name, unicode.IsControl):
		return refuse("it has characters that no file should")
	case !strings.HasSuffix(name, ".proto"):
		return refuse("it does not end in .proto")
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasPrefix(part, "-") || strings.TrimSpace(part) != part || strings.HasSuffix(part, ".") || len(part) > 255 {
			return refuse("a part of it is no name for a file or folder")
		}
	}
	return nil
}

// CheckNames is CheckName for all, and refuses two that can't stand side by
// side, also where file names have no case.
func CheckNames(names []string) error {
	seen := map[string]string{}
	for _, name := range slices.Sorted(slices.Values(names)) {
		if err := CheckName(name); err != nil {
			return err
		}
		folded := strings.ToLower(name)
		if other, taken := seen[folded]; taken {
			return fmt.Errorf("the server names two files %q and %q, which are one on some systems", other, name)
		}
		seen[folded] = name
	}
	for folded, name := range seen {
		for i, r := range folded {
			if r != '/' {
				continue
			}
			if other, taken := seen[folded[:i]]; taken {
				return fmt.Errorf("the server names a file %q and a folder of the same name, of %q", other, name)
			}
		}
	}
	return nil
}
