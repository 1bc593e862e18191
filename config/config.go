// Package config owns every setting of the service: its name, its default, its
// range and where its value came from. It knows Viper and YAML, and nothing of
// the packages that use the values.
package config

import "time"

// EnvPrefix starts the name of every environment variable the service reads:
// http.port is ACCOUNTSERVICE_HTTP_PORT.
const EnvPrefix = "ACCOUNTSERVICE_"

// Config is everything an operator can set. Load returns it complete and checked;
// nothing changes it afterwards.
//
// Only the tags describe a setting:
//   - key is its name in its section, doc its meaning;
//   - min, max and below are its range, oneof its words, scheme its URL schemes;
//   - required means that it can't be empty;
//   - inherit is the key whose value it takes when it is not set.
//
// A new setting is a field here, its default below, and a line in
// configs/accountservice.yaml: nothing else in this package.
type Config struct {
	HTTP   HTTP   `key:"http"`
	Admin  Admin  `key:"admin"`
	Store  Store  `key:"store"`
	Checks Checks `key:"checks"`
	Log    Log    `key:"log"`
}

// HTTP is the listener that serves accounts and health.
type HTTP struct {
	Host string `key:"host" doc:"address to listen on; empty for all"`
	Port int    `key:"port" min:"1" max:"65535" doc:"TCP port"`

	DrainDelay      time.Duration `key:"drain_delay" min:"0s" max:"58s" doc:"after a stop signal, how long /ready answers 503 before the listener closes"`
	ShutdownTimeout time.Duration `key:"shutdown_timeout" min:"100ms" max:"58s" doc:"how long requests in flight may take to end"`
	StopGracePeriod time.Duration `key:"stop_grace_period" min:"1s" below:"58s" doc:"what the orchestrator grants before it kills; drain_delay + shutdown_timeout + 2s must fit in it"`

	MaxBody           Bytes         `key:"max_body" min:"1KiB" max:"64MiB" doc:"largest request body, but for imports; the largest account is about 110 KiB"`
	ReadHeaderTimeout time.Duration `key:"read_header_timeout" min:"100ms" max:"10m" doc:"time for a request's header to arrive"`
	ReadTimeout       time.Duration `key:"read_timeout" min:"100ms" max:"10m" doc:"time for a whole request to arrive"`
	IdleTimeout       time.Duration `key:"idle_timeout" min:"100ms" max:"1h" doc:"how long a kept-alive connection may be silent"`

	MaxConcurrent        int  `key:"max_concurrent" min:"1" max:"100000" doc:"requests for accounts under way at once; more are answered 503. Each can hold max_body in memory"`
	RequirePreconditions bool `key:"require_preconditions" doc:"refuse PUT, PATCH and DELETE without If-Match (or If-None-Match: * to create) with 428"`
}

// Admin is the listener for operators.
type Admin struct {
	Addr string `key:"addr" doc:"host:port for /metrics, /maintenance and /debug/pprof/, which ask for no password; port 0 for any, off for none"`
}

// Off is true if there is no such listener.
func (a Admin) Off() bool { return a.Addr == "" || a.Addr == "off" }

// Store says where accounts are kept.
type Store struct {
	Seed int  `key:"seed" min:"0" max:"1000000" doc:"accounts put into a new, empty database; 0 for none"`
	Bolt Bolt `key:"bolt"`
}

// Bolt is the embedded store: one file.
type Bolt struct {
	Path            string        `key:"path" required:"true" doc:"the database file"`
	OpenTimeout     time.Duration `key:"open_timeout" min:"100ms" max:"10m" doc:"how long to wait for another process to let go of the file"`
	Create          string        `key:"create" oneof:"auto never" doc:"auto: a missing file is created; never: it is an error"`
	Volume          string        `key:"volume" oneof:"ignore warn require" doc:"when the file's folder is no volume and ends with its container: ignore that, warn (the check volume fails; so in the image) or require one to start"`
	RescueDir       string        `key:"rescue_dir" doc:"where the accounts go when the file is deleted while it is served; empty: beside it"`
	AcceptOlderMeta bool          `key:"accept_older_meta" doc:"open a file whose newest meta page is damaged, without its last change"`
}

