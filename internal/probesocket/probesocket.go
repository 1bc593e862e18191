// Package probesocket names the unix socket on which a service answers the probe
// of its own container. Both find the name without reading a configuration.
package probesocket

import (
	"fmt"
	"hash/fnv"
	"os"
	"strings"
)

// variables tell apart two services of one pid namespace. The engine gives them
// to the probe as to the service, and none of them can be a secret.
var variables = []string{"ACCOUNTSERVICE_CONFIG", "ACCOUNTSERVICE_HTTP_HOST", "ACCOUNTSERVICE_HTTP_PORT"}

// Name returns the address of the socket for processes with this environment. It is abstract: it exists in the
// container's network alone, is no file, and goes with the service. All processes of a container are in one pid
// namespace. Without Linux or /proc there is no name.
func Name(environ []string) (string, error) {
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", err
	}
	hash := fnv.New64a()
	for _, variable := range variables {
		for _, entry := range environ {
			if strings.HasPrefix(entry, variable+"=") {
				fmt.Fprintf(hash, "%q", entry)
			}
		}
	}
	return fmt.Sprintf("@accountservice/%s/%016x", namespace, hash.Sum64()), nil
}
