package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"accountservice/config"
	"accountservice/tests/harness"
)

// The name of a setting's field alone is looked for: two settings of one name count as read if either is.
func TestEverySettingHasAReader(t *testing.T) {
	read := selected(t)
	var walk func(section reflect.Type)
	walk = func(section reflect.Type) {
		for field := range section.Fields() {
			of := field.Type
			if of.Kind() == reflect.Map {
				of = of.Elem()
			}
			switch {
			case of.Kind() == reflect.Struct && of.NumField() > 0 && of.Field(0).IsExported():
				walk(of)
			case !read[field.Name]:
				t.Errorf("nothing reads the setting %s.%s", section, field.Name)
			}
		}
	}
	walk(reflect.TypeFor[config.Config]())
}

// selected is what stands behind a dot in the code outside of tests.
func selected(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, folder := range []string{"../../cmd", "../../config", "../../internal"} {
		err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil {
				ast.Inspect(file, func(n ast.Node) bool {
					if s, is := n.(*ast.SelectorExpr); is {
						names[s.Sel.Name] = true
					}
					return true
				})
			}
			return err
		})
		harness.Must(t, err)
	}
	return names
}
