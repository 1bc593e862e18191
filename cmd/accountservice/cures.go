package main

// cures say what an operator can do when a check fails or warns, for the status page. Its error or warning says what has
// happened.
var cures = map[string]string{
	"bolt": "If it fails, let the container be replaced, and if that does not mend it, restore a backup: docs/backup.md. " +
		"If it warns, look at the disk and the kernel's log: docs/database.md.",
	"postgres": "Look at the PostgreSQL server and the network to it. If this check failed, replicas go on by themselves when " +
		"the server answers: docs/postgres.md.",
	"records": "Run accountservice verify on a copy of the database, and restore a backup or write the damaged accounts anew: " +
		"docs/database.md.",
	"disk": "If it fails, free space on the file system of the database, or make it larger: writes go on by themselves. If it " +
		"warns, change the owner or the mode of the folder: docs/database.md.",
	"latency": "Look at what else uses the disk, and at the kernel's log. A new container has the same disk.",
	"tls":     "Put a certificate that is in force and its key at http.tls.cert_path and http.tls.key_path; they are read again.",
	"auth":    "Mend the file of auth.tokens_path, which is read again, or set auth.mode=tokens: docs/security.md.",
	"volume":  "Mount a named volume where the database is, and move the database there: docs/database.md.",
	"log":     "Have the log read faster, or log less: log.level. Lines were lost, and no request has waited.",
	"restored": "Look at that file, in which a start left what it restored, and run accountservice restore --acknowledge: " +
		"docs/backup.md.",
	"stops": "Read the reasons, and what the log has before each stop. The warning ends 24 hours after the last stop: " +
		"docs/operating.md.",
	"backup": "Look at the reason and at the place of backup.to. If the newest backup grows old, make one by accountservice " +
		"backup: docs/backup.md.",
}

// cureOfDependency is the cure of all other checks.
const cureOfDependency = "Look at that service and the network to it. If this check failed, it passes by itself when the " +
	"service answers: docs/dependencies.md."
