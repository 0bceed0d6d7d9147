package resources

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// Hot is the hot part of a spec as pods read it. Strings and quantities end
// here. It fails for a duration that the schema would have refused.
func Hot(spec *v1alpha1.StreamGatewaySpec) (config.Hot, error) {
	_, hot := config.Default() // for what a spec may leave out
	var d durations
	hot.Batching = config.Batching{
		Window:    d.parse("batching.window", spec.Batching.Window),
		MaxEvents: int(spec.Batching.MaxEvents),
		MaxBytes:  quantity(spec.Batching.MaxBytes),
	}
	hot.Queue = config.Queue{
		MaxEvents:          int(spec.Queue.MaxEvents),
		MaxBytes:           quantity(spec.Queue.MaxBytes),
		MaxLag:             d.parse("queue.maxLag", spec.Queue.MaxLag),
		SlowConsumerPolicy: string(spec.Queue.SlowConsumerPolicy),
	}
	hot.Replay = config.Replay{
		Mode:     string(spec.Replay.Mode),
		TTL:      d.parse("replay.ttl", spec.Replay.TTL),
		MaxBytes: quantity(spec.Replay.MaxBytes),
	}
	hot.Connections = connections(spec.Connections, &d)
	hot.Limits = limits(spec.Limits)
	hot.Auth = authentication(spec.Auth, &d)
	listener(spec.Listener, &hot.Listener)
	hot.Compression = compression(spec.Compression)
	hot.CircuitBreaker = config.CircuitBreaker{
		Mode:             string(spec.CircuitBreaker.Mode),
		FailureThreshold: int(spec.CircuitBreaker.FailureThreshold),
		OpenDuration:     d.parse("circuitBreaker.openDuration", spec.CircuitBreaker.OpenDuration),
		HalfOpenProbes:   int(spec.CircuitBreaker.HalfOpenProbes),
	}
	if err := observability(spec.Observability, &d, &hot.Observability); err != nil {
		return hot, err
	}
	hot.Drain.ReconnectSpread = d.parse("drain.reconnectSpread", spec.Drain.ReconnectSpread)
	for _, f := range spec.Features {
		hot.Features = append(hot.Features, feature(f))
	}
	return hot, d.err
}

func connections(c *v1alpha1.Connections, d *durations) config.Connections {
	return config.Connections{
		MaxPerPod:          int(c.MaxPerPod),
		MaxPerSubject:      int(c.MaxPerSubject),
		MaxPerAddress:      int(c.MaxPerAddress),
		MaxPerTenant:       int(c.MaxPerTenant),
		MaxSubscriptions:   int(c.MaxSubscriptions),
		MaxPatterns:        number(c.MaxPatterns),
		Heartbeat:          d.parse("connections.heartbeat", c.Heartbeat),
		WriteTimeout:       d.parse("connections.writeTimeout", c.WriteTimeout),
		MaxAge:             d.parse("connections.maxAge", c.MaxAge),
		LongPollTimeout:    d.parse("connections.longPollTimeout", c.LongPollTimeout),
		Retry:              d.parse("connections.retry", c.Retry),
		RetryJitterPercent: number(c.RetryJitterPercent),
	}
}

func limits(l *v1alpha1.Limits) config.Limits {
	return config.Limits{
		MaxEventBytes: quantity(l.MaxEventBytes),
		Publish: config.Publish{
			PerPublisherEventsPerSecond: int(l.Publish.PerPublisherEventsPerSecond), Burst: int(l.Publish.Burst),
			PerTenantEventsPerSecond: int(l.Publish.PerTenantEventsPerSecond),
		},
		Delivery: config.Delivery{EventsPerSecond: int(l.Delivery.EventsPerSecond), BytesPerSecond: quantity(l.Delivery.BytesPerSecond)},
		Connect:  config.Connect{PerSecond: int(l.Connect.PerSecond), Burst: int(l.Connect.Burst)},
	}
}

func compression(c *v1alpha1.Compression) config.Compression {
	out := config.Compression{Mode: string(c.Mode), Level: string(c.Level), MinBytes: quantity(c.MinBytes)}
	out.ExcludeChannels = texts(c.ExcludeChannels)
	return out
}

func authentication(a *v1alpha1.Auth, d *durations) config.Auth {
	return config.Auth{
		Subscribers: config.Subscribers{
			Mode:              string(a.Subscribers.Mode),
			AnonymousChannels: texts(a.Subscribers.AnonymousChannels),
			AccessTokenQuery:  string(a.Subscribers.AccessTokenQuery),
			JWT:               jwt("auth.subscribers.jwt", a.Subscribers.JWT, d),
		},
		Publishers: config.Publishers{
			Mode:      string(a.Publishers.Mode),
			Audiences: texts(a.Publishers.Audiences),
			CacheTTL:  d.parse("auth.publishers.cacheTTL", a.Publishers.CacheTTL),
			JWT:       jwt("auth.publishers.jwt", a.Publishers.JWT, d),
		},
	}
}

