package config

import (
	"net/netip"
	"regexp"
	"strings"
)

// hostName needs a letter in the last label: 256.1.1.1 is no name.
var hostName = regexp.MustCompile(`^(\w[\w-]*\.)*[\w-]*[A-Za-z_][\w-]*\.?$`)

// listenHost returns host without the brackets of [::], and false if no listener can have it. It resolves no name.
func listenHost(host string) (string, bool) {
	inner := strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(inner)
	if err == nil && (host == inner || ip.Is6() && host == "["+inner+"]") {
		return inner, !ip.Is6() || !ip.IsLinkLocalUnicast() || ip.Zone() != "" // fe80::1%eth0
	}
	return host, host == "" || hostName.MatchString(host)
}

// loopback is whether host is an address of this machine alone. A name that is not localhost may be any address.
func loopback(host string) bool {
	inner, _ := listenHost(host)
	ip, err := netip.ParseAddr(inner)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
