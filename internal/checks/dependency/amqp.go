package dependency

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/rabbitmq/amqp091-go"

	"accountservice/internal/warning"
)

// newAMQP logs in to a virtual host, opens a channel and closes it again: amqp://user:password@host:5672/vhost.
// With alarms=fail or warn it also publishes a message that no queue gets, since RabbitMQ tells its alarms to publishers
// alone.
func newAMQP(t *target) question {
	user, password := t.login()
	if t.url.User == nil {
		user, password = "guest", "guest" // the default of RabbitMQ's own clients
	}
	t.guardPassword()
	vhost := strings.TrimPrefix(t.url.Path, "/")
	switch {
	case strings.Contains(strings.TrimPrefix(t.url.EscapedPath(), "/"), "/"):
		t.fault("must have one virtual host as its path: write a / in its name as %%2F")
	case len(vhost) > 255:
		t.fault("has too long a virtual host")
	case vhost == "":
		vhost = "/"
	}
	alarms := t.word("alarms", "ignore", "fail", "warn")
	login := func(_ context.Context, at *phase, s *session) (link, error) {
		*at = greeting
		properties := amqp091.Table{"product": "accountservice-health"}
		auth := &amqpLogin{amqp091.PlainAuth{Username: user, Password: password}, at, properties}
		a := &amqp{session: s, alarms: alarms, blocked: make(chan amqp091.Blocking, 16)}
		var err error
		undated := struct{ io.ReadWriteCloser }{s} // the library would reset the deadlines
		a.conn, err = amqp091.Open(undated, amqp091.Config{SASL: []amqp091.Authentication{auth}, Vhost: vhost,
			FrameSize: maxAnswer, Locale: "en_US", Properties: properties})
		if err == nil {
			a.conn.NotifyBlocked(a.blocked)
		}
		return a, a.failure(err, *at)
	}
	return t.keep(login)
}

type amqp struct {
	*session
	conn    *amqp091.Connection
	alarms  string
	blocked chan amqp091.Blocking
}

func (a *amqp) ask(_ context.Context, at *phase) error {
	*at = channelOpen
	done := make(chan error, 1)
	go func() { done <- a.useChannel() }()
	for {
		select {
		case err := <-done:
			return a.failure(err, *at)
		case b := <-a.blocked:
			if b.Active { // the broker reads nothing of this connection any more
				a.raw.Close()
				<-done
				return amqpAlarm(b.Reason, a.alarms)
			}
		}
	}
}

func (a *amqp) useChannel() error {
	channel, err := a.conn.Channel()
	if err != nil {
		return err
	}
	if a.alarms == "ignore" {
		return channel.Close()
	}
	closed := channel.NotifyClose(make(chan *amqp091.Error, 1))
	err = channel.PublishWithContext(context.Background(), "", "accountservice-health", false, false, amqp091.Publishing{})
	err = cmp.Or(err, channel.Close())
	if why := <-closed; why != nil { // nil if we closed it
		return why
	}
	return err
}

// amqpAlarm is what an alarm means; its text is the broker's.
func amqpAlarm(reason, alarms string) error {
	text := "the broker takes no messages: it has an alarm"
	for _, resource := range []string{"memory", "disk"} {
		if strings.Contains(reason, resource) {
			text = "the broker takes no messages: it is low on " + resource
		}
	}
	if alarms == "warn" {
		return warning.Errorf("%s", text)
	}
	return verdictf("%s", text)
}

// goodbye is said so that the broker's log has no warning.
func (a *amqp) goodbye() { a.conn.Close() }

// failure returns why the library gave err: what the broker said, or else the error of the connection, of which
// the library keeps the text alone.
func (a *amqp) failure(err error, at phase) error {
	cause := a.failed.Load()
	var broker *amqp091.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &broker) && broker.Server:
		return amqpVerdict(broker.Code, broker.Reason, at)
	case cause != nil:
		return *cause
	case errors.Is(err, amqp091.ErrClosed): // the broker said goodbye while the connection was idle
		return io.EOF
	case errors.Is(err, amqp091.ErrSASL):
		return verdictf("the broker takes no user name and password (PLAIN)")
	}
	return errNotSpoken
}

// amqpVerdict is what a reply code means. The reply text is the broker's; RabbitMQ tells by it what it does not allow.
func amqpVerdict(code int, text string, at phase) error {
	switch {
	case code == amqp091.NotAllowed && at == channelOpen:
		return verdictf("the user or the node has too many channels (530)")
	case code == amqp091.NotAllowed && strings.Contains(text, "limit"):
		return verdictf("the virtual host, the user or the node has too many connections (530)")
	case code == amqp091.NotAllowed && strings.HasSuffix(text, "not found"):
		return verdictf("there is no such virtual host (530)")
	case code == amqp091.NotAllowed && strings.Contains(text, "refused for user"):
		return verdictf("this user may not use the virtual host (530)")
	case code == amqp091.ConnectionForced:
		return &verdict{text: "the broker stops, or an operator closed the connection (320)", bye: true}
	case code == amqp091.AccessRefused && at == authentication:
		return verdictf("the broker refuses the user name or password (403)")
	case code == amqp091.AccessRefused && at == channelOpen:
		return verdictf("this user may not publish to the default exchange, which option alarms needs (403)")
	case code == amqp091.NotAllowed || code == 402:
		return verdictf("there is no such virtual host, it is down, or it is not for this user (%d)", code)
	}
	return verdictf("the broker answers error %d", code)
}

// amqpLogin is asked by the library for the password once the broker has greeted.
type amqpLogin struct {
	amqp091.PlainAuth
	at         *phase
	properties amqp091.Table
}

func (l *amqpLogin) Response() string {
	*l.at = authentication
	// RabbitMQ says why it refuses a login only to clients with this capability. The library replaces the
	// capabilities it is given, before it asks for the password.
	if capabilities, is := l.properties["capabilities"].(amqp091.Table); is {
		capabilities["authentication_failure_close"] = true
	}
	return l.PlainAuth.Response()
}
