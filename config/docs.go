package config

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"accountservice/configs"
)

const docsNotes = "\n" +
	"`NAME` is a dependency's name: lower-case letters, digits, `_` and `-` in the file. In a variable it\n" +
	"is in capitals, without `-`: `ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USER_API_URL` is the `url` of\n" +
	"`user_api`. These names are reserved for checks of the service itself, of this version or a later one:\n%s.\n\n" +
	"Every variable can end in `_FILE` and then names a file that holds the value, such as a Docker secret;\n" +
	"one line end after the value is cut. An empty variable counts as not set. A key in the file needs a\n" +
	"value: `\"\"` is an empty text. Durations carry units (`5s`, `1m30s`). A size without a unit is a\n" +
	"number of bytes (`64MiB` is 67108864). Numbers are decimal, unknown names are errors.\n"

// Docs writes the table of all settings as Markdown, for docs/settings.md.
func Docs(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| Key | Variable | Default | Range | Meaning |\n|---|---|---|---|---|\n")
	line := func(key, name, byDefault, span, doc string) {
		doc = strings.ReplaceAll(doc, "|", `\|`)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(key), code(name), byDefault, span, doc)
	}
	s, means := newSchema(), meanings(configs.Sample)
	for _, r := range s.rows {
		meaning := means[r.key]
		if r.inherit != "" {
			meaning = "as " + r.inherit + ", for this check"
		}
		line(r.key, variable(r.key), r.docsDefault(), r.docsRange(), meaning)
	}
	line("", fileVariable, "none", "", "the YAML file with the settings above; variables go before it")
	line("", unknownVariable, code("error"), code("error", "warn"),
		"what an unknown name in file or environment is; warn while a rollout has two versions running")
	fmt.Fprintf(&b, docsNotes, code(s.reservedNames()...))
	_, err := io.WriteString(w, b.String())
	return err
}

// sampleLine is a setting or a section, with or without a # that takes it out of force, and the comment behind it; or
// the comment alone.
var sampleLine = regexp.MustCompile(`^( *)(?:#?(\w+):[^#]*)?(?:# (.*))?$`)

// commentColumn is where a comment begins that goes on with the one above.
const commentColumn = 20

// meanings returns what the comments of the sample file say of each key.
func meanings(sample string) map[string]string {
	found := map[string]string{}
	var path []string
	for line := range strings.SplitSeq(sample, "\n") {
		parts := sampleLine.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		indent, name, comment := len(parts[1]), parts[2], parts[3]
		if name != "" {
			path = append(path[:indent/2], name)
		}
		key := strings.Replace(strings.Join(path, "."), dependenciesKey+".users", dependenciesKey+"."+anyName, 1)
		if name != "" || indent > commentColumn {
			found[key] = strings.TrimSpace(found[key] + " " + comment)
		}
	}
	return found
}

// code is a list of texts as Markdown code; an empty text is none.
func code(texts ...string) string {
	if text := strings.Join(texts, "`, `"); text != "" {
		return "`" + text + "`"
	}
	return ""
}

func (r row) docsDefault() string {
	switch {
	case r.inherit != "":
		return "as " + code(r.inherit)
	case r.required && r.initial == "":
		return "must be set"
	case format(r.byDefault()) == "":
		return "empty"
	}
	return code(format(r.byDefault()))
}

func (r row) docsRange() string {
	_, isBool := r.value.(bool)
	switch {
	case isBool:
		return code("true", "false")
	case len(r.oneof) > 0:
		return code(r.oneof...)
	}
	return r.span()
}
