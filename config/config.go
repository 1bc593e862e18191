// Package config owns every setting of the service: its name, its default, its range and where its value came from. It
// knows Viper and YAML, and nothing of the packages that use the values.
package config

import (
	"net"
	"time"
)

// EnvPrefix starts the name of every environment variable the service reads: http.port is ACCOUNTSERVICE_HTTP_PORT.
const EnvPrefix = "ACCOUNTSERVICE_"

// Config is everything an operator can set. Load returns it complete and checked; nothing changes it afterwards.
//
// A field is a setting. Its key is its name in lower case: stop_grace_period of StopGracePeriod. Its tags are default,
// min and max, or oneof, the words it can be, and required, if it can't be empty. Without a default it is the first of
// its words, or zero. On an embedded struct, inherit is the section whose values its fields take when they are not set,
// and a key there replaces its oneof. A new setting is a field here, and a line with its default and its meaning in
// configs/accountservice.yaml.
type Config struct {
	HTTP   HTTP
	Admin  Admin
	Auth   Auth
	Health Health
	Store  Store
	Backup Backup
	Checks Checks
	Notify Notify
	Log    Log
}

// HTTP is the listener that serves accounts and health.
type HTTP struct {
	Host  string `default:"127.0.0.1"`
	Port  int    `default:"6767" min:"1" max:"65535"`
	Hosts Names
	TLS   TLS

	Stop
	Hold time.Duration `default:"5s" min:"0s" max:"10s"`

	MaxBody           Bytes         `default:"256KiB" min:"1KiB" max:"1MiB"`
	ReadHeaderTimeout time.Duration `default:"5s" min:"100ms" max:"10m"`
	ReadTimeout       time.Duration `default:"10s" min:"100ms" max:"10m"`
	IdleTimeout       time.Duration `default:"2m5s" min:"100ms" max:"1h"`

	MaxConnections       int `min:"0" max:"1000000"`
	MaxConcurrent        int `default:"128" min:"1" max:"100000"`
	RequirePreconditions bool
	StatusPage           bool
}

// Loopback is whether only this machine reaches the listener.
func (h HTTP) Loopback() bool { return loopback(h.Host) }

// Stop is how long the listener takes to stop.
type Stop struct {
	DrainDelay      time.Duration `min:"0s" max:"54.9s"`
	ShutdownTimeout time.Duration `default:"20s" min:"100ms" max:"55s"`
	StopGracePeriod time.Duration `default:"30s" min:"2.1s" max:"57s"`
}

// TLS is the certificate that the listener shows. Without its paths the listener speaks plain HTTP.
type TLS struct {
	CertPath   string
	KeyPath    string
	MinVersion string `oneof:"1.3 1.2"`
}

// On is true if the listener speaks TLS.
func (t TLS) On() bool { return t.CertPath != "" && t.KeyPath != "" }

// Admin is the listener for operators.
type Admin struct {
	Addr string `default:"127.0.0.1:6768"`
}

// Loopback is whether only this machine reaches the listener, or nobody because it is off.
func (a Admin) Loopback() bool {
	host, _, _ := net.SplitHostPort(a.Addr)
	return a.Off() || loopback(host)
}

// Off is true if there is no such listener.
func (a Admin) Off() bool { return a.Addr == "" || a.Addr == "off" }

// Auth is who may do what.
type Auth struct {
	Mode       string `oneof:"none tokens"`
	TokensPath string
}

// Health is what the answers about health show.
type Health struct {
	Details string `oneof:"authorized always"`
}

// Store says where accounts are kept.
type Store struct {
	Driver   string `oneof:"bolt postgres"`
	Seed     int    `default:"100" min:"0" max:"1000000"`
	Bolt     Bolt
	Postgres Postgres
}

// Bolt is the embedded store: one file.
type Bolt struct {
	Path            string        `default:"accounts.db" required:"true"`
	OpenTimeout     time.Duration `default:"5s" min:"100ms" max:"10m"`
	Create          string        `oneof:"auto never restore restore-or-new"`
	RestoreTimeout  time.Duration `default:"15m" min:"1s" max:"24h"`
	Volume          string        `oneof:"ignore warn require"`
	RescueDir       string
	AcceptOlderMeta bool
}

