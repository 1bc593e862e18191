package config

import (
	"strings"
	"testing"
)

// Each row is a text that an --env-file, a compose file or an editor leaves in a
// variable by mistake. Variables are without their prefix.
func TestTextThatCannotBeMeantIsRefused(t *testing.T) {
	const quoted = "starts or ends with a quote, which docker run --env-file does not remove: remove it"
	const unexpanded = "holds a variable ($) that was not expanded: expand it, or write the value itself"
	const host = "must be an IP address or a name, without http:// and port; empty for all addresses"
	const addr = "must be host:port, such as 127.0.0.1:6768, or off; the host is an IP address, a name, or empty for all"
	for name, row := range map[string]struct{ variable, key, says string }{
		"a path in quotes":           {`STORE_BOLT_PATH="accounts.db"`, "store.bolt.path", quoted},
		"a path in single quotes":    {`STORE_BOLT_PATH='accounts.db'`, "store.bolt.path", quoted},
		"a quote that is not closed": {`STORE_BOLT_PATH="accounts.db`, "store.bolt.path", quoted},
		"a quote and a comment":      {`STORE_BOLT_PATH="accounts.db" # mine`, "store.bolt.path", quoted},
		"quotes of a word processor": {`STORE_BOLT_PATH=“accounts.db”`, "store.bolt.path", quoted},
		"quotes around nothing":      {`STORE_BOLT_RESCUE_DIR=""`, "store.bolt.rescue_dir", quoted},
		"a number in quotes":         {`HTTP_PORT="7000"`, "http.port", quoted},
		"a duration in quotes":       {`CHECKS_INTERVAL='5s'`, "checks.interval", quoted},
		"a word in quotes":           {`LOG_LEVEL="info"`, "log.level", quoted},
		"off in quotes":              {`ADMIN_ADDR="off"`, "admin.addr", quoted},

		"a variable in a path":          {"STORE_BOLT_PATH=${DATA}/accounts.db", "store.bolt.path", unexpanded},
		"a variable without braces":     {"STORE_BOLT_PATH=/data/$NAME.db", "store.bolt.path", unexpanded},
		"a variable of Kubernetes":      {"STORE_BOLT_PATH=/data/$(NAME)", "store.bolt.path", unexpanded},
		"a variable with a default":     {"HTTP_PORT=${PORT:-7000}", "http.port", unexpanded},
		"a variable as a port":          {"ADMIN_ADDR=127.0.0.1:$PORT", "admin.addr", unexpanded},
		"a variable as a host":          {"HTTP_HOST=$HOST", "http.host", unexpanded},
		"a host with a variable in it":  {"HTTP_HOST=a$HOST", "http.host", host},
		"a star as the host":            {"HTTP_HOST=*", "http.host", host},
		"a host with its port":          {"HTTP_HOST=1.2.3.4:80", "http.host", host},
		"a name with its port":          {"HTTP_HOST=localhost:80", "http.host", host},
		"an IPv6 host with its port":    {"HTTP_HOST=[::1]:80", "http.host", host},
		"a space in the host":           {"HTTP_HOST=local host", "http.host", host},
		"a path in the host":            {"HTTP_HOST=localhost/", "http.host", host},
		"a network as the host":         {"HTTP_HOST=10.0.0.0/8", "http.host", host},
		"a number above 255":            {"HTTP_HOST=256.1.1.1", "http.host", host},
		"half an address":               {"HTTP_HOST=127.1", "http.host", host},
		"a name that is not ASCII":      {"HTTP_HOST=bücher.example", "http.host", host},
		"an empty label":                {"HTTP_HOST=a..b", "http.host", host},
		"IPv4 in brackets":              {"HTTP_HOST=[1.2.3.4]", "http.host", host},
		"half a bracket":                {"HTTP_HOST=[::", "http.host", host},
		"two brackets":                  {"HTTP_HOST=[[::]]", "http.host", host},
		"an address of no certain link": {"HTTP_HOST=fe80::1", "http.host", host},
		"a star as the admin's host":    {"ADMIN_ADDR=*:6768", "admin.addr", addr},
		"a host without a port":         {"ADMIN_ADDR=127.0.0.1", "admin.addr", addr},
		"a named port":                  {"ADMIN_ADDR=127.0.0.1:http", "admin.addr", addr},
		"a port that is too large":      {"ADMIN_ADDR=127.0.0.1:65536", "admin.addr", addr},
		"IPv6 without brackets":         {"ADMIN_ADDR=::1:6768", "admin.addr", addr},
		"a space in the admin's host":   {"ADMIN_ADDR=local host:6768", "admin.addr", addr},
		"a network and a port":          {"ADMIN_ADDR=10.0.0.0/8:6768", "admin.addr", addr},
	} {
		t.Run(name, func(t *testing.T) {
			variable, text, _ := strings.Cut(row.variable, "=")
			_, err := Load("", []string{EnvPrefix + row.variable})
			wantFaults(t, err, row.key+": "+show(text)+" (from "+EnvPrefix+variable+") "+row.says)
		})
	}
}

