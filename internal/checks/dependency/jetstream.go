package dependency

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// askJetStream asks JetStream's API for the account, as the server, or the leader of its cluster, answers it.
func (n *nats) askJetStream() error {
	rest, err := n.await("PUB $JS.API.INFO "+n.inbox+" 0\r\n\r\n", "MSG", "HMSG")
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(rest[strings.LastIndexByte(rest, ' ')+1:])
	if err != nil || size < 0 || size > maxAnswer {
		return errNotSpoken
	}
	body := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(n.r, body); err != nil {
		return err
	}
	if strings.HasPrefix(string(body), "NATS/1.0 503") {
		return verdictf("the server has no JetStream for this account")
	}
	var answer struct {
		Type  string `json:"type"`
		Error struct {
			Code int `json:"err_code"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(body, &answer); {
	case err != nil, !strings.HasSuffix(answer.Type, "account_info_response"):
		return errNotSpoken
	case answer.Error.Code == 10008:
		return verdictf("JetStream is not available now, as without a leader (10008)")
	case answer.Error.Code == 10039, answer.Error.Code == 10076:
		return verdictf("the server has no JetStream for this account (%d)", answer.Error.Code)
	case answer.Error.Code != 0:
		return verdictf("JetStream answers error %d", answer.Error.Code)
	}
	return nil
}
