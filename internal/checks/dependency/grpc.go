package dependency

import (
	"cmp"
	"encoding/binary"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// newGRPC asks the standard health service (grpc.health.v1, Check) for the server, or for what service names, and
// takes SERVING as healthy. The two messages are a dozen bytes, so net/http's HTTP/2 is enough.
func newGRPC(t *target) question {
	u := url.URL{Scheme: "http", Host: t.url.Host, Path: "/grpc.health.v1.Health/Check"}
	protocols := new(http.Protocols)
	if t.tls != nil {
		u.Scheme = "https"
		protocols.SetHTTP2(true)
		t.tls.config.NextProtos = []string{"h2"}
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	timeout := strconv.FormatInt(max(1, t.timeout.Milliseconds()), 10) + "m"
	e := exchange{method: http.MethodPost, url: u.String(), body: healthRequest(t.text("service")), protocols: protocols,
		judge: readHealth}
	e.prepare = func(req *http.Request) error {
		req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Timeout": {timeout}}
		return nil
	}
	return t.keep(e.open)
}

// healthRequest is HealthCheckRequest{service} with the prefix of gRPC: not compressed, and the length.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = append(message, 1<<3|2) // field 1, bytes
		message = binary.AppendUvarint(message, uint64(len(service)))
		message = append(message, service...)
	}
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(prefix, message...)
}

// readHealth is nil for SERVING.
func readHealth(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return verdictf("it answers %d %s, and no gRPC", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/grpc") {
		return errNotSpoken
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	// an answer without a message may have its status in the header
	status := cmp.Or(resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Status"))
	switch {
	case err != nil:
		return err
	case len(content) == maxAnswer:
		return errTooLong
	case status != "0":
		return grpcFailure(status)
	case len(content) < 5 || content[0] != 0 || int(binary.BigEndian.Uint32(content[1:])) != len(content)-5:
		return errNotSpoken
	}
	return serving(content[5:])
}

// serving reads HealthCheckResponse{status}, an enum in field 1 that is left out if it is 0.
func serving(message []byte) error {
	switch string(message) {
	case "\x08\x01":
		return nil
	case "\x08\x02":
		return verdictf("it says NOT_SERVING")
	case "", "\x08\x00", "\x08\x03":
		return verdictf("it says that its status is unknown")
	}
	return errNotSpoken
}

// grpcCodes are the status codes of gRPC, from 0.
var grpcCodes = strings.Fields("OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS " +
	"PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL " +
	"UNAVAILABLE DATA_LOSS UNAUTHENTICATED")

// grpcFailure is what a status code means for this question; grpc-message is the service's.
func grpcFailure(status string) error {
	n, err := strconv.ParseUint(status, 10, 8)
	switch {
	case err != nil:
		return errNotSpoken
	case n >= uint64(len(grpcCodes)):
		return verdictf("it answers status %d", n)
	}
	meaning := map[string]string{"NOT_FOUND": ": it knows no such service", "UNIMPLEMENTED": ": it has no health service"}
	return verdictf("it answers %s", grpcCodes[n]+meaning[grpcCodes[n]])
}
