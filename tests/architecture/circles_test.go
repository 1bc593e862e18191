package architecture

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// Files that name each other in a circle can only be understood together.
func TestNoCircleHasMoreThanFiveFiles(t *testing.T) {
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
	}
	var ours []listed
	exports := make(map[string]string)
	for _, p := range harness.GoList[listed](t, []string{"CGO_ENABLED=0"}, // as other tests build them
		"-export", "-deps", "-json=ImportPath,Dir,GoFiles,Export", "./cmd/accountservice", "./healthchecker") {
		exports[p.ImportPath] = p.Export
		if strings.HasPrefix(p.ImportPath, module+"/") {
			ours = append(ours, p)
		}
	}
	if len(ours) < 20 {
		t.Fatalf("go list has %d packages of ours", len(ours))
	}
	for _, p := range ours {
		names := named(t, p.Dir, p.GoFiles, exports)
		for file := range names {
			circle := slices.DeleteFunc(reached(names, file), func(other string) bool {
				return !slices.Contains(reached(names, other), file)
			})
			if len(circle) > 5 {
				t.Errorf("%s: %s name each other in a circle", p.ImportPath, strings.Join(slices.Sorted(slices.Values(circle)), ", "))
				break
			}
		}
	}
}

// named returns which files of a package each of its files names something of.
func named(t *testing.T, dir string, files []string, exports map[string]string) map[string][]string {
	t.Helper()
	set := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range files {
		file, err := parser.ParseFile(set, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		harness.Must(t, err)
		parsed = append(parsed, file)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	read := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(set, "gc", read)}
	pkg, err := config.Check(dir, set, parsed, info)
	harness.Must(t, err)
	names := make(map[string][]string)
	for _, name := range files {
		names[name] = nil
	}
	for id, object := range info.Uses {
		switch o := object.(type) {
		case *types.Func, *types.TypeName, *types.Const:
		case *types.Var:
			if o.Parent() != pkg.Scope() {
				continue // a field or a local one
			}
		default:
			continue
		}
		from, to := filepath.Base(set.Position(id.Pos()).Filename), filepath.Base(set.Position(object.Pos()).Filename)
		if object.Pkg() == pkg && from != to && !slices.Contains(names[from], to) {
			names[from] = append(names[from], to)
		}
	}
	return names
}

// reached returns the files that file names, those that these name, and so on.
func reached(names map[string][]string, file string) (all []string) {
	for next := names[file]; len(next) > 0; next = next[1:] {
		if !slices.Contains(all, next[0]) {
			all = append(all, next[0])
			next = slices.Concat(next, names[next[0]])
		}
	}
	return all
}