func TestURLInsteadOfAHostIsRefusedWithoutItsPassword(t *testing.T) {
	_, err := Load("", []string{"ACCOUNTSERVICE_HTTP_HOST=http://u:hunter2@0.0.0.0", "ACCOUNTSERVICE_ADMIN_ADDR=http://u:hunter2@0.0.0.0:6768"})
	wantFaults(t, err,
		"admin.addr: http://xxxxx (from ACCOUNTSERVICE_ADMIN_ADDR) must be host:port, such as 127.0.0.1:6768, or off; the host is an IP address, a name, or empty for all",
		"http.host: http://xxxxx (from ACCOUNTSERVICE_HTTP_HOST) must be an IP address or a name, without http:// and port; empty for all addresses")
}

func TestSecretThatIsNoHostIsNotShown(t *testing.T) {
	path := writeFile(t, "host", "hunter 2\n")
	_, err := Load("", []string{"ACCOUNTSERVICE_HTTP_HOST_FILE=" + path})
	wantFaults(t, err, "http.host: the value (from secret file "+path+", named by ACCOUNTSERVICE_HTTP_HOST_FILE) "+
		"must be an IP address or a name, without http:// and port; empty for all addresses")
}

func TestHostThatCanListenIsTaken(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0": "0.0.0.0", "::": "::", "[::]": "::", "[::1]": "::1", "fe80::1%eth0": "fe80::1%eth0",
		"[fe80::1%eth0]": "fe80::1%eth0", "::ffff:127.0.0.1": "::ffff:127.0.0.1", "localhost": "localhost",
		"accounts_accountservice": "accounts_accountservice", "a.example.": "a.example.", "1and1.com": "1and1.com", "7": "",
	} {
		loaded, err := Load("", []string{"ACCOUNTSERVICE_HTTP_HOST=" + text})
		if got := loaded.HTTP.Host; got != want || (err != nil) != (want == "") {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, addr := range []string{":6768", "[::]:6768", "localhost:0", "0.0.0.0:6768", "off"} {
		if got := load(t, "ACCOUNTSERVICE_ADMIN_ADDR="+addr).Admin.Addr; got != addr {
			t.Errorf("got %q, want %q", got, addr)
		}
	}
}

func TestQuotesAndDollarsThatCanBeMeantAreTaken(t *testing.T) {
	for _, url := range []string{
		`http://u:'hunter2'@users/`, "http://u:$hunter2@users/", "http://u:a$(b)@users/",
		"http://users/$metadata", `http://users/"a"`, "http://users/?q=$1",
	} {
		loaded, err := Load("", []string{usersURL + "=" + url})
		if err != nil || loaded.Checks.Dependencies["users"].URL.Reveal() != url {
			t.Errorf("%s: got %v", url, err)
		}
	}
	for _, path := range []string{"/data/it's.db", `/data/my "own".db`, "/data/a$b.db", "/data/100$.db"} {
		if got := load(t, "ACCOUNTSERVICE_STORE_BOLT_PATH="+path).Store.Bolt.Path; got != path {
			t.Errorf("got %q, want %q", got, path)
		}
	}
}

func TestURLInQuotesOrOfAVariableIsRefused(t *testing.T) {
	for url, says := range map[string]string{
		`"http://users/"`: "starts or ends with a quote, which docker run --env-file does not remove: remove it",
		`'http://users/'`: "starts or ends with a quote, which docker run --env-file does not remove: remove it",
		"http://$HOST/":   "holds a variable ($) that was not expanded: expand it, or write the value itself",
		"${USERS}":        "is no absolute URL: write it as scheme://host/path",
	} {
		_, err := Load("", []string{usersURL + "=" + url})
		wantFaults(t, err, "checks.dependencies.users.url: the value (from "+usersURL+") "+says)
	}
}

func TestMarkOrQuoteBeforeANameIsRefused(t *testing.T) {
	for _, name := range []string{"\ufeffACCOUNTSERVICE_HTTP_PORT", `"ACCOUNTSERVICE_HTTP_PORT`, "\ufeffACCOUNTSERVICE_CONFIG"} {
		_, err := Load("", []string{name + "=7000"})
		wantFaults(t, err, show(name)+": starts with a quote or a byte-order mark: remove it where the variable is set")
	}
	path := writeFile(t, "a.yaml", "\ufeffhttp: {port: 7000}\n")
	_, err := Load(path, nil)
	wantFaults(t, err, path+": the configuration file starts with a byte-order mark: save it as UTF-8 without one")
	path = writeFile(t, "a.yaml", "log: {level: warn}\n\ufeffhttp: {port: 7000}\n")
	_, err = Load(path, nil)
	wantFaults(t, err, `"\ufeffhttp": unknown key (`+path+`:2), did you mean http?`)
}

// Kubernetes sets such variables for every Service, Docker for a link.
func TestInjectedVariablesArePassedOver(t *testing.T) {
	loaded := load(t,
		"ACCOUNTSERVICE_SERVICE_HOST=10.96.0.7", "ACCOUNTSERVICE_SERVICE_PORT=6767", "ACCOUNTSERVICE_SERVICE_PORT_HTTP=6767",
		"ACCOUNTSERVICE_PORT=tcp://10.96.0.7:6767", "ACCOUNTSERVICE_PORT_6767_TCP=tcp://10.96.0.7:6767",
		"ACCOUNTSERVICE_PORT_6767_TCP_PROTO=tcp", "ACCOUNTSERVICE_PORT_6767_TCP_PORT=6767", "ACCOUNTSERVICE_PORT_6767_TCP_ADDR=10.96.0.7",
		"ACCOUNTSERVICE_PORT_53_UDP=udp://[fd00::7]:53", "ACCOUNTSERVICE_PORT_53_UDP_ADDR=fd00::7",
		"ACCOUNTSERVICE_NAME=/caller/accountservice", "ACCOUNTSERVICE_ENV_PATH=/bin", "ACCOUNTSERVICE_ENV_ACCOUNTSERVICE_HTTP_PORT=1\n2",
		"ACCOUNTSERVICE_PORT_6767_TCP_START=tcp://172.17.0.2:6767", "ACCOUNTSERVICE_PORT_6767_TCP_PORT_END=6768",
		"ACCOUNTSERVICE_ADMIN_SERVICE_HOST=10.96.0.8", "ACCOUNTSERVICE_HTTP_PORT=tcp://10.96.0.9:80")
	if loaded.HTTP.Port != 6767 || len(loaded.Warnings) > 0 {
		t.Errorf("got port %d, warnings %q", loaded.HTTP.Port, loaded.Warnings)
	}
}

func TestMisspeltSettingIsNotTakenForAnInjectedVariable(t *testing.T) {
	for variable, near := range map[string]string{
		"PORT=7000":                    "did you mean ACCOUNTSERVICE_HTTP_PORT?",
		"PORT=":                        "did you mean ACCOUNTSERVICE_HTTP_PORT?",
		"PORT=http://10.96.0.7:80":     "did you mean ACCOUNTSERVICE_HTTP_PORT?",
		"HOST=10.96.0.7":               "did you mean ACCOUNTSERVICE_HTTP_HOST?",
		"HTTP_PROT=tcp://10.96.0.7:80": "did you mean ACCOUNTSERVICE_HTTP_PORT?",
	} {
		name, _, _ := strings.Cut(variable, "=")
		_, err := Load("", []string{EnvPrefix + variable})
		wantFaults(t, err, EnvPrefix+name+": unknown variable, "+near)
	}
	for _, variable := range []string{"port=tcp://10.96.0.7:80", "NAME=accounts", "SERVICE_HOST=example.com", "SERVICE_PORT=http", "PORT_6767_TCP_PROTO=http"} {
		if _, err := Load("", []string{EnvPrefix + variable}); err == nil {
			t.Errorf("%s: got no fault", variable)
		}
	}
}
