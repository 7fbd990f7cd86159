package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// guard is one check of the product, with what its file would read without it and the tests that must notice.
type guard struct {
	Name    string // what the guard holds, in words
	File    string // from the root of the repository, with slashes
	Old     string // the guard's text; it occurs once in the file
	New     string // the same without the guard; it compiles
	Package string // as for go test, such as ./daemon/swarm
	Run     string // as for go test -run

	list string // file that it stands in, without its ending
}

// readGuards reads every list of the folder, by name. Two guards of one name, and a guard with a field left out, are
// errors.
func readGuards(folder string) ([]guard, error) {
	lists, err := filepath.Glob(filepath.Join(folder, "*.toml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(lists)
	var all []guard
	for _, list := range lists {
		guards, err := readList(list)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", list, err)
		}
		all = append(all, guards...)
	}
	return all, unique(all)
}

func readList(file string) ([]guard, error) {
	text, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	var list struct {
		Guard []guard
	}
	if err := toml.NewDecoder(text).DisallowUnknownFields().Decode(&list); err != nil {
		return nil, err
	}
	for i := range list.Guard {
		g := &list.Guard[i]
		g.list = strings.TrimSuffix(filepath.Base(file), ".toml")
		if slices.Contains([]string{g.Name, g.File, g.Old, g.Package, g.Run}, "") {
			return nil, fmt.Errorf("guard %d (%s) leaves a field out", i+1, g.Name)
		}
	}
	return list.Guard, nil
}

func unique(guards []guard) error {
	sorted := slices.SortedFunc(slices.Values(guards), func(a, b guard) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Name == sorted[i-1].Name {
			return fmt.Errorf("two guards are called %q", sorted[i].Name)
		}
	}
	return nil
}

// errStale means that the product moved on: the list must follow.
var errStale = errors.New("stale")

// mutant returns the text of the guard's file without the guard.
func (g guard) mutant(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(g.File)))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errStale, err)
	}
	if n := strings.Count(string(text), g.Old); n != 1 {
		return "", fmt.Errorf("%w: its text stands %d times in %s", errStale, n, g.File)
	}
	return strings.Replace(string(text), g.Old, g.New, 1), nil
}
