package dependency

import (
	"cmp"
	"net/http"

	"accountservice/internal/httpcheck"
)

// statuses reads expect_status: codes and ranges of them, such as 200-299,401. Without the option it is 2xx.
func (t *target) statuses() (wanted func(code int) bool) {
	wanted = httpcheck.Status(cmp.Or(t.text("expect_status"), "2xx"))
	if wanted == nil {
		t.fault("must have codes from 200 to 599 as its option expect_status, or ranges of them, such as 200-299,401")
	}
	return wanted
}

// headerFile reads the option header_file, a file with lines such as Authorization: Bearer abc. add adds them to a
// header. It reads the file again each time, so that a token may change.
func (t *target) headerFile() (add func(http.Header) error) {
	file := t.take("header_file")
	add = func(h http.Header) error {
		if file == "" {
			return nil
		}
		if !isFile(file) {
			return errHeaderFile
		}
		fields, err := httpcheck.ReadFields(file)
		if err != nil {
			return errHeaderFile
		}
		for _, field := range fields {
			h.Add(field.Name, field.Value)
		}
		return nil
	}
	if add(http.Header{}) != nil {
		t.fault("has a header_file that can't be used: it must be a readable file with lines such as " +
			"Authorization: Bearer abc")
	}
	return add
}

var errHeaderFile = verdictf("the file of header_file can't be used any more")
