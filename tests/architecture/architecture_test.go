// Package architecture holds the code to the paragraph of docs/design.md that says who may import what.
package architecture

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"accountservice/tests/harness"
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
	"golang.org/x/sys":                      {"internal/connections", "internal/store/boltstore/boltfile"},
	"golang.org/x/net":                      {"internal/checks/dependency", "internal/store"}, // HTTP/2; names of the DNS
	"golang.org/x/text":                     {"internal/checks/dependency"},                   // a form of Unicode
	"github.com/jackc/pgx":                  {"internal/checks/dependency", "internal/store/pgstore"},
	"github.com/jackc/puddle":               {"internal/store/pgstore"}, // the error of a closed pool of pgx
	"github.com/pressly/goose":              {"internal/store/pgstore"},
	"github.com/rabbitmq/amqp091-go":        {"internal/checks/dependency"},
	"github.com/go-sql-driver/mysql":        {"internal/checks/dependency"},
	"github.com/twmb/franz-go":              {"internal/checks/dependency"}, // SCRAM alone
	"go.mongodb.org/mongo-driver":           {"internal/checks/dependency"}, // BSON alone
	"github.com/agnivade/levenshtein":       {"config", "internal/checks/dependency"},
	"github.com/gin-gonic/gin":              {"internal/handlers"},
	"github.com/danielgtaylor/huma":         {"internal/handlers"},
	"github.com/go-json-experiment/json":    {"internal/store/transfer"},
	"github.com/google/uuid":                {"internal/handlers"},
	"github.com/swaggest/swgui":             {"internal/handlers"},
	// a metric belongs to the package that sees the event
	"github.com/prometheus/client_golang": {"cmd/accountservice", "internal/backup", "internal/checks", "internal/connections", "internal/handlers",
		"internal/notify", "internal/store/boltstore", "internal/store/metered"},
}

// arrows says which of our packages each one may import.
var arrows = map[string][]string{
	module: nil, // the texts of the licences
	"cmd/accountservice": {module, "config", "internal/auth", "internal/backup", "internal/bounded", "internal/certificate", "internal/checks", "internal/checks/dependency", "internal/client", "internal/connections", "internal/excerpt", "internal/handlers", "internal/notice", "internal/notify", "internal/probesocket", "internal/restore", "internal/sdnotify",
		"internal/store", "internal/store/boltstore", "internal/store/boltstore/boltverify", "internal/store/metered", "internal/store/pgstore", "internal/store/transfer", "internal/tempfile", "internal/warning"},
	"healthchecker":                       {"internal/excerpt", "internal/httpcheck", "internal/probesocket"},
	"internal/httpcheck":                  nil,
	"internal/probesocket":                nil,
	"config":                              {"configs"},
	"configs":                             nil,
	"internal/store":                      nil,
	"internal/store/boltstore":            {"internal/awake", "internal/bounded", "internal/store", "internal/store/boltstore/boltfile", "internal/store/boltstore/boltverify", "internal/store/transfer", "internal/tempfile", "internal/warning"},
	"internal/store/boltstore/boltfile":   {"internal/store", "internal/store/transfer"},
	"internal/store/boltstore/boltverify": {"internal/store", "internal/store/boltstore/boltfile"},
	"internal/restore":                    {"internal/backup", "internal/bounded", "internal/notice", "internal/store/boltstore", "internal/warning"},
	"internal/store/metered":              {"internal/store"},
	"internal/store/pgstore":              {"internal/store", "internal/warning"},
	"internal/store/storetest":            {"internal/store"},
	"internal/store/transfer":             {"internal/store"},
	"internal/auth":                       nil,
	"internal/awake":                      nil,
	"internal/backup":                     {"internal/bounded", "internal/excerpt", "internal/tempfile", "internal/warning"},
	"internal/bounded":                    nil,
	"internal/checks":                     {"internal/awake", "internal/excerpt", "internal/tempfile"},
	"internal/checks/dependency":          {"internal/httpcheck", "internal/warning"},
	"internal/certificate":                {"internal/warning"},
	"internal/client":                     {"internal/excerpt", "internal/store", "internal/store/transfer"},
	"internal/connections":                nil,
	"internal/excerpt":                    nil,
	"internal/tempfile":                   nil,
	"internal/warning":                    nil,
	"internal/notice":                     {"internal/excerpt", "internal/tempfile", "internal/warning"},
	"internal/notify":                     {"internal/checks"},
	"internal/sdnotify":                   {"internal/checks"},
	"internal/handlers":                   {"internal/auth", "internal/store", "internal/store/transfer", "internal/checks"},
}

// imports lists our packages and what each imports outside of its tests.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := make(map[string][]string)
	type listed struct {
		ImportPath       string
		Imports, GoFiles []string
	}
	for _, p := range harness.GoList[listed](t, nil, "-json=ImportPath,Imports,GoFiles", "./...") {
		if len(p.GoFiles) > 0 && !strings.HasPrefix(p.ImportPath, module+"/tests/") {
			list[strings.TrimPrefix(p.ImportPath, module+"/")] = p.Imports
		}
	}
	return list
}

func TestImportsFollowTheArrows(t *testing.T) {
	list := imports(t)
	for from, to := range list {
		allowed, known := arrows[from]
		if !known {
			t.Errorf("package %s is not in arrows: say here and in docs/design.md what it may import", from)
		}
		for _, path := range to {
			ours, is := strings.CutPrefix(path, module+"/")
			if (is || path == module) && !slices.Contains(allowed, ours) {
				t.Errorf("%s must not import %s: put the code where what it needs is, or add the arrow here and to docs/design.md", from, ours)
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
	linked := harness.GoList[struct{ ImportPath string }](t, nil, "-deps", "-json=ImportPath", "./cmd/accountservice", "./healthchecker")
	for _, p := range linked {
		if p.ImportPath == "testing" || strings.HasSuffix(p.ImportPath, "/storetest") {
			t.Errorf("a binary links %s", p.ImportPath)
		}
	}
}

// The first line that a user sees says why, without one of the compiler's.
func TestWindowsIsRefusedWithASentence(t *testing.T) {
	for _, program := range []string{"./cmd/accountservice", "./healthchecker"} {
		cmd := exec.Command("go", "build", "-o", os.DevNull, program)
		cmd.Dir, cmd.Env = "../..", append(os.Environ(), "GOOS=windows", "GOARCH=amd64")
		out, err := cmd.CombinedOutput()
		lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(out)), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "go: downloading ") // what only Windows needs, the first time
		})
		if err == nil || len(lines) != 1 || !strings.Contains(lines[0], "does not run on Windows, use its Linux image or WSL") {
			t.Errorf("building %s for Windows: %v\n%s", program, err, out)
		}
	}
}

// go vet ./... does not reach the modules below tests.
func TestEveryModuleOfTestsIsVetted(t *testing.T) {
	makefile := harness.Read(t, "../../Makefile")
	modules, _ := filepath.Glob("../*/go.mod")
	if len(modules) == 0 {
		t.Fatal("there are no modules")
	}
	for _, file := range modules {
		name := filepath.Base(filepath.Dir(file))
		vets := regexp.MustCompile(`\bgo -C tests/` + name + ` (vet|test) `) // go test vets its package, too
		if !vets.MatchString(makefile) {
			t.Errorf("the Makefile does not vet tests/%s", name)
		}
	}
}
