package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print writes every value in force and where it came from. "yaml" is a file that Load takes, with the origins as
// comments; "json" is the same tree with the origins beside it, by key; "env" is the file of docker run --env-file.
// Secrets are masked.
func (l Loaded) Print(w io.Writer, format string) error {
	printers := map[string]func(io.Writer) error{"yaml": l.printYAML, "json": l.printJSON, "env": l.printEnv}
	printer, known := printers[format]
	if !known {
		return fmt.Errorf("unknown format %q: want yaml, json or env", format)
	}
	if err := printer(w); err != nil {
		return fmt.Errorf("config print: %w", err)
	}
	return nil
}

// plainValue keeps numbers and booleans; all else is the text that Load takes.
func plainValue(value any) any {
	switch value.(type) {
	case int, bool:
		return value
	}
	return format(value)
}

// comments are the notes, each on a line.
func (l Loaded) comments() *strings.Builder {
	var b strings.Builder
	for _, note := range l.Notes {
		fmt.Fprintf(&b, "# %s\n", note)
	}
	return &b
}

func (l Loaded) printYAML(w io.Writer) error {
	b := l.comments()
	open := "" // the section of the line before
	for _, r := range rowsOf(l.Config) {
		path := strings.Split(r.key, ".")
		for i, name := range path {
			if section := strings.Join(path[:i+1], "."); !strings.HasPrefix(open+".", section+".") {
				fmt.Fprintf(b, "\n%s%s:", strings.Repeat("  ", i), yamlText(name))
			}
		}
		open = parent(r.key)
		fmt.Fprintf(b, " %s # %s", yamlText(plainValue(r.value)), l.origins[r.key])
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, strings.TrimPrefix(b.String(), "\n"))
	return err
}

// yamlText is a value as YAML on one line: a text that looks like a number is quoted.
func yamlText(value any) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		panic(err) // it is a number, a boolean or a text
	}
	return strings.TrimSuffix(string(text), "\n")
}

func (l Loaded) printJSON(w io.Writer) error {
	root, origins := map[string]any{}, map[string]string{}
	for _, r := range rowsOf(l.Config) {
		section, path := root, strings.Split(r.key, ".")
		for _, name := range path[:len(path)-1] {
			inner, _ := section[name].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
				section[name] = inner
			}
			section = inner
		}
		section[path[len(path)-1]] = plainValue(r.value)
		origins[r.key] = l.origins[r.key].String()
	}
	root["origins"] = origins
	if len(l.Notes) > 0 {
		root["notes"] = l.Notes
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(root)
}

func (l Loaded) printEnv(w io.Writer) error {
	b := l.comments()
	for _, r := range rowsOf(l.Config) {
		name, from := variable(r.key), l.origins[r.key]
		if strings.Contains(name, "-") {
			fmt.Fprintf(b, "# %s can only be set in a file (%s)\n", r.key, from)
			continue
		}
		fmt.Fprintf(b, "# %s\n%s=%s\n", from, name, format(r.value))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
