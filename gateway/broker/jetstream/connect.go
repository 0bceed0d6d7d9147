package jetstream

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Files of the mounted Secrets.
const (
	credsFile    = "nats.creds"
	tokenFile    = "token"
	userFile     = "username"
	passwordFile = "password"
	caFile       = "ca.crt"
)

const (
	dialTime = 2 * time.Second
	// A server that is cut off without a word is noticed after three pings.
	pingEvery = 2 * time.Second
	maxPings  = 2
	waitLeast = 100 * time.Millisecond // between two tries to connect
	waitMost  = 500 * time.Millisecond // of jitter on top of it
)

// dialling is how to connect, and to connect again for ever. Nothing is kept
// while there is no connection: what cannot be sent now fails now, and Append
// knows what to do.
func (l *Log) dialling() []nats.Option {
	o := []nats.Option{
		nats.Name(l.options.Name), nats.Timeout(dialTime),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(maxPings),
		nats.MaxReconnects(-1), nats.ReconnectWait(waitLeast), nats.ReconnectJitter(waitMost, waitMost),
		nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			l.downAt.Store(int64(l.now()))
			if !l.isClosed() {
				l.options.Log.Warn("the connection to NATS is gone; streams go on, publishes wait", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			l.downAt.Store(0)
			l.options.Log.Info("connected to NATS again", "server", c.ConnectedServerName())
			if again := l.kick.Load(); again != nil {
				(*again)()
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.options.Log.Warn("NATS reports an error", "error", err)
		}),
	}
	o = append(o, l.options.identity()...)
	if l.options.CA != "" {
		o = append(o, nats.RootCAs(filepath.Join(l.options.CA, caFile)))
	}
	return o
}

// identity picks the credentials that there are. All are read again at every
// connection, since a mounted Secret may change.
func (o Options) identity() []nats.Option {
	if o.Credentials == "" {
		return nil
	}
	has := func(name string) bool { _, err := os.Stat(filepath.Join(o.Credentials, name)); return err == nil }
	// A file that is away is a refusal by the servers, which the log tells of.
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(o.Credentials, name))
		return strings.TrimSpace(string(text))
	}
	switch {
	case has(credsFile):
		return []nats.Option{nats.UserCredentials(filepath.Join(o.Credentials, credsFile))}
	case has(tokenFile):
		return []nats.Option{nats.TokenHandler(func() string { return read(tokenFile) })}
	}
	return []nats.Option{nats.UserInfoHandler(func() (string, string) { return read(userFile), read(passwordFile) })}
}

func (o Options) stream() string {
	if o.Stream != "" {
		return o.Stream
	}
	return strings.ReplaceAll(o.SubjectPrefix, ".", "_")
}

// subject is that of a channel. Channels hold nothing that NATS reads as a
// wildcard or an end, so it is the way back as well.
func (o Options) subject(channel string) string { return o.SubjectPrefix + eventsPart + channel }

func (o Options) channel(subject string) string {
	return strings.TrimPrefix(subject, o.SubjectPrefix+eventsPart)
}

// eventsPart is between prefix and channel, so that another use of the prefix
// is not an event.
const eventsPart = ".e."
