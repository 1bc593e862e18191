package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFile is more than Docker lets a config object hold.
const maxFile = 1 << 20

// fileReader turns a YAML file into settings. It reads nodes and not values, so
// that every text is as the operator wrote it, with its line.
type fileReader struct {
	*loader
	path     string
	settings layer
}

// readFile returns the settings of the file at path; variable is the one that names it, or "".
func (l *loader) readFile(path, variable string) layer {
	f := fileReader{loader: l, path: path, settings: layer{}}
	if path == "" {
		return f.settings
	}
	content, err := readBounded(path, maxFile)
	if err != nil {
		if variable != "" {
			variable = " (named by " + variable + ")"
		}
		f.bad[""] = true
		f.fault(f.path, "the configuration file%s %v", variable, err)
		return f.settings
	}
	if root := f.document(content); root != nil {
		f.section(root, keyPath{})
	} else {
		f.bad[""] = true
	}
	return f.settings
}

// document returns the root of the one document in the file, nil after a fault.
func (f *fileReader) document(content []byte) *yaml.Node {
	for i, line := range bytes.Split(content, []byte("\n")) {
		if !utf8.Valid(line) {
			f.broken(i+1, "is not valid UTF-8")
			return nil
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode} // no document: no settings
	case err != nil:
		f.syntax(err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		f.broken(second.Line, "starts a second YAML document: only one is read, so remove the line ---")
		return nil
	case !errors.Is(err, io.EOF):
		f.syntax(err)
		return nil
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" && root.Value == "" {
		return &yaml.Node{Kind: yaml.MappingNode} // --- and comments only
	}
	if err := usable(root); err != nil {
		f.broken(root.Line, err.Error())
		return nil
	}
	if root.Kind != yaml.MappingNode {
		f.broken(root.Line, "must hold sections such as http:, not "+kindOf(root))
		return nil
	}
	return root
}

// yamlError splits an error of the parser into line and message.
var yamlError = regexp.MustCompile(`(?s)^(?:yaml: )?(?:line (\d+): )?(.*)`)

func (f *fileReader) syntax(err error) {
	at := f.path
	parts := yamlError.FindStringSubmatch(err.Error())
	if strings.HasPrefix(parts[2], "unknown anchor") { // it quotes the text behind the *, which can be a password
		f.fault(at, "uses a YAML alias (*) that names nothing: write a value that begins with * in quotes")
		return
	}
	if parts[1] != "" {
		at += ":" + parts[1]
	}
	what := strings.Join(strings.Fields(parts[2]), " ")
	if strings.Contains(what, "cannot start any token") {
		what += ": indent by spaces and not by tabs, and write a value that begins with @, % or ` in quotes"
	}
	f.fault(at, "is not YAML: %s", what)
}

// broken notes a fault of the file, not of a key.
func (f *fileReader) broken(line int, message string) {
	f.fault(fmt.Sprintf("%s:%d", f.path, line), "%s", message)
}

// keyPath is where a key of the file is.
type keyPath struct {
	pattern    string // the key in the schema: checks.dependencies.NAME.url
	dependency string // users
	at         string // file:line
}

// key is the key as the file has it: checks.dependencies.users.url.
func (p keyPath) key() string { return named(p.pattern, p.dependency) }

func (f *fileReader) section(mapping *yaml.Node, in keyPath) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		name, value := mapping.Content[i], mapping.Content[i+1]
		p := keyPath{pattern: join(in.pattern, name.Value), dependency: in.dependency, at: f.at(name)}
		if in.pattern == dependenciesKey {
			p.pattern, p.dependency = join(in.pattern, anyName), name.Value
			if name.Value == "" {
				f.fault(in.pattern, "(%s) has an entry without a name: name it", p.at)
				continue
			}
		}
		if before := first[name.Value]; before != nil {
			f.badFault(p.key(), "is in the file twice, at %s and %s: keep one", f.at(before), p.at)
			continue
		}
		first[name.Value] = name
		f.entry(value, p)
	}
}

// entry reads one key: a setting, a section, or a mistake.
func (f *fileReader) entry(value *yaml.Node, p keyPath) {
	r, isSetting := f.schema.byKey[p.pattern]
	err := usable(value)
	switch {
	case !isSetting && !f.schema.sections[p.pattern]:
		f.unknownKey(p)
		return
	case err == nil && isSetting && value.Kind != yaml.ScalarNode:
		err = errors.New("must be one value, not " + kindOf(value))
	case err == nil && !isSetting && value.Kind != yaml.MappingNode:
		err = errors.New("is a section: write its keys below it, not " + kindOf(value))
	}
	switch {
	case err != nil:
		f.badFault(p.key(), "(%s) %v", p.at, err)
	case isSetting:
		f.add(f.settings, setting{row: r, dependency: p.dependency, text: value.Value, source: source{location: p.at}})
	default:
		if parent(p.pattern) == dependenciesKey {
			f.declared[p.dependency] = cmp.Or(f.declared[p.dependency], p.at)
		}
		f.section(value, p)
	}
}

func (f *fileReader) at(node *yaml.Node) string {
	return fmt.Sprintf("%s:%d", oneLine(f.path), node.Line)
}

func (f *fileReader) unknownKey(p keyPath) {
	cure := ": accountservice config docs lists all"
	if near := f.schema.nearestKey(p.pattern); near != "" {
		cure = ", did you mean " + show(named(near, p.dependency)) + "?"
	}
	f.unknown(p.key(), "unknown key ("+p.at+")"+cure)
}

// usable refuses YAML that a configuration does not need: anchors and aliases, tags, and keys without a value.
func usable(node *yaml.Node) error {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		return errors.New("uses a YAML anchor or alias: write the value itself")
	case node.Style&yaml.TaggedStyle != 0:
		return errors.New("has a YAML tag (!): remove it")
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		return errors.New(`has no value: give it one ("" for an empty text, {} for an empty section), ` +
			"or remove the line")
	case node.Kind == yaml.MappingNode && len(node.Content) > 0 && node.Content[0].Kind == yaml.MappingNode:
		return errTemplate // {{ .Node.Hostname }} without quotes is a mapping in a mapping
	}
	return nil
}

func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}
