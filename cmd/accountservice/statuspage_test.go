package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store/boltstore"
	"accountservice/tests/harness"
)

// browser runs Debian's Chromium on a page, with nothing else in reach, and returns what it prints.
func browser(t *testing.T, page string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--user-data-dir=" + t.TempDir(),
		"--window-size=412,1600", "--enable-logging=stderr", "--log-level=0"}, args...)
	cmd := exec.CommandContext(ctx, tool(t, "chromium", "chromium"), append(args, page)...)
	cmd.WaitDelay = 5 * time.Second // its helpers may keep the output open
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, &said)
	}
	if complaint := said.String(); strings.Contains(complaint, "CONSOLE") {
		t.Errorf("the browser complains: %s", complaint)
	}
	return out.String()
}

// look is a picture of the page at the width of a phone. STATUS_SHOTS=FOLDER keeps it there under this name.
func look(t *testing.T, page, name string, dark bool) image.Image {
	t.Helper()
	file := filepath.Join(cmp.Or(os.Getenv("STATUS_SHOTS"), t.TempDir()), name+".png")
	browser(t, page, "--screenshot="+file, fmt.Sprint("--blink-settings=preferredColorScheme=", map[bool]int{true: 0, false: 1}[dark]))
	content := []byte(harness.Read(t, file))
	picture, err := png.Decode(bytes.NewReader(content))
	harness.Must(t, err)
	return picture
}

// shows reports whether some pixel of the picture has this colour.
func shows(picture image.Image, want color.Color) bool {
	r, g, b, _ := want.RGBA()
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if pr, pg, pb, _ := picture.At(x, y).RGBA(); pr == r && pg == g && pb == b {
				return true
			}
		}
	}
	return false
}

// fits wants nothing to reach the edge of the picture, as text would that is wider than the phone.
func fits(t *testing.T, picture image.Image, back color.Color) {
	t.Helper()
	size := picture.Bounds()
	if size.Dx() != 412 {
		t.Fatalf("the picture is %d wide", size.Dx())
	}
	r, g, b, _ := back.RGBA()
	for y := range size.Dy() {
		for x := size.Dx() - 8; x < size.Dx(); x++ {
			if pr, pg, pb, _ := picture.At(x, y).RGBA(); pr != r || pg != g || pb != b {
				t.Fatalf("at %d,%d the page has %v, want the margin's %v", x, y, picture.At(x, y), back)
			}
		}
	}
}

// Colours of the page, which prove that its style is used.
var (
	white, black = color.RGBA{0xff, 0xff, 0xff, 255}, color.RGBA{0x15, 0x18, 0x1c, 255}
	amber        = color.RGBA{0x8a, 0x5a, 0x00, 255}
	red1, green1 = color.RGBA{0xc0, 0x39, 0x2b, 255}, color.RGBA{0x1a, 0x7f, 0x37, 255}
)

func TestStatusPageInABrowser(t *testing.T) {
	t.Parallel()
	tool(t, "chromium", "chromium")
	const users = "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_"
	p := ready(t, newPath(t), append(slices.Clone(quick), anyAdmin, "ACCOUNTSERVICE_LOG_LEVEL=debug")...)
	page := p.Admin(t) + "/status"
	p.Await(t, "/health?strict", 200)
	dom := browser(t, page, "--dump-dom")
	for _, want := range []string{"accountservice: OK, ready", "100 accounts when all were read", "MiB", "If it fails (restart)",
		"the orchestrator replaces", "Version dev"} {
		if !strings.Contains(dom, want) {
			t.Errorf("a well service's page lacks %q:\n%s", want, dom)
		}
	}
	well := look(t, page, "status-well", false)
	if fits(t, well, white); !shows(well, green1) || shows(well, red1) {
		t.Error("the page of a well service is not green")
	}
	fits(t, look(t, page, "status-dark", true), black)
	p.Stop(t, 0)
	if asked := strings.Count(p.Log.String(), `"msg":"request","method":"GET","route":"/status"`); asked != 3 || strings.Contains(p.Log.String(), "favicon") {
		t.Errorf("the browser asked for %d pages, and perhaps more", asked)
	}

	ill := ready(t, newPath(t), append(slices.Clone(quick), anyAdmin, users+"URL=tcp://127.0.0.1:1", users+"INTERVAL=300ms", users+"TIMEOUT=200ms")...)
	harness.Must(t, os.Truncate(ill.Path, 8192))
	ill.Await(t, "/health", 503)
	picture := look(t, ill.Admin(t)+"/status", "status-ill", false)
	if fits(t, picture, white); !shows(picture, red1) {
		t.Error("the page of an ill service is not red")
	}
	dom = browser(t, ill.Admin(t)+"/status", "--dump-dom")
	for _, want := range []string{"accountservice: Unavailable, not ready", "is cut short", "What to do", "restore a backup", "✕",
		"connection refused", "Look at that service"} {
		if !strings.Contains(dom, want) {
			t.Errorf("an ill service's page lacks %q:\n%s", want, dom)
		}
	}
	if strings.Index(dom, "<h2>users") > strings.Index(dom, "<h2>disk") {
		t.Error("a check that fails stands behind one that does not")
	}
	ill.Stop(t, 3)

	owner := ready(t, newPath(t))
	waiting := start(t, owner.Path, anyAdmin, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=1m")
	waiting.Says(t, "/health", "another process holds")
	picture = look(t, waiting.Admin(t)+"/status", "status-starting", false)
	if fits(t, picture, white); shows(picture, green1) || shows(picture, red1) || !shows(picture, amber) {
		t.Error("the page of a starting service is not amber")
	}
	if dom = browser(t, waiting.Admin(t)+"/status", "--dump-dom"); !strings.Contains(dom, "<b>starting</b>: opening the database: another process holds") {
		t.Errorf("a starting service's page: %s", dom)
	}
}

func TestSizeSaysWhetherAllAccountsWereRead(t *testing.T) {
	for accounts, want := range map[int64]string{-1: "Not all accounts have been read since the start. The database file",
		0: "0 accounts when all were read the last time. The database file"} {
		if got := sizeOf(boltstore.Size{Accounts: accounts}); !strings.HasPrefix(got, want) {
			t.Errorf("%d accounts: %q, want %q", accounts, got, want)
		}
	}
}
