package v1alpha1_test

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// bound is the range of one field: the nearest values outside and inside.
type bound struct {
	path                          string
	below, lowest, highest, above any
	message                       string // of a refusal; empty: the schema's own
	lowestWith, highestWith       fields // other fields that the inside values need
}

// tokens are what mode JWT needs.
func tokens(of string) fields {
	return fields{
		"auth." + of + ".mode": "JWT", "auth." + of + ".jwt.issuer": "https://issuer.example", "auth." + of + ".jwt.audiences": []any{"prices"},
		"auth." + of + ".jwt.jwks.uri": "https://issuer.example/keys",
	}
}

// nats is what type NATS needs.
func nats() fields { return fields{"broker.type": "NATS", "broker.nats.url": "nats://nats:4222"} }

// and adds fields, in place of those of the same path.
func (f fields) and(more fields) fields {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

func bounds() []bound {
	limit := fields{"gateway.resources.limits.memory": "32Gi"}
	nodePort := fields{"listener.service.type": "NodePort", "auth.subscribers.anonymousChannels": []any{">"}}
	number := func(path string, lowest, highest int64) bound {
		return bound{path: path, below: lowest - 1, lowest: lowest, highest: highest, above: highest + 1}
	}
	between := func(path string, below, lowest, highest, above any) bound {
		return bound{path: path, below: below, lowest: lowest, highest: highest, above: above, message: fmt.Sprintf("must be between %v and %v", lowest, highest)}
	}
	with := func(b bound, lowest, highest fields) bound {
		b.lowestWith, b.highestWith = lowest, highest
		return b
	}
	return []bound{
		with(number("gateway.replicas", 0, 500), nil, nats()),
		number("listener.port", 1024, 65535),
		number("observability.adminPort", 1024, 65535),
		between("observability.statusInterval", "9999ms", "10s", "10m", "10m1ms"),
		number("listener.service.port", 1, 65535),
		with(number("listener.service.nodePort", 1, 65535), nodePort, nodePort),
		between("batching.window", nil, "0ms", "5s", "5001ms"),
		with(number("batching.maxEvents", 1, 10000), nil, nil),
		with(between("batching.maxBytes", int64(1023), "1Ki", "4Mi", int64(4<<20+1)), fields{"limits.maxEventBytes": "1Ki"}, nil),
		with(number("queue.maxEvents", 1, 1000000), fields{"batching.maxEvents": int64(1)}, nil),
		with(between("queue.maxBytes", int64(4<<10-1), "4Ki", "1Gi", int64(1<<30+1)), fields{"batching.maxBytes": "1Ki", "limits.maxEventBytes": "1Ki"}, nil),
		between("queue.maxLag", "999ms", "1s", "10m", "10m1ms"),
		with(between("replay.ttl", "999ms", "1s", "24h", "24h1ms"), fields{"replay.mode": "Disabled"}, nats()),
		with(between("replay.maxBytes", int64(1<<20-1), "1Mi", "16Gi", int64(16<<30+1)), nil, limit),
		number("connections.maxPerPod", 1, 200000),
		number("connections.maxPerSubject", 1, 10000),
		number("connections.maxPerTenant", 1, 200000),
		number("connections.maxPerAddress", 1, 100000),
		with(number("connections.maxSubscriptions", 1, 1000), fields{"connections.maxPatterns": int64(1)}, nil),
		with(number("connections.maxPatterns", 0, 1000), nil, fields{"connections.maxSubscriptions": int64(1000)}),
		between("connections.heartbeat", "999ms", "1s", "5m", "5m1ms"),
		between("connections.writeTimeout", "499ms", "500ms", "5m", "5m1ms"),
		between("connections.maxAge", "59s", "1m", "24h", "24h1ms"),
		between("connections.longPollTimeout", "999ms", "1s", "2m", "2m1ms"),
		between("connections.retry", "99ms", "100ms", "5m", "5m1ms"),
		number("connections.retryJitterPercent", 0, 100),
		with(between("limits.maxEventBytes", int64(63), int64(64), "1Mi", int64(1<<20+1)), nil, fields{"batching.maxBytes": "1Mi"}),
		with(number("limits.publish.perPublisherEventsPerSecond", 1, 1000000), nil, fields{"limits.publish.burst": int64(1000000)}),
		with(number("limits.publish.burst", 1, 2000000), fields{"limits.publish.perPublisherEventsPerSecond": int64(1)}, nil),
		number("limits.publish.perTenantEventsPerSecond", 1, 1000000),
		number("limits.delivery.eventsPerSecond", 1, 1000000),
		between("limits.delivery.bytesPerSecond", int64(1<<10-1), "1Ki", "1Gi", int64(1<<30+1)),
		with(number("limits.connect.perSecond", 1, 100000), nil, fields{"limits.connect.burst": int64(100000)}),
		with(number("limits.connect.burst", 1, 200000), fields{"limits.connect.perSecond": int64(1)}, nil),
		between("rollout.progressDeadline", "29s", "30s", "2h", "2h1ms"),
		with(between("rollout.analysis.interval", "249ms", "250ms", "1m", "1m1ms"), nil, fields{"rollout.analysis.window": "1m"}),
		between("rollout.analysis.window", "999ms", "1s", "10m", "10m1ms"),
		number("rollout.analysis.consecutiveBreaches", 1, 60),
		number("rollout.analysis.minEvents", 0, 1000000),
		between("rollout.analysis.thresholds.maxErrorPercent", nil, int64(0), int64(100), int64(101)),
		between("rollout.analysis.thresholds.maxDropPercent", nil, "0", "100", "100.01"),
		between("rollout.analysis.thresholds.maxBrowserP95", "0ms", "1ms", "5m", "5m1ms"),
		between("observability.beaconInterval", "9999ms", "10s", "1h", "1h1ms"),
		between("rollout.analysis.thresholds.maxP99Latency", "0ms", "1ms", "1m", "1m1ms"),
		number("rollout.analysis.thresholds.maxQueuePercent", 1, 100),
		number("rollout.analysis.thresholds.maxReconnectsPerMinutePercent", 1, 1000),
		with(between("rollback.guardPeriod", nil, "0s", "24h", "24h1ms"), fields{"rollback.warmPeriod": "0s"}, nil),
		with(between("rollback.warmPeriod", nil, "0s", "1h", "1h1ms"), nil, fields{"rollback.guardPeriod": "1h"}),
		number("rollback.historyLimit", 2, 50),
		between("rollback.thresholds.maxErrorPercent", nil, int64(0), int64(100), int64(101)),
		between("rollback.thresholds.maxDropPercent", nil, "0", "100", "100.01"),
		between("rollback.thresholds.maxP99Latency", "0ms", "1ms", "1m", "1m1ms"),
		number("rollback.thresholds.maxQueuePercent", 1, 100),
		number("rollback.thresholds.maxReconnectsPerMinutePercent", 1, 1000),
		between("rollback.thresholds.maxBrowserP95", "0ms", "1ms", "5m", "5m1ms"),
		number("circuitBreaker.failureThreshold", 1, 1000),
		between("circuitBreaker.openDuration", "99ms", "100ms", "5m", "5m1ms"),
		number("circuitBreaker.halfOpenProbes", 1, 100),
		between("auth.publishers.cacheTTL", nil, "0s", "5m", "5m1ms"),
		with(between("auth.subscribers.jwt.clockSkew", nil, "0s", "5m", "5m1ms"), tokens("subscribers"), tokens("subscribers")),
		with(between("auth.publishers.jwt.clockSkew", nil, "0s", "5m", "5m1ms"), tokens("publishers"), tokens("publishers")),
		with(between("auth.subscribers.jwt.jwks.refreshInterval", "9999ms", "10s", "24h", "24h1ms"), tokens("subscribers"), tokens("subscribers")),
		with(between("auth.publishers.jwt.jwks.refreshInterval", "9999ms", "10s", "24h", "24h1ms"), tokens("publishers"), tokens("publishers")),
		with(between("drain.timeout", nil, "0s", "1h", "1h1ms"), fields{"drain.reconnectSpread": "0s"}, fields{"replay.mode": "Disabled"}),
		between("drain.preStopDelay", nil, "0s", "1m", "1m1ms"),
		with(between("drain.reconnectSpread", nil, "0s", "10m", "10m1ms"), nil, fields{"drain.timeout": "10m", "replay.ttl": "20m"}),
		between("compression.minBytes", int64(-1), int64(0), "1Mi", int64(1<<20+1)),
	}
}

func TestBoundsHoldOnBothSides(t *testing.T) {
	for _, b := range bounds() {
		t.Run(b.path, func(t *testing.T) {
			for _, outside := range []struct {
				value   any
				with    fields
				message string
			}{{b.below, b.lowestWith, "should be greater than or equal to"}, {b.above, b.highestWith, "should be less than or equal to"}} {
				if outside.value == nil {
					continue
				}
				message := cmp.Or(b.message, outside.message)
				refused(t, try(t, gateway(t, "prices", outside.with, fields{b.path: outside.value})), "spec."+b.path, message)
			}
			for _, inside := range []struct {
				value any
				with  fields
			}{{b.lowest, b.lowestWith}, {b.highest, b.highestWith}} {
				if err := try(t, gateway(t, "prices", inside.with, fields{b.path: inside.value})); err != nil {
					t.Errorf("%v: %v", inside.value, err)
				}
			}
		})
	}
}

func TestValuesOfAnotherKindAreRefused(t *testing.T) {
	many := make([]any, 33)
	secrets := make([]any, 9)
	for i := range many {
		many[i] = map[string]any{"name": fmt.Sprintf("f%d", i)}
	}
	for i := range secrets {
		secrets[i] = map[string]any{"name": fmt.Sprintf("s%d", i)}
	}
	annotations := map[string]any{}
	for i := range 33 {
		annotations[fmt.Sprintf("example.com/a%d", i)] = "x"
	}
	feature := func(key string, value any) fields {
		f := map[string]any{"name": "ticker"}
		f[key] = value
		return fields{"features": []any{f}}
	}
	for name, c := range map[string]struct {
		spec          fields
		path, message string
	}{
		"a share with three decimals":   {fields{"observability.tracing": map[string]any{"endpoint": "otel:4317", "samplePercent": "0.001"}}, "spec.observability.tracing.samplePercent", "should match"},
		"an endpoint with a user":       {fields{"observability.tracing": map[string]any{"endpoint": "http://me:pw@otel:4317"}}, "spec.observability.tracing.endpoint", "should match"},
		"tracing to nowhere":            {fields{"observability.tracing": map[string]any{}}, "spec.observability.tracing.endpoint", "Required value"},
		"a log level that is none":      {fields{"observability.logLevel": "Trace"}, "spec.observability.logLevel", "Unsupported value"},
		"an access log as bool":         {fields{"observability.accessLog": "true"}, "spec.observability.accessLog", "Unsupported value"},
		"days":                          {fields{"replay.ttl": "1d"}, "spec.replay.ttl", "should match"},
		"a fraction":                    {fields{"batching.window": "1.5s"}, "spec.batching.window", "should match"},
		"a negative time":               {fields{"batching.window": "-5ms"}, "spec.batching.window", "should match"},
		"a duration without unit":       {fields{"batching.window": "50"}, "spec.batching.window", "should match"},
		"a duration of five parts":      {fields{"connections.maxAge": "1h1m1s1ms1ms"}, "spec.connections.maxAge", "should match"},
		"a size that is none":           {fields{"queue.maxBytes": "8MB"}, "spec.queue.maxBytes", "should match"},
		"an empty image":                {fields{"gateway.image": ""}, "spec.gateway.image", "should be at least 1 chars long"},
		"a long image":                  {fields{"gateway.image": strings.Repeat("i", 513)}, "spec.gateway.image", "may not be more than 512 bytes"},
		"a pull policy that is none":    {fields{"gateway.imagePullPolicy": "Sometimes"}, "spec.gateway.imagePullPolicy", "Unsupported value"},
		"nine pull secrets":             {fields{"gateway.imagePullSecrets": secrets}, "spec.gateway.imagePullSecrets", "must have at most 8 items"},
		"a template of nothing":         {fields{"gateway.template": map[string]any{}}, "spec.gateway.template", "should have at least 1 properties"},
		"33 labels of pods":             {fields{"gateway.template.labels": annotations}, "spec.gateway.template.labels", "must have at most 32 items"},
		"a label of the operator's":     {fields{"gateway.template.labels": map[string]any{"streamgateway.io/name": "mine"}}, "spec.gateway.template.labels", "keys of streamgateway.io/ and app.kubernetes.io/ are the operator's own"},
		"a label of the house":          {fields{"gateway.template.labels": map[string]any{"app.kubernetes.io/name": "mine"}}, "spec.gateway.template.labels", "keys of streamgateway.io/ and app.kubernetes.io/ are the operator's own"},
		"a reserved variable":           {fields{"gateway.template.env": []any{map[string]any{"name": "SG_X"}}}, "spec.gateway.template.env[0].name", "SG_ is reserved"},
		"a variable of the operator's":  {fields{"gateway.template.env": []any{map[string]any{"name": "GOMEMLIMIT", "value": "1"}}}, "spec.gateway.template.env[0].name", "are set by the operator"},
		"a variable that is none":       {fields{"gateway.template.env": []any{map[string]any{"name": "A-B"}}}, "spec.gateway.template.env[0].name", "should match"},
		"a spread over nothing":         {fields{"gateway.template.topologySpreadConstraints": []any{map[string]any{"maxSkew": int64(1)}}}, "spec.gateway.template.topologySpreadConstraints[0].topologyKey", "Required value"},
		"a disruption budget as bool":   {fields{"gateway.disruptionBudget": "true"}, "spec.gateway.disruptionBudget", "Unsupported value"},
		"a service type that is none":   {fields{"listener.service.type": "ExternalName"}, "spec.listener.service.type", "Unsupported value"},
		"no origin":                     {fields{"listener.allowedOrigins": []any{}}, "spec.listener.allowedOrigins", "should have at least 1 items"},
		"65 origins":                    {fields{"listener.allowedOrigins": listOf(65, "https://a%d.test")}, "spec.listener.allowedOrigins", "must have at most 64 items"},
		"a long origin":                 {fields{"listener.allowedOrigins": []any{"https://" + strings.Repeat("a", 300)}}, "spec.listener.allowedOrigins[0]", "may not be more than 300 bytes"},
		"an origin with a user":         {fields{"listener.allowedOrigins": []any{"https://me@a.test"}}, "spec.listener.allowedOrigins[0]", "should match"},
		"no proxy":                      {fields{"listener.trustedProxies": []any{}}, "spec.listener.trustedProxies", "should have at least 1 items"},
		"33 proxies":                    {fields{"listener.trustedProxies": listOf(33, "10.0.%d.0/24")}, "spec.listener.trustedProxies", "must have at most 32 items"},
		"a traffic policy that is none": {fields{"listener.service.externalTrafficPolicy": "Near"}, "spec.listener.service.externalTrafficPolicy", "Unsupported value"},
		"a long load balancer class":    {fields{"listener.service.type": "LoadBalancer", "listener.service.loadBalancerClass": strings.Repeat("c", 254)}, "spec.listener.service.loadBalancerClass", "may not be more than 253 bytes"},
		"TLS without a Secret":          {fields{"listener.tls": map[string]any{}}, "spec.listener.tls.secretName", "Required value"},
		"an empty Secret name":          {fields{"listener.tls.secretName": ""}, "spec.listener.tls.secretName", "should be at least 1 chars long"},
		"a Secret of a long name":       {fields{"listener.tls.secretName": strings.Repeat("s", 254)}, "spec.listener.tls.secretName", "may not be more than 253 bytes"},
		"a Secret in another namespace": {fields{"listener.tls.secretName": "other/tls"}, "spec.listener.tls.secretName", "should match"},
		"TLS 1.1":                       {fields{"listener.tls": map[string]any{"secretName": "tls", "minVersion": "TLS11"}}, "spec.listener.tls.minVersion", "Unsupported value"},
		"33 annotations":                {fields{"listener.service.annotations": annotations}, "spec.listener.service.annotations", "must have at most 32 items"},
		"a policy that is none":         {fields{"queue.slowConsumerPolicy": "Drop"}, "spec.queue.slowConsumerPolicy", "Unsupported value"},
		"a replay mode that is none":    {fields{"replay.mode": "On"}, "spec.replay.mode", "Unsupported value"},
		"33 disabled features":          {fields{"override.disabledFeatures": many33()}, "spec.override.disabledFeatures", "must have at most 32 items"},
		"a reconcile mode that is none": {fields{"override.reconcile": "Off"}, "spec.override.reconcile", "Unsupported value"},
		"a revision that cannot be":     {fields{"override.pinnedRevision": "../x"}, "spec.override.pinnedRevision", "should match"},
		"a rollback mode that is none":  {fields{"rollback.mode": "Never"}, "spec.rollback.mode", "Unsupported value"},
		"a percent of three decimals":   {fields{"rollout.analysis.thresholds.maxDropPercent": "0.125"}, "spec.rollout.analysis.thresholds.maxDropPercent", "should match"},
		"a guard that judges nothing":   {fields{"rollback.thresholds": map[string]any{}}, "spec.rollback.thresholds", "should have at least 1 properties"},
		"a breaker mode that is none":   {fields{"circuitBreaker.mode": "Auto"}, "spec.circuitBreaker.mode", "Unsupported value"},
		"a publisher mode that is none": {fields{"auth.publishers.mode": "Basic"}, "spec.auth.publishers.mode", "Unsupported value"},
		"no audience":                   {fields{"auth.publishers.audiences": []any{}}, "spec.auth.publishers.audiences", "should have at least 1 items"},
		"an empty audience":             {fields{"auth.publishers.audiences": []any{""}}, "spec.auth.publishers.audiences[0]", "should be at least 1 chars long"},
		"an empty list of channels":     {fields{"auth.subscribers.anonymousChannels": []any{}}, "spec.auth.subscribers.anonymousChannels", "should have at least 1 items"},
		"a channel that is none":        {fields{"auth.subscribers.anonymousChannels": []any{"a..b"}}, "spec.auth.subscribers.anonymousChannels[0]", "should match"},
		"33 features":                   {fields{"features": many}, "spec.features", "must have at most 32 items"},
		"a feature mode that is none":   {feature("mode", "On"), "spec.features[0].mode", "Unsupported value"},
		"a percent above 100":           {feature("percent", int64(101)), "spec.features[0].percent", "should be less than or equal to 100"},
		"a stickiness that is none":     {feature("stickyBy", "User"), "spec.features[0].stickyBy", "Unsupported value"},
		"a feature named by a number":   {feature("name", "1st"), "spec.features[0].name", "should match"},
		"a feature with a long name":    {feature("name", strings.Repeat("n", 64)), "spec.features[0].name", "may not be more than 63 bytes"},
		"a key set that is no URL":      {tokens("subscribers").and(fields{"auth.subscribers.jwt.jwks.uri": "file:///etc/passwd"}), "spec.auth.subscribers.jwt.jwks.uri", "should match"},
		"a key set behind a password":   {tokens("subscribers").and(fields{"auth.subscribers.jwt.jwks.uri": "https://a:b@issuer.example/"}), "spec.auth.subscribers.jwt.jwks.uri", "should match"},
		"tokens of nobody":              {tokens("subscribers").and(fields{"auth.subscribers.jwt.issuer": ""}), "spec.auth.subscribers.jwt.issuer", "should be at least 1 chars long"},
		"tokens for nobody":             {tokens("publishers").and(fields{"auth.publishers.jwt.audiences": []any{}}), "spec.auth.publishers.jwt.audiences", "should have at least 1 items"},
		"no claim":                      {tokens("publishers").and(fields{"auth.publishers.jwt.channelsClaim": ""}), "spec.auth.publishers.jwt.channelsClaim", "should be at least 1 chars long"},
		"no server":                     {nats().and(fields{"broker.nats.url": ""}), "spec.broker.nats.url", "should be at least 1 chars long"},
		"servers without end":           {nats().and(fields{"broker.nats.url": "nats://" + strings.Repeat("a", 1018)}), "spec.broker.nats.url", "may not be more than 1024 bytes"},
		"a prefix of 129 characters":    {nats().and(fields{"broker.subjectPrefix": strings.Repeat("a", 129)}), "spec.broker.subjectPrefix", "may not be more than 128 bytes"},
		"a stream of 129 characters":    {nats().and(fields{"broker.nats.stream": strings.Repeat("a", 129)}), "spec.broker.nats.stream", "may not be more than 128 bytes"},
		"credentials in a namespace":    {nats().and(fields{"broker.nats.credentialsSecretRef.name": "other/user"}), "spec.broker.nats.credentialsSecretRef.name", "should match"},
		"a reader mode that is none":    {fields{"auth.subscribers.mode": "Basic"}, "spec.auth.subscribers.mode", "Unsupported value"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, try(t, gateway(t, "prices", c.spec)), c.path, c.message)
		})
	}
}

func many33() []any { return listOf(33, "f%d") }

func listOf(n int, format string) []any {
	names := make([]any, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i)
	}
	return names
}
