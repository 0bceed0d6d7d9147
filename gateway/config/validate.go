package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Validate refuses a document that would break the engine; a document that is
// merely unwise is the business of the custom resource's schema. All faults are
// named at once, each with field, value, bound and what to change, and reach
// the user's status word for word.
func (d Document) Validate() error {
	c := check{}
	within(&c, "serial", d.Serial, 1, 1<<53, "the writer counts up from 1")
	c.hot("stable.hot.", d.Stable.Hot)
	if d.Candidate.Name != "" {
		c.hot("candidate.hot.", d.Candidate.Hot)
	}
	c.lists(d)
	return c.result()
}

// ValidateFor is Validate for one pod: what others run is theirs to refuse, so
// that a bad candidate leaves the pods of the stable revision alone.
func (d Document) ValidateFor(pod, templateHash string) error {
	c := check{}
	within(&c, "serial", d.Serial, 1, 1<<53, "the writer counts up from 1")
	path := "stable.hot."
	if d.Tries(pod, templateHash) {
		path = "candidate.hot."
	}
	c.hot(path, d.For(pod, templateHash).Hot)
	c.lists(d)
	return c.result()
}

// Validate refuses a cold document that a pod could not start with.
func (c Cold) Validate() error {
	v := check{}
	within(&v, "listener.port", c.Listener.Port, 1, 65535, "use a free port, as a rule 8080")
	within(&v, "observability.adminPort", c.Observability.AdminPort, 1, 65535, "use a free port, as a rule 9090")
	if n := len(c.Observability.Tracing.Endpoint); n > maxEndpoint {
		v.fail("observability.tracing.endpoint", n, fmt.Sprintf("bytes are more than %d", maxEndpoint), "write host:port")
	}
	if n := len(c.Listener.TLS.SecretName); n > maxObjectName {
		v.fail("listener.tls.secretName", n, fmt.Sprintf("bytes are more than %d", maxObjectName), "name a Secret")
	}
	if c.Listener.Port == c.Observability.AdminPort {
		v.fail("observability.adminPort", c.Observability.AdminPort, "is listener.port as well", "give the admin port a number of its own")
	}
	v.duration("drain.timeout", c.Drain.Timeout, 0, time.Hour)
	v.duration("drain.preStopDelay", c.Drain.PreStopDelay, 0, time.Minute)
	v.broker("broker.", c.Broker)
	return v.result()
}

// Validate is the rule for a hot section that stands alone, as a gateway run by
// hand has it.
func (h Hot) Validate() error {
	c := check{}
	c.hot("", h)
	return c.result()
}

// Bounds of the engine. The schema of the custom resource is narrower; these
// are what no caller may cross.
const (
	maxWindow         = time.Minute
	minReplayBytes    = 1 << 20 // bytes; the log is evicted in chunks of about 300 KiB
	maxReplayBytes    = 1 << 40
	maxReplayTTL      = 7 * 24 * time.Hour
	maxConnections    = 1_000_000
	maxEventBytes     = 1 << 20 // bytes; what one request may hold
	maxSubscriptions  = 1000
	maxLag            = time.Hour
	minHeartbeat      = 100 * time.Millisecond
	maxHeartbeat      = time.Hour
	maxStreamAge      = 7 * 24 * time.Hour
	maxLongPoll       = time.Hour
	maxRetry          = time.Hour
	maxReviewCacheTTL = time.Hour
	maxFeatures       = 64
	maxFeatureName    = 63 // bytes
	maxAudiences      = 8
	maxExcluded       = 64
	maxAnonymous      = 64
	maxChannel        = 200 // bytes
	maxSegment        = 64  // bytes
	maxSegments       = 12
	maxIssuer         = 512  // bytes
	maxEndpoint       = 1024 // bytes
	maxSpread         = time.Hour
	maxPods           = 1000 // that stand by
	maxOrigins        = 64
	maxOrigin         = 300 // bytes
	maxProxies        = 32
	maxObjectName     = 253  // bytes
	maxSubject        = 128  // bytes
	maxServers        = 1024 // bytes
)

func (c *check) lists(d Document) {
	within(c, "drainPods", len(d.DrainPods), 0, maxPods, "pods")
	within(c, "drainTemplates", len(d.DrainTemplates), 0, maxPods, "templates")
}

