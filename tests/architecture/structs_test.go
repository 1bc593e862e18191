package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// maxFields is how many fields a struct may have: more are two things in one.
const maxFields = 15

func TestNoStructHasTooManyFields(t *testing.T) {
	files, structs := token.NewFileSet(), 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil || ast.IsGenerated(file) {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, is := n.(*ast.StructType); is {
				structs++
				if fields := s.Fields.NumFields(); fields > maxFields {
					t.Errorf("%s: a struct has %d fields, and may have %d", files.Position(s.Pos()), fields, maxFields)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || structs == 0 {
		t.Fatalf("%d structs, %v", structs, err)
	}
}
