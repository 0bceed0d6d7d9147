package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

func (c *check) broker(path string, b Broker) {
	oneOf(c, path+"type", b.Type, BrokerMemory, BrokerNATS)
	if b.Type != BrokerNATS {
		return
	}
	n := b.NATS
	if len(b.SubjectPrefix) > maxSubject || !subject(b.SubjectPrefix) {
		c.fail(path+"subjectPrefix", b.SubjectPrefix, fmt.Sprintf("is not 1 to %d bytes of a NATS subject without wildcards", maxSubject), "write it like sg.shop.prices")
	}
	if len(n.URL) > maxServers || slices.ContainsFunc(strings.Split(n.URL, ","), notAServer) {
		c.fail(path+"nats.url", redacted(n.URL), fmt.Sprintf("is not a list of NATS servers in %d bytes", maxServers), "write it like nats://nats.messaging:4222, or tls://one:4222,tls://two:4222")
	}
	if n.Stream != "" && (len(n.Stream) > maxSubject || strings.ContainsFunc(n.Stream, notOfStream)) {
		c.fail(path+"nats.stream", n.Stream, fmt.Sprintf("is not the name of a stream in %d bytes", maxSubject), "use letters, digits, '-' and '_'")
	}
	within(c, path+"nats.credentialsSecretRef.name", len(n.CredentialsSecretRef.Name), 0, maxObjectName, "bytes; name a Secret")
	within(c, path+"nats.caSecretRef.name", len(n.CASecretRef.Name), 0, maxObjectName, "bytes; name a Secret")
}

// subject tells whether text is segments of printed ASCII without wildcards.
// A first segment with a dollar belongs to the servers.
func subject(text string) bool {
	for s := range strings.SplitSeq(text, ".") {
		if s == "" || strings.ContainsFunc(s, notOfSegment) {
			return false
		}
	}
	return true
}

// redacted leaves out what may be a password: faults are shown to many.
func redacted(servers string) string {
	if strings.Contains(servers, "@") {
		return "a URL with a user in it"
	}
	return servers
}

// notAServer tells whether text is anything but a server's URL. A name and a
// password do not belong into it: this document is no secret.
func notAServer(text string) bool {
	u, err := url.Parse(strings.TrimSpace(text))
	return err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "nats" && u.Scheme != "tls"
}

func notOfStream(r rune) bool { return notOfSegment(r) || r == ':' || r == '@' }
