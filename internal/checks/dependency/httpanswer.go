package dependency

import (
	"cmp"
	"net/http"

	"accountservice/internal/httpcheck"
)

// body reads expect_body. It is nil without the option.
func (t *target) body() func(content []byte) error {
	want := t.text("expect_body")
	if want == "" {
		return nil
	}
	has := httpcheck.Body("expect_body", want)
	return func(content []byte) error {
		if err := has(content); err != nil {
			return verdictf("%v", err)
		}
		return nil
	}
}

// statuses reads expect_status: codes and ranges of them, such as 200-299,401. Without the option it is 2xx.
func (t *target) statuses() (wanted func(code int) bool) {
	wanted = httpcheck.Status(cmp.Or(t.text("expect_status"), "2xx"))
	if wanted == nil {
		t.fault("must have codes from 200 to 599 as its option expect_status, or ranges of them, such as 200-299,401")
	}
	return wanted
}

// headerFile is the name of a file with lines of a request header, such as Authorization: Bearer abc.
type headerFile string

// headerFile reads the option header_file. The file is read again for every request, so that a token may change.
func (t *target) headerFile() headerFile {
	name, _ := t.take("header_file")
	file := headerFile(name)
	if err := file.set(http.Header{}); err != nil {
		t.fault("has a header_file that can't be used: it must be a readable file with lines such as " +
			"Authorization: Bearer abc")
	}
	return file
}

// set adds the lines of the file to h.
func (f headerFile) set(h http.Header) error {
	if f == "" {
		return nil
	}
	fields, err := httpcheck.ReadFields(string(f))
	if err != nil {
		return verdictf("the file of header_file can't be used any more")
	}
	for _, field := range fields {
		h.Add(field.Name, field.Value)
	}
	return nil
}
