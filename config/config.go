// Package config owns every setting of the service: its name, its default, its range and where its value came from. It
// knows Viper and YAML, and nothing of the packages that use the values.
package config

import "time"

// EnvPrefix starts the name of every environment variable the service reads: http.port is ACCOUNTSERVICE_HTTP_PORT.
const EnvPrefix = "ACCOUNTSERVICE_"

// Config is everything an operator can set. Load returns it complete and checked; nothing changes it afterwards.
//
// A field is a setting. Its key is its name in lower case: stop_grace_period of StopGracePeriod. Its tags are min and
// max, or oneof, the words it can be, and required, if it can't be empty. On an embedded struct, inherit is the section
// whose values its fields take when they are not set, and a key there narrows its oneof. A new setting is a field here,
// its default below, and a line with its meaning in configs/accountservice.yaml.
type Config struct {
	HTTP   HTTP
	Admin  Admin
	Store  Store
	Checks Checks
	Log    Log
}

// HTTP is the listener that serves accounts and health.
type HTTP struct {
	Host string
	Port int `min:"1" max:"65535"`

	DrainDelay      time.Duration `min:"0s" max:"58s"`
	ShutdownTimeout time.Duration `min:"100ms" max:"58s"`
	StopGracePeriod time.Duration `min:"1s" max:"57s"`

	MaxBody           Bytes         `min:"1KiB" max:"64MiB"`
	ReadHeaderTimeout time.Duration `min:"100ms" max:"10m"`
	ReadTimeout       time.Duration `min:"100ms" max:"10m"`
	IdleTimeout       time.Duration `min:"100ms" max:"1h"`

	MaxConcurrent        int `min:"1" max:"100000"`
	RequirePreconditions bool
}

// Admin is the listener for operators.
type Admin struct {
	Addr string
}

// Off is true if there is no such listener.
func (a Admin) Off() bool { return a.Addr == "" || a.Addr == "off" }

// Store says where accounts are kept.
type Store struct {
	Seed int `min:"0" max:"1000000"`
	Bolt Bolt
}

// Bolt is the embedded store: one file.
type Bolt struct {
	Path            string        `required:"true"`
	OpenTimeout     time.Duration `min:"100ms" max:"10m"`
	Create          string        `oneof:"auto never"`
	Volume          string        `oneof:"ignore warn require"`
	RescueDir       string
	AcceptOlderMeta bool
}

// Checks is when and how health is measured. Its Schedule is the default of every check.
type Checks struct {
	Schedule
	Bolt         BoltCheck
	Records      Check
	Disk         Disk
	Dependencies map[string]Dependency
}

// Schedule is when a check runs, and when its result turns.
type Schedule struct {
	Interval   time.Duration `min:"100ms" max:"1h"`
	Timeout    time.Duration `min:"10ms" max:"1h"`
	FailAfter  int           `min:"1" max:"100"`
	PassAfter  int           `min:"1" max:"100"`
	StaleAfter time.Duration `min:"200ms" max:"24h"`
}

// Check is the schedule of one check and what its failure means.
type Check struct {
	Schedule  `inherit:"checks"`
	OnFailure string `oneof:"restart unroute degrade"`
}

// BoltCheck is the check of the database file.
type BoltCheck struct {
	Check
	WriteCanary bool
}

// Disk watches the free space of the database's directory.
type Disk struct {
	Check
	MinFree Bytes `min:"0" max:"1PiB"`
}

// Dependency is another service this one needs, checked by its URL. All replicas
// share it, so its failure never restarts one: it would restart all of them.
type Dependency struct {
	Check `on_failure:"unroute degrade"`
	URL   URL `required:"true"`
}

// Log is what is logged, and in which format.
type Log struct {
	Level  string `oneof:"debug info warn error"`
	Format string `oneof:"auto json text"`
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
			Schedule: Schedule{
				Interval:   2 * time.Second,
				Timeout:    time.Second,
				FailAfter:  2,
				PassAfter:  1,
				StaleAfter: 15 * time.Second,
			},
			Bolt:    BoltCheck{Check: Check{OnFailure: "restart"}},
			Records: Check{OnFailure: "degrade"},
			Disk:    Disk{Check: Check{OnFailure: "degrade"}, MinFree: 64 << 20},
		},
		Log: Log{Level: "info", Format: "auto"},
	}
}

// anyName stands, in the keys of the schema, for a name the operator chooses.
const anyName = "NAME"

// dependenciesKey is the section whose names are the operator's.
const dependenciesKey = "checks.dependencies"

// defaultWith is Default and dependencies of these names, so that rowsOf has their rows too.
func defaultWith(names ...string) Config {
	c := Default()
	c.Checks.Dependencies = map[string]Dependency{}
	for _, name := range names {
		c.Checks.Dependencies[name] = Dependency{Check: Check{OnFailure: "degrade"}}
	}
	return c
}

// reservedChecks are the names of checks that have no section in Checks, of this version or a later one. No dependency
// can have such a name or that of a section of Checks.
var reservedChecks = []string{
	"auth", "backup", "drain", "log", "maintenance", "postgres", "stale", "starting", "store", "tls", "volume",
}
