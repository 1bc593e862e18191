package handlers

import (
	"net"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// onlyHosts refuses a Host that is none of these names. A web page whose name was made to lead to this service could
// otherwise have any browser that reaches it read and change accounts (DNS rebinding). No such page can have an IP
// address or localhost as its name. Health is for probes and balancers, which may know the service by any name.
func onlyHosts(names []string) gin.HandlerFunc {
	return func(c *gin.Context) {
		health := strings.HasPrefix(c.FullPath(), "/health") || c.FullPath() == "/ready"
		if !health && !isHost(c.Request.Host, names...) {
			refuse(c, errHost)
		}
	}
}

// isHost reports whether a Host is absent, localhost, an IP address or one of these names.
func isHost(given string, names ...string) bool {
	host := hostOf(given)
	return host == "" || strings.EqualFold(host, "localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil ||
		slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(host, name) })
}

// hostOf is a host without port and final dot.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	return strings.TrimSuffix(addr, ".")
}