func (c *check) hot(path string, h Hot) {
	c.batching(path+"batching.", h.Batching)
	c.queue(path+"queue.", h.Queue)
	c.replay(path+"replay.", h.Replay)
	c.connections(path+"connections.", h.Connections)
	c.limits(path+"limits.", h.Limits)
	c.compression(path+"compression.", h.Compression)
	c.circuitBreaker(path+"circuitBreaker.", h.CircuitBreaker)
	c.publishers(path+"auth.publishers.", h.Auth)
	c.subscribers(path+"auth.subscribers.", h.Auth.Subscribers)
	c.listener(path+"listener.", h.Listener)
	oneOf(c, path+"observability.logLevel", h.Observability.LogLevel, LogDebug, LogInfo, LogWarn, LogError)
	if p := h.Observability.Tracing.SamplePercent; !(p >= 0 && p <= 100) {
		c.fail(path+"observability.tracing.samplePercent", p, "is not between 0 and 100", "1 samples one trace of a hundred")
	}
	c.duration(path+"observability.beaconInterval", h.Observability.BeaconInterval, time.Second, 24*time.Hour)
	oneOf(c, path+"observability.metricsAccess", h.Observability.MetricsAccess, MetricsAuthenticated, MetricsOpen)
	oneOf(c, path+"observability.presence", h.Observability.Presence, Disabled, PresenceCount, PresenceMembers)
	oneOf(c, path+"observability.accessLog", h.Observability.AccessLog, Enabled, Disabled)
	c.duration(path+"drain.reconnectSpread", h.Drain.ReconnectSpread, 0, maxSpread)
	c.features(path+"features", h.Features)
	if h.Batching.Window >= h.Connections.Heartbeat {
		c.fail(path+"batching.window", h.Batching.Window,
			fmt.Sprintf("is not shorter than connections.heartbeat (%s)", h.Connections.Heartbeat),
			"shorten the window or lengthen the heartbeat")
	}
	if h.Queue.MaxEvents < h.Batching.MaxEvents {
		c.fail(path+"queue.maxEvents", h.Queue.MaxEvents,
			fmt.Sprintf("is below batching.maxEvents (%d)", h.Batching.MaxEvents),
			"a client that waits for one full batch would be slow; raise the queue or lower the batch")
	}
	if h.Queue.MaxBytes < h.Batching.MaxBytes {
		c.fail(path+"queue.maxBytes", h.Queue.MaxBytes,
			fmt.Sprintf("is below batching.maxBytes (%d)", h.Batching.MaxBytes),
			"a client that waits for one full batch would be slow; raise the queue or lower the batch")
	}
}

func (c *check) batching(path string, b Batching) {
	c.duration(path+"window", b.Window, 0, maxWindow)
	within(c, path+"maxEvents", b.MaxEvents, 1, 1_000_000, "1 sends every event alone")
	within(c, path+"maxBytes", b.MaxBytes, 1, 64<<20, "bytes before compression; 262144 is the default")
}

func (c *check) queue(path string, q Queue) {
	within(c, path+"maxEvents", q.MaxEvents, 1, 100_000_000, "events that a client may lag; 10000 is the default")
	within(c, path+"maxBytes", q.MaxBytes, 1, maxReplayBytes, "bytes that a client may lag; 8388608 is the default")
	c.duration(path+"maxLag", q.MaxLag, time.Millisecond, maxLag)
	oneOf(c, path+"slowConsumerPolicy", q.SlowConsumerPolicy, PolicyConflate, PolicyDropWithGap, PolicyDisconnect)
}

func (c *check) replay(path string, r Replay) {
	oneOf(c, path+"mode", r.Mode, Enabled, Disabled)
	c.duration(path+"ttl", r.TTL, time.Millisecond, maxReplayTTL)
	within(c, path+"maxBytes", r.MaxBytes, minReplayBytes, maxReplayBytes, "set mode Disabled to turn resuming off")
}

func (c *check) connections(path string, n Connections) {
	within(c, path+"maxPerPod", n.MaxPerPod, 1, maxConnections, "streams of one pod")
	within(c, path+"maxPerSubject", n.MaxPerSubject, 0, maxConnections, "streams of one reader with a name; 10 is the default, 0 does not limit")
	within(c, path+"maxPerTenant", n.MaxPerTenant, 0, maxConnections, "0 does not limit by tenant")
	within(c, path+"maxPerAddress", n.MaxPerAddress, 0, maxConnections, "0 does not limit by address")
	within(c, path+"maxSubscriptions", n.MaxSubscriptions, 1, maxSubscriptions, "channels and patterns of one stream")
	within(c, path+"maxPatterns", n.MaxPatterns, 0, n.MaxSubscriptions, "at most connections.maxSubscriptions; 0 refuses patterns")
	c.duration(path+"heartbeat", n.Heartbeat, minHeartbeat, maxHeartbeat)
	c.duration(path+"writeTimeout", n.WriteTimeout, time.Millisecond, maxLag)
	c.duration(path+"maxAge", n.MaxAge, time.Second, maxStreamAge)
	c.duration(path+"longPollTimeout", n.LongPollTimeout, time.Millisecond, maxLongPoll)
	c.duration(path+"retry", n.Retry, time.Millisecond, maxRetry)
	within(c, path+"retryJitterPercent", n.RetryJitterPercent, 0, 100, "percent of connections.retry")
}

