package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample has a setting of every type, for those Config has none of yet.
type sample struct {
	Web struct {
		Port    int           `key:"port" min:"1" max:"65535"`
		Open    bool          `key:"open"`
		Proxies []string      `key:"proxies"`
		Wait    time.Duration `key:"wait" min:"0s" max:"1h"`
		Host    string        `key:"host"`
	} `key:"web"`
}

// loadSample is Load for a sample.
func loadSample(t *testing.T, content string, environ ...string) (sample, error) {
	t.Helper()
	var defaults, got sample
	defaults.Web.Wait, defaults.Web.Host = time.Second, "all"
	l := newLoader(defaults, nil)
	file := l.readFile(writeFile(t, "a.yaml", content), "")
	l.decode(file, l.readEnviron(l.ours(environ)), &got)
	if len(l.faults) > 0 {
		return got, l.faults
	}
	return got, nil
}

// Each case is a row of the Viper table in facts.md: what gave a wrong value
// without an error there gives the right value or an error here.
func TestRowsOfTheViperTable(t *testing.T) {
	value := func(change func(*sample)) sample {
		var s sample
		s.Web.Wait, s.Web.Host = time.Second, "all"
		change(&s)
		return s
	}
	const noUnit = "has no unit: write 5s, 500ms or 2m"
	const noNumber = "must be a whole decimal number: digits only, without leading zeros, 0x, _, e or +"
	for name, row := range map[string]struct {
		file, variable, text string
		value                sample
		fault                string
	}{
		"a key without default":          {"", "PORT", "7000", value(func(s *sample) { s.Web.Port = 7000 }), ""},
		"an empty variable":              {"", "HOST", "", value(func(*sample) {}), ""},
		"a misspelt variable":            {"", "PROT", "1", sample{}, "ACCOUNTSERVICE_WEB_PROT: unknown variable, did you mean ACCOUNTSERVICE_WEB_PORT?"},
		"a duration without unit":        {"", "WAIT", "5", sample{}, "web.wait: 5 (from ACCOUNTSERVICE_WEB_WAIT) " + noUnit},
		"a number that is none":          {"", "PORT", "67x67", sample{}, "web.port: 67x67 (from ACCOUNTSERVICE_WEB_PORT) " + noNumber},
		"a truth that is none":           {"", "OPEN", "yes", sample{}, "web.open: yes (from ACCOUNTSERVICE_WEB_OPEN) must be true or false"},
		"a truth":                        {"", "OPEN", "true", value(func(s *sample) { s.Web.Open = true }), ""},
		"an octal port":                  {"", "PORT", "0777", sample{}, "web.port: 0777 (from ACCOUNTSERVICE_WEB_PORT) " + noNumber},
		"a list with commas and a space": {"", "PROXIES", "a, b", value(func(s *sample) { s.Web.Proxies = []string{"a", "b"} }), ""},
		"a list with an empty item":      {"", "PROXIES", "a,,b", sample{}, "web.proxies: a,,b (from ACCOUNTSERVICE_WEB_PROXIES) has an empty item: write a list as a,b"},
		"a list in the file":             {"web: {proxies: [a, b c]}", "HOST", "", value(func(s *sample) { s.Web.Proxies = []string{"a", "b c"} }), ""},
		"an empty list in the file":      {"web: {proxies: []}", "HOST", "", value(func(s *sample) {}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := loadSample(t, row.file, "ACCOUNTSERVICE_WEB_"+row.variable+"="+row.text)
			if row.fault != "" {
				wantFaults(t, err, row.fault)
				return
			}
			if err != nil || !reflect.DeepEqual(got, row.value) {
				t.Errorf("got %+v, %v, want %+v", got, err, row.value)
			}
		})
	}
}

func TestSectionAsVariableKeepsTheOtherSettings(t *testing.T) {
	got, err := loadSample(t, "", "ACCOUNTSERVICE_WEB=x", "ACCOUNTSERVICE_WEB_PORT=7000")
	wantFaults(t, err, "ACCOUNTSERVICE_WEB: names the section web and no setting: write the variable of a key in it, such as ACCOUNTSERVICE_WEB_PORT")
	if got.Web.Host != "all" || got.Web.Port != 7000 {
		t.Errorf("got %+v", got)
	}
}

func TestFilesOfTheViperTable(t *testing.T) {
	for content, want := range map[string]string{
		"web: {prot: 1}":            "web.prot: unknown key (FILE:1), did you mean web.port?",
		"web: {wait: 5}":            "web.wait: 5 (from FILE:1) has no unit: write 5s, 500ms or 2m",
		"web: {proxies: [a, [b]]}":  "web.proxies: (FILE:1) must be a list of texts without commas, none of them empty",
		"web: {proxies: ['a,b']}":   "web.proxies: (FILE:1) must be a list of texts without commas, none of them empty",
		"web: {proxies: [~]}":       "web.proxies: (FILE:1) must be a list of texts without commas, none of them empty",
		"web: {proxies: [&a b]}":    "web.proxies: (FILE:1) must be a list of texts without commas, none of them empty",
		"web: {proxies: {a: true}}": "web.proxies: (FILE:1) must be a list of texts, not a section",
	} {
		path := writeFile(t, "a.yaml", content)
		l := newLoader(sample{}, nil)
		file := l.readFile(path, "")
		l.decode(file, nil, &sample{})
		wantFaults(t, l.faults, strings.ReplaceAll(want, "FILE", path))
	}
}