// Restores is true if a start fetches a backup when there is no database.
func (b Bolt) Restores() bool { return b.Create == "restore" || b.Create == "restore-or-new" }

// Postgres is the store that replicas share: a database of a PostgreSQL server.
type Postgres struct {
	URL              URL
	MaxConns         int           `default:"20" min:"1" max:"10000"`
	AcquireTimeout   time.Duration `default:"2s" min:"50ms" max:"1m"`
	StatementTimeout time.Duration `default:"5s" min:"100ms" max:"10m"`
	RequireSync      bool
}

// Backup is where the service writes backups of the Bolt store by itself, and when. Without To it writes none.
type Backup struct {
	To       string
	Schedule time.Duration `default:"6h" min:"1s" max:"720h"`
	Keep     int           `default:"28" min:"1" max:"10000"`
	MaxAge   time.Duration `default:"24h" min:"2s" max:"2160h"`
	S3       S3
}

// S3 says how the server of a target s3:// is reached.
type S3 struct {
	Endpoint  string
	Region    string `default:"us-east-1"`
	PathStyle bool   `default:"true"`
	AccessKey Secret
	SecretKey Secret
}

// Checks is when and how health is measured. Its Schedule is the default of every check.
type Checks struct {
	Schedule
	Bolt         BoltCheck
	Records      Check
	Disk         Disk
	Postgres     SharedCheck
	Dependencies map[string]Dependency
}

// Schedule is when a check runs, and when its result turns.
type Schedule struct {
	Interval   time.Duration `default:"2s" min:"100ms" max:"1h"`
	Timeout    time.Duration `default:"1s" min:"10ms" max:"1h"`
	FailAfter  int           `default:"2" min:"1" max:"100"`
	PassAfter  int           `default:"1" min:"1" max:"100"`
	StaleAfter time.Duration `default:"15s" min:"200ms" max:"24h"`
}

// Check is the schedule of one check and what its failure means.
type Check struct {
	Schedule  `inherit:"checks"`
	OnFailure string `oneof:"degrade unroute restart"`
}

// SharedCheck is the check of what all replicas share. Its failure never restarts one: it would restart all of them.
type SharedCheck struct {
	Check `on_failure:"unroute degrade"`
}

// BoltCheck is the check of the database file.
type BoltCheck struct {
	Check       `on_failure:"restart unroute degrade"`
	SlowAfter   time.Duration `default:"3s" min:"500ms" max:"10m"`
	HungAfter   time.Duration `default:"10s" min:"1s" max:"10m"`
	WriteCanary bool
}

// Disk watches the free space of the database's directory.
type Disk struct {
	Check
	MinFree Bytes `default:"64MiB" min:"0" max:"1PiB"`
}

// Dependency is another service this one needs, checked by its URL. All replicas
// share it, so its failure never restarts one: it would restart all of them.
type Dependency struct {
	Check `on_failure:"degrade unroute"`
	URL   URL `required:"true"`
}

// Notify is who is told of changes of the health.
type Notify struct {
	URL          SecretURL
	HeartbeatURL SecretURL
}

// Log is what is logged, and in which format.
type Log struct {
	Level  string `default:"info" oneof:"debug info warn error"`
	Format string `oneof:"auto json text"`
}

// anyName stands, in the keys of the schema, for a name the operator chooses.
const anyName = "NAME"

// dependenciesKey is the section whose names are the operator's.
const dependenciesKey = "checks.dependencies"

// withDependencies has dependencies of these names, so that rowsOf has their rows too.
func withDependencies(names ...string) (c Config) {
	c.Checks.Dependencies = map[string]Dependency{}
	for _, name := range names {
		c.Checks.Dependencies[name] = Dependency{}
	}
	return c
}

// reservedChecks are the names of checks that have no section in Checks, of this version or a later one. No dependency
// can have such a name or that of a section of Checks.
var reservedChecks = []string{
	"auth", "backup", "drain", "latency", "log", "maintenance", "restored", "stale", "starting", "stops", "store", "tls",
	"volume",
}
