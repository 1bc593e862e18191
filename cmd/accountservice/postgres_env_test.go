package main

import "testing"

func TestVariablesOfPostgresClientsAreNotRead(t *testing.T) {
	t.Parallel()
	env := []string{"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_DB_URL=postgres://user@127.0.0.1:1/db"}
	for _, name := range []string{"PGHOST", "PGPORT", "PGSERVICE", "PGSERVICEFILE", "PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT",
		"PGCONNECT_TIMEOUT", "PGTARGETSESSIONATTRS", "PGREQUIREAUTH", "PGCHANNELBINDING", "PGMINPROTOCOLVERSION"} {
		env = append(env, name+"=not a value")
	}
	p := ready(t, newPath(t), env...)
	p.Says(t, "/health/checks/db", "127.0.0.1:1")
	p.Stop(t, 0)
}
