// Package architecture holds the code to the paragraph of docs/design.md that says who may import what.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "accountservice"

// owners says which package alone may import a library.
var owners = map[string][]string{
	"github.com/spf13/cobra":                {"cmd/accountservice"},
	"github.com/KimMachineGun/automemlimit": {"cmd/accountservice"},
	"github.com/mattn/go-isatty":            {"cmd/accountservice"},
	"github.com/spf13/viper":                {"config"},
	"github.com/go-viper/mapstructure":      {"config"},
	"go.yaml.in/yaml":                       {"config"},
	"go.etcd.io/bbolt":                      {"internal/store/boltstore"},
	"github.com/hellofresh/health-go":       {"internal/checks"},
	"golang.org/x/sys":                      {"internal/checks", "internal/store/boltstore/boltfile"},
	"github.com/hashicorp/golang-lru":       {"internal/store/boltstore"},
	"golang.org/x/net":                      {"internal/checks/dependency", "internal/store"}, // HTTP/2; names of the DNS
	"github.com/jackc/pgx":                  {"internal/checks/dependency"},
	"github.com/rabbitmq/amqp091-go":        {"internal/checks/dependency"},
	"github.com/agnivade/levenshtein":       {"config", "internal/checks/dependency"},
	"github.com/gin-gonic/gin":              {"internal/handlers"},
	"github.com/danielgtaylor/huma":         {"internal/handlers"},
	"github.com/go-json-experiment/json":    {"internal/store/transfer"},
	"github.com/google/uuid":                {"internal/handlers"},
	"github.com/swaggest/swgui":             {"internal/handlers"},
	// a metric belongs to the package that sees the event
	"github.com/prometheus/client_golang": {"cmd/accountservice", "internal/checks", "internal/handlers"},
}

// arrows says which of our packages each one may import.
var arrows = map[string][]string{
	"cmd/accountservice": {"config", "internal/checks", "internal/checks/dependency", "internal/client", "internal/connections", "internal/handlers", "internal/probesocket",
		"internal/store", "internal/store/boltstore", "internal/store/boltstore/boltverify", "internal/store/transfer"},
	"healthchecker":                       {"internal/probesocket"},
	"internal/probesocket":                nil,
	"config":                              {"configs"},
	"configs":                             nil,
	"internal/store":                      nil,
	"internal/store/boltstore":            {"internal/awake", "internal/store", "internal/store/boltstore/boltfile", "internal/store/boltstore/boltverify", "internal/store/transfer"},
	"internal/store/boltstore/boltfile":   {"internal/store"},
	"internal/store/boltstore/boltverify": {"internal/store", "internal/store/boltstore/boltfile"},
	"internal/store/storetest":            {"internal/store"},
	"internal/store/transfer":             {"internal/store"},
	"internal/awake":                      nil,
	"internal/checks":                     {"internal/awake"},
	"internal/checks/dependency":          nil,
	"internal/client":                     {"internal/store", "internal/store/transfer"},
	"internal/connections":                nil,
	"internal/handlers":                   {"internal/store", "internal/store/transfer", "internal/checks"},
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return string(out)
}

// imports lists our packages and what each imports outside of its tests.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := make(map[string][]string)
	for decoder := json.NewDecoder(strings.NewReader(goList(t, "-json=ImportPath,Imports,GoFiles", "./..."))); ; {
		var p struct {
			ImportPath       string
			Imports, GoFiles []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 && !strings.HasPrefix(p.ImportPath, module+"/tests/") {
			list[strings.TrimPrefix(p.ImportPath, module+"/")] = p.Imports
		}
	}
}

func TestImportsFollowTheArrows(t *testing.T) {
	list := imports(t)
	for from, to := range list {
		allowed, known := arrows[from]
		if !known {
			t.Errorf("package %s is not in the design", from)
		}
		for _, path := range to {
			ours, is := strings.CutPrefix(path, module+"/")
			if is && !slices.Contains(allowed, ours) {
				t.Errorf("%s must not import %s", from, ours)
			}
		}
	}
	for name := range arrows {
		if list[name] == nil {
			t.Errorf("package %s is in the design and not in the code", name)
		}
	}
}

func TestEachLibraryHasOneOwner(t *testing.T) {
	used := make(map[string][]string)
	for from, to := range imports(t) {
		for _, path := range to {
			first, _, _ := strings.Cut(path, "/")
			if !strings.Contains(first, ".") { // the standard library, or ours
				continue
			}
			owned := false
			for library, by := range owners {
				if path == library || strings.HasPrefix(path, library+"/") {
					owned = slices.Contains(by, from)
					used[library] = append(used[library], from)
				}
			}
			if !owned {
				t.Errorf("%s imports %s, which it does not own", from, path)
			}
		}
	}
	for library, by := range owners {
		for _, owner := range by {
			if !slices.Contains(used[library], owner) {
				t.Errorf("%s owns %s, and does not import it", owner, library)
			}
		}
	}
}

func TestTestHelpersAreInNoBinary(t *testing.T) {
	for path := range strings.FieldsSeq(goList(t, "-deps", "./cmd/accountservice", "./healthchecker")) {
		if path == "testing" || strings.HasSuffix(path, "/storetest") {
			t.Errorf("a binary links %s", path)
		}
	}
}
