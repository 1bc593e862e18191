package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print writes every value in force and where it came from. "yaml" is a file
// that Load takes, with the origins as comments; "json" is the same tree with
// the origins beside it, by key; "env" is the file of docker run --env-file.
// Secrets are masked.
func (l Loaded) Print(w io.Writer, format string) error {
	printers := map[string]func(io.Writer) error{"yaml": l.printYAML, "json": l.printJSON, "env": l.printEnv}
	printer, known := printers[format]
	if !known {
		return fmt.Errorf("config print: unknown format %q: want yaml, json or env", format)
	}
	if err := printer(w); err != nil {
		return fmt.Errorf("config print: %w", err)
	}
	return nil
}

// tree returns every value, with its origin as a comment.
func (l Loaded) tree() (*yaml.Node, error) {
	root := &yaml.Node{Kind: yaml.MappingNode, HeadComment: strings.Join(l.Notes, "\n")}
	for _, r := range rowsOf(l.Config) {
		section := root
		path := strings.Split(r.key, ".")
		for _, name := range path[:len(path)-1] {
			section = subsection(section, name)
		}
		value := &yaml.Node{}
		if err := value.Encode(plainValue(r.value)); err != nil {
			return nil, err
		}
		value.LineComment = l.origins[r.key].String()
		section.Content = append(section.Content, textNode(path[len(path)-1]), value)
	}
	return root, nil
}

// subsection returns the mapping of this name and adds it if it is missing. The
// rows of a section follow each other, so only the last entry can have the name.
func subsection(section *yaml.Node, name string) *yaml.Node {
	if last := len(section.Content) - 2; last >= 0 && section.Content[last].Value == name {
		return section.Content[last+1]
	}
	made := &yaml.Node{Kind: yaml.MappingNode}
	section.Content = append(section.Content, textNode(name), made)
	return made
}

func textNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// plainValue keeps numbers and booleans; all else is the text that Load takes.
func plainValue(value any) any {
	switch value.(type) {
	case int, bool:
		return value
	}
	return format(value)
}

func (l Loaded) printYAML(w io.Writer) error {
	root, err := l.tree()
	if err != nil {
		return err
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return err
	}
	return encoder.Close()
}

func (l Loaded) printJSON(w io.Writer) error {
	tree, err := l.tree()
	if err != nil {
		return err
	}
	root, origins := map[string]any{}, map[string]string{}
	if err := tree.Decode(&root); err != nil {
		return err
	}
	for _, r := range rowsOf(l.Config) {
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
	var b strings.Builder
	for _, note := range l.Notes {
		fmt.Fprintf(&b, "# %s\n", note)
	}
	for _, r := range rowsOf(l.Config) {
		name, from := variable(r.key), l.origins[r.key]
		if strings.Contains(name, "-") {
			fmt.Fprintf(&b, "# %s can only be set in a file (%s)\n", r.key, from)
			continue
		}
		fmt.Fprintf(&b, "# %s\n%s=%s\n", from, name, format(r.value))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