func (c *check) limits(path string, l Limits) {
	within(c, path+"maxEventBytes", l.MaxEventBytes, 1, maxEventBytes, "bytes of one event's data; 65536 is the default")
	within(c, path+"publish.perPublisherEventsPerSecond", l.Publish.PerPublisherEventsPerSecond, 0, 100_000_000, "events of one publisher; 200 is the default, 0 does not limit")
	within(c, path+"publish.burst", l.Publish.Burst, 1, 100_000_000, "events of one publisher at once; 1000 is the default")
	within(c, path+"publish.perTenantEventsPerSecond", l.Publish.PerTenantEventsPerSecond, 0, 100_000_000, "events of all publishers of a tenant; 5000 is the default, 0 does not limit")
	within(c, path+"delivery.eventsPerSecond", l.Delivery.EventsPerSecond, 0, 100_000_000, "events of one stream; 2000 is the default, 0 does not limit")
	within(c, path+"delivery.bytesPerSecond", l.Delivery.BytesPerSecond, 0, maxReplayBytes, "bytes of one stream; 4194304 is the default, 0 does not limit")
	within(c, path+"connect.perSecond", l.Connect.PerSecond, 1, maxConnections, "new streams; 2000 is the default")
	within(c, path+"connect.burst", l.Connect.Burst, 1, maxConnections, "new streams at once; 10000 is the default")
}

func (c *check) compression(path string, z Compression) {
	oneOf(c, path+"mode", z.Mode, Auto, Disabled)
	oneOf(c, path+"level", z.Level, LevelFastest, LevelDefault, LevelBest)
	within(c, path+"minBytes", z.MinBytes, 0, 64<<20, "bytes of one batch; 256 is the default")
	within(c, path+"excludeChannels", len(z.ExcludeChannels), 0, maxExcluded, "patterns")
	c.patterns(path+"excludeChannels", z.ExcludeChannels)
}

func (c *check) subscribers(path string, s Subscribers) {
	oneOf(c, path+"mode", s.Mode, ModeAnonymous, ModeJWT, ModeKubernetes)
	oneOf(c, path+"accessTokenQuery", s.AccessTokenQuery, Enabled, Disabled)
	if s.Mode == ModeJWT {
		c.jwt(path+"jwt.", s.JWT)
	}
	within(c, path+"anonymousChannels", len(s.AnonymousChannels), 0, maxAnonymous, "patterns; none opens every channel")
	c.patterns(path+"anonymousChannels", s.AnonymousChannels)
}

func (c *check) listener(path string, l HotListener) {
	oneOf(c, path+"tls.minVersion", l.TLS.MinVersion, TLS12, TLS13)
	within(c, path+"allowedOrigins", len(l.AllowedOrigins), 0, maxOrigins, "origins; none lets the pages of the gateway's own origin in")
	for i, o := range l.AllowedOrigins {
		if !origin(o) || o == anyOrigin && len(l.AllowedOrigins) > 1 {
			c.fail(fmt.Sprintf("%sallowedOrigins[%d]", path, i), o, "is not an origin",
				"write it like https://shop.example.com, https://*.example.com, or \"*\" as the only one")
		}
	}
	within(c, path+"trustedProxies", len(l.TrustedProxies), 0, maxProxies, "networks; none lets the peer be the client")
	for i, text := range l.TrustedProxies {
		if _, err := netip.ParsePrefix(text); err != nil {
			c.fail(fmt.Sprintf("%strustedProxies[%d]", path, i), text, "is not a network", "write it like 10.0.0.0/8 or fd00::/8")
		}
	}
}

const anyOrigin = "*"

// origin tells whether text is scheme://host[:port], scheme://*.domain, or "*".
func origin(text string) bool {
	if text == anyOrigin {
		return true
	}
	scheme, host, ok := strings.Cut(text, "://")
	host = strings.TrimPrefix(host, "*.")
	return ok && (scheme == "http" || scheme == "https") && host != "" && len(text) <= maxOrigin && !strings.ContainsAny(host, "/*, \t?#@\\")
}

func (c *check) patterns(path string, list []string) {
	for i, p := range list {
		if !channelPattern(p) {
			c.fail(fmt.Sprintf("%s[%d]", path, i), p, "is not a channel or pattern",
				"write it like secrets.>, or payroll.*.slips")
		}
	}
}

func (c *check) circuitBreaker(path string, b CircuitBreaker) {
	oneOf(c, path+"mode", b.Mode, Enabled, Disabled)
	within(c, path+"failureThreshold", b.FailureThreshold, 1, 1_000_000, "failures in a row; 5 is the default")
	c.duration(path+"openDuration", b.OpenDuration, time.Millisecond, time.Hour)
	within(c, path+"halfOpenProbes", b.HalfOpenProbes, 1, 1_000_000, "successes that close it; 3 is the default")
}

