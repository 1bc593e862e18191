package config

import (
	"testing"

	"accountservice/tests/harness"
)

func TestSecretThatIsNoHostIsNotShown(t *testing.T) {
	path := harness.File(t, "host", "hunter 2\n")
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

func TestMarkInAFileIsRefused(t *testing.T) {
	path := harness.File(t, "a.yaml", "\ufeffhttp: {port: 7000}\n")
	_, err := Load(path, nil)
	wantFaults(t, err, path+": the configuration file starts with a byte-order mark: save it as UTF-8 without one")
	path = harness.File(t, "a.yaml", "log: {level: warn}\n\ufeffhttp: {port: 7000}\n")
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