// Checks is when and how health is measured. The first five settings are the
// defaults of every check.
type Checks struct {
	Interval   time.Duration `key:"interval" min:"100ms" max:"1h" doc:"time between two runs of a check"`
	Timeout    time.Duration `key:"timeout" min:"10ms" max:"1h" doc:"deadline of one run; below the interval"`
	FailAfter  int           `key:"fail_after" min:"1" max:"100" doc:"failures in a row that turn a healthy check"`
	PassAfter  int           `key:"pass_after" min:"1" max:"100" doc:"successes in a row that turn a failing check"`
	StaleAfter time.Duration `key:"stale_after" min:"200ms" max:"24h" doc:"age at which the last result no longer counts; at least interval x fail_after + timeout"`

	Bolt         BoltCheck             `key:"bolt"`
	Records      Check                 `key:"records"`
	Disk         Disk                  `key:"disk"`
	Dependencies map[string]Dependency `key:"dependencies"`
}

// Check is the schedule of one check and what its failure means. What is not set
// comes from Checks.
type Check struct {
	Interval   time.Duration `key:"interval" inherit:"checks.interval" min:"100ms" max:"1h"`
	Timeout    time.Duration `key:"timeout" inherit:"checks.timeout" min:"10ms" max:"1h"`
	FailAfter  int           `key:"fail_after" inherit:"checks.fail_after" min:"1" max:"100"`
	PassAfter  int           `key:"pass_after" inherit:"checks.pass_after" min:"1" max:"100"`
	StaleAfter time.Duration `key:"stale_after" inherit:"checks.stale_after" min:"200ms" max:"24h"`
	OnFailure  string        `key:"on_failure" oneof:"restart unroute degrade" doc:"what its failure means: restart (503 on /health), unroute (503 on /ready only), degrade (still served)"`
}

// BoltCheck is the check of the database file.
type BoltCheck struct {
	Check       `key:",squash"`
	WriteCanary bool `key:"write_canary" doc:"commit a test write, too, when no client has written for 30s"`
}

// Disk watches the free space of the database's directory.
type Disk struct {
	Check   `key:",squash"`
	MinFree Bytes `key:"min_free" min:"0" max:"1PiB" doc:"free space below which the check fails"`
}

// Dependency is another service this one needs, checked by its URL. All replicas
// share it, so its failure never restarts one: it would restart all of them.
type Dependency struct {
	Check `key:",squash" on_failure:"unroute degrade"`
	URL   URL `key:"url" required:"true" scheme:"http https tcp tls dns grpc grpcs postgres postgresql redis rediss amqp amqps nats" doc:"what to ask; the scheme picks the check, options are in the query: see docs/dependencies.md"`
}

// Log is what is logged, and in which format.
type Log struct {
	Level  string `key:"level" oneof:"debug info warn error" doc:"least severe line written"`
	Format string `key:"format" oneof:"auto json text" doc:"auto: text on a terminal, else json"`
}

// Default is the configuration of no file and an empty environment, before Load
// fills what is inherited. A test holds configs/accountservice.yaml to it.
func Default() Config {
	return Config{
		HTTP: HTTP{
			Port:              6767,
			ShutdownTimeout:   20 * time.Second,
			StopGracePeriod:   30 * time.Second,
			MaxBody:           256 << 10,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			IdleTimeout:       60 * time.Second,
			MaxConcurrent:     128,
		},
		Admin: Admin{Addr: "127.0.0.1:6768"},
		Store: Store{
			Seed: 100,
			Bolt: Bolt{Path: "accounts.db", OpenTimeout: 5 * time.Second, Create: "auto", Volume: "ignore"},
		},
		Checks: Checks{
			Interval:   2 * time.Second,
			Timeout:    time.Second,
			FailAfter:  2,
			PassAfter:  1,
			StaleAfter: 15 * time.Second,
			Bolt:       BoltCheck{Check: Check{OnFailure: "restart"}},
			Records:    Check{OnFailure: "degrade"},
			Disk:       Disk{Check: Check{OnFailure: "degrade"}, MinFree: 64 << 20},
		},
		Log: Log{Level: "info", Format: "auto"},
	}
}

// anyName stands, in the keys of the schema, for a name the operator chooses.
const anyName = "NAME"

// dependenciesKey is the section whose names are the operator's.
const dependenciesKey = "checks.dependencies"

// defaultWith is Default and dependencies of these names, so that rowsOf has
// their rows too.
func defaultWith(names ...string) Config {
	c := Default()
	c.Checks.Dependencies = map[string]Dependency{}
	for _, name := range names {
		c.Checks.Dependencies[name] = Dependency{Check: Check{OnFailure: "degrade"}}
	}
	return c
}

// reservedChecks are the names of checks that have no section in Checks, of this
// version or a later one. No dependency can have such a name or that of a section
// of Checks.
var reservedChecks = []string{
	"auth", "backup", "drain", "log", "maintenance", "postgres", "stale", "starting", "store", "tls", "volume",
}