// channelPattern tells whether text can select a channel: segments of letters,
// digits, '_', '-', ':' and '@', or '*', the last one perhaps '>'.
func channelPattern(text string) bool {
	segments := strings.Split(text, ".")
	if len(text) > maxChannel || len(segments) > maxSegments {
		return false
	}
	for i, s := range segments {
		if s == "*" || s == ">" && i == len(segments)-1 {
			continue
		}
		if s == "" || len(s) > maxSegment || strings.ContainsFunc(s, notOfSegment) {
			return false
		}
	}
	return true
}

func notOfSegment(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("_-:@", r):
		return false
	}
	return true
}

func (c *check) publishers(path string, a Auth) {
	p := a.Publishers
	oneOf(c, path+"mode", p.Mode, ModeKubernetes, ModeJWT, ModeAnonymous)
	if p.Mode == ModeJWT {
		c.jwt(path+"jwt.", p.JWT)
	}
	c.duration(path+"cacheTTL", p.CacheTTL, 0, maxReviewCacheTTL)
	if p.Mode == ModeKubernetes || a.Subscribers.Mode == ModeKubernetes {
		within(c, path+"audiences", len(p.Audiences), 1, maxAudiences,
			`list what tokens must be made for, as a rule ["streamgateway.io"]`)
	}
	c.audiences(path+"audiences", p.Audiences)
}

func (c *check) audiences(path string, list []string) {
	for i, a := range list {
		if a == "" || len(a) > 253 {
			c.fail(fmt.Sprintf("%s[%d]", path, i), a, "is empty or over 253 bytes", "name an audience")
		}
	}
}

func (c *check) jwt(path string, j JWT) {
	within(c, path+"issuer", len(j.Issuer), 1, maxIssuer, "bytes; write what tokens have as iss")
	within(c, path+"audiences", len(j.Audiences), 1, maxAudiences, "list what tokens must be made for")
	c.audiences(path+"audiences", j.Audiences)
	within(c, path+"channelsClaim", len(j.ChannelsClaim), 1, 128, "bytes; sg is the default")
	c.duration(path+"clockSkew", j.ClockSkew, 0, time.Hour)
	switch {
	case (j.JWKS.URI == "") == (j.JWKS.ConfigMapRef.Name == ""):
		c.fail(path+"jwks", j.JWKS.URI, "is not one of uri and configMapRef", "set exactly one of them")
	case j.JWKS.URI != "":
		if u, err := url.Parse(j.JWKS.URI); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			c.fail(path+"jwks.uri", j.JWKS.URI, "is no http or https URL", "write https://issuer.example/keys")
		}
		c.duration(path+"jwks.refreshInterval", j.JWKS.RefreshInterval, time.Second, 7*24*time.Hour)
	}
}

func (c *check) features(path string, list []Feature) {
	within(c, path, len(list), 0, maxFeatures, "flags")
	seen := map[string]bool{}
	for i, f := range list {
		at := fmt.Sprintf("%s[%d].", path, i)
		if !featureName(f.Name) {
			c.fail(at+"name", f.Name, "is not 1 to 63 letters, digits, '-', '_' or '.'", "rename the feature")
		}
		if seen[f.Name] {
			c.fail(at+"name", f.Name, "stands there twice", "keep one of the two")
		}
		seen[f.Name] = true
		oneOf(c, at+"mode", f.Mode, Enabled, Disabled, Percent)
		within(c, at+"percent", f.Percent, 0, 100, "percent of clients, with mode Percent")
		if f.StickyBy != "" {
			oneOf(c, at+"stickyBy", f.StickyBy, Client, Session)
		}
	}
}

func featureName(name string) bool {
	if name == "" || len(name) > maxFeatureName {
		return false
	}
	for _, r := range []byte(name) {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		default:
			return false
		}
	}
	return true
}

// check gathers faults.
type check struct{ faults []error }

func (c *check) result() error { return errors.Join(c.faults...) }

func (c *check) fail(path string, value any, what, change string) {
	if text, ok := value.(string); ok {
		value = fmt.Sprintf("%q", clip(text))
	}
	c.faults = append(c.faults, fmt.Errorf("%s: %v %s; %s", path, value, what, change))
}

func (c *check) duration(path string, d, least, most time.Duration) {
	within(c, path, d, least, most, "write it like 50ms, 30s or 5m")
}

func within[T cmp.Ordered](c *check, path string, value, least, most T, change string) {
	if value < least || value > most {
		c.fail(path, value, fmt.Sprintf("is not between %v and %v", least, most), change)
	}
}

func oneOf(c *check, path, value string, known ...string) {
	if !slices.Contains(known, value) {
		c.fail(path, value, "is not known", fmt.Sprintf("use one of %q", known))
	}
}