func listener(l *v1alpha1.Listener, out *config.HotListener) {
	out.AllowedOrigins, out.TrustedProxies = texts(l.AllowedOrigins), texts(l.TrustedProxies)
	if l.TLS != nil {
		out.TLS.MinVersion = string(l.TLS.MinVersion)
	}
}

func jwt(path string, j *v1alpha1.JWT, d *durations) config.JWT {
	if j == nil {
		return config.JWT{}
	}
	out := config.JWT{
		Issuer: j.Issuer, Audiences: texts(j.Audiences), ChannelsClaim: j.ChannelsClaim,
		ClockSkew: d.parse(path+".clockSkew", j.ClockSkew),
	}
	out.JWKS = config.JWKS{URI: j.JWKS.URI, RefreshInterval: d.parse(path+".jwks.refreshInterval", j.JWKS.RefreshInterval)}
	if ref := j.JWKS.ConfigMapRef; ref != nil {
		out.JWKS.ConfigMapRef = config.KeyRef{Name: ref.Name, Key: ref.Key}
	}
	return out
}

// texts is a list without its API type; nil for none.
func texts[T ~string](list []T) []string {
	var out []string
	for _, text := range list {
		out = append(out, string(text))
	}
	return out
}

func observability(o *v1alpha1.Observability, d *durations, out *config.Observability) error {
	out.LogLevel, out.AccessLog = string(o.LogLevel), string(o.AccessLog)
	out.MetricsAccess, out.Presence = string(o.MetricsAccess), string(o.Presence)
	out.BeaconInterval = d.parse("observability.beaconInterval", o.BeaconInterval)
	if o.Tracing == nil {
		return nil
	}
	percent, err := strconv.ParseFloat(string(o.Tracing.SamplePercent), 64)
	if err != nil {
		return fmt.Errorf("reading spec.observability.tracing.samplePercent: %w", err)
	}
	out.Tracing.SamplePercent = percent
	return nil
}

func feature(f v1alpha1.Feature) config.Feature {
	out := config.Feature{Name: f.Name, Mode: string(f.Mode)}
	if f.Mode == v1alpha1.FeaturePercent {
		out.Percent = number(f.Percent)
		out.StickyBy = string(f.StickyBy)
		if f.StickyBy == "" {
			out.StickyBy = string(v1alpha1.StickyByClient)
		}
	}
	return out
}

// Disable turns flags off, whatever the config says of them.
func Disable(hot config.Hot, names []v1alpha1.FeatureName) config.Hot {
	hot.Features = slices.Clone(hot.Features)
	for _, name := range names {
		hot.Features = slices.DeleteFunc(hot.Features, func(f config.Feature) bool { return f.Name == string(name) })
		hot.Features = append(hot.Features, config.Feature{Name: string(name), Mode: string(v1alpha1.FeatureDisabled)})
	}
	return hot
}

// Cold is the part of a spec that a pod reads once at its start. It fails for a
// duration that the schema would have refused.
func Cold(sg *v1alpha1.StreamGateway) (config.Cold, error) {
	cold, _ := config.Default()
	cold.Gateway = config.Gateway{Namespace: sg.Namespace, Name: sg.Name}
	cold.Listener.Port = int(sg.Spec.Listener.Port)
	if tls := sg.Spec.Listener.TLS; tls != nil {
		cold.Listener.TLS.SecretName = tls.SecretName
	}
	cold.Observability.AdminPort = int(sg.Spec.Observability.AdminPort)
	if tracing := sg.Spec.Observability.Tracing; tracing != nil {
		cold.Observability.Tracing.Endpoint = tracing.Endpoint
	}
	cold.Broker = broker(sg)
	var d durations
	cold.Drain = config.Drain{
		Timeout:      d.parse("drain.timeout", sg.Spec.Drain.Timeout),
		PreStopDelay: d.parse("drain.preStopDelay", sg.Spec.Drain.PreStopDelay),
	}
	return cold, d.err
}

// MaxReplayBytes is the largest replay.maxBytes that a pod with this memory
// limit, in bytes, has room for: the schema's 60 %.
func MaxReplayBytes(memoryLimit int64) int64 { return memoryLimit / 10 * 6 }

// durations parses many and keeps the first error.
type durations struct{ err error }

func (d *durations) parse(field string, text v1alpha1.Duration) time.Duration {
	length, err := config.ParseDuration(string(text))
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("reading spec.%s: %w", field, err)
	}
	return length
}

func quantity(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.Value()
}

func number(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}
