package v1alpha1_test

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refused checks that the object was refused on this path with this message.
func refused(t *testing.T, err error, path, message string) {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Reason != metav1.StatusReasonInvalid || status.Status().Details == nil {
		t.Fatalf("got %v, want a refusal as Invalid", err)
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Field == path && strings.Contains(cause.Message, message) {
			return
		}
	}
	t.Errorf("got %v,\nwant a refusal of %s with %q", err, path, message)
}

func TestRulesRefuseContradictionsOnTheFieldToChange(t *testing.T) {
	percent := func(f map[string]any) fields { return fields{"features": []any{f}} }
	steps := func(percents ...int64) fields {
		var list []any
		for _, p := range percents {
			list = append(list, map[string]any{"percent": p})
		}
		return fields{"rollout.steps": list}
	}
	for name, c := range map[string]struct {
		spec          fields
		path, message string
	}{
		"two pods with a log in memory": {
			fields{"gateway.replicas": int64(2)},
			"spec.gateway.replicas", "broker.type Memory keeps events inside one pod, so gateway.replicas must be 0 or 1; use NATS for more",
		},
		"type NATS without servers": {
			fields{"broker.type": "NATS"},
			"spec.broker.nats", "broker: nats must be set if, and only if, type is NATS",
		},
		"servers of NATS with a log in memory": {
			fields{"broker.nats.url": "nats://nats:4222"},
			"spec.broker.nats", "broker: nats must be set if, and only if, type is NATS",
		},
		"a subject prefix with a log in memory": {
			fields{"broker.subjectPrefix": "shop"},
			"spec.broker.subjectPrefix", "broker: subjectPrefix may be set only when type is NATS",
		},
		"a type of broker that there is not": {
			fields{"broker.type": "Redis"},
			"spec.broker.type", `supported values: "Memory", "NATS"`,
		},
		"section nats without a url": {
			fields{"broker.type": "NATS", "broker.nats.stream": "PRICES"},
			"spec.broker.nats.url", "Required value",
		},
		"a password in a server's url": {
			nats().and(fields{"broker.nats.url": "nats://user:password@nats:4222"}),
			"spec.broker.nats.url", "must be nats://host[:port] or tls://host[:port], several with commas between them; credentials belong into credentialsSecretRef",
		},
		"a server without a scheme": {
			nats().and(fields{"broker.nats.url": "nats://one,two:4222"}),
			"spec.broker.nats.url", "must be nats://host[:port] or tls://host[:port]",
		},
		"a stream's name with a dot": {
			nats().and(fields{"broker.nats.stream": "shop.prices"}),
			"spec.broker.nats.stream", "should match",
		},
		"a subject prefix that is a wildcard": {
			nats().and(fields{"broker.subjectPrefix": "shop.>"}),
			"spec.broker.subjectPrefix", "should match",
		},
		"a reference to credentials without a name": {
			nats().and(fields{"broker.nats.credentialsSecretRef": map[string]any{}}),
			"spec.broker.nats.credentialsSecretRef.name", "Required value",
		},
		"a reference to an authority without a name": {
			nats().and(fields{"broker.nats.caSecretRef": map[string]any{}}),
			"spec.broker.nats.caSecretRef.name", "Required value",
		},
		"a replay buffer larger than the memory allows": {
			fields{"replay.maxBytes": "512Mi"},
			"spec.replay.maxBytes", "replay.maxBytes must be at most 60% of gateway.resources.limits.memory; lower it or raise the limit",
		},
		"a memory limit too small for the default replay buffer": {
			fields{"gateway.resources.limits.memory": "256Mi"},
			"spec.replay.maxBytes", "replay.maxBytes must be at most 60% of gateway.resources.limits.memory; lower it or raise the limit",
		},
		"resource claims": {
			fields{"gateway.resources.claims": []any{map[string]any{"name": "gpu"}}},
			"spec.gateway.resources.claims", "gateway.resources.claims is not supported: gateway pods have no resource claims; remove it",
		},
		"a pattern that selects no channel": {
			fields{"compression.excludeChannels": []any{"secrets.>", "a.>.b"}},
			"spec.compression.excludeChannels[1]", "should match",
		},
		"the admin port as listener port": {
			fields{"listener.port": int64(9090)},
			"spec.listener.port", "listener.port must differ from observability.adminPort, which pods serve to the operator (9090 unless set)",
		},
		"a load balancer class without a load balancer": {
			fields{"listener.service.loadBalancerClass": "example.com/lb"},
			"spec.listener.service.loadBalancerClass", "listener.service: loadBalancerClass needs type LoadBalancer",
		},
		"a node port on a ClusterIP service": {
			fields{"listener.service.nodePort": int64(30080)},
			"spec.listener.service.nodePort", "listener.service: nodePort needs type NodePort or LoadBalancer",
		},
		"an exposed gateway without a list of open channels": {
			fields{"listener.service.type": "LoadBalancer"},
			"spec.auth.subscribers", "auth.subscribers: an exposed gateway, with a listener.route or a service that is not of type ClusterIP, needs anonymousChannels (['>'] opens all of them)",
		},
		"a route without a list of open channels": {
			fields{"listener.route.parentRefs": []any{map[string]any{"name": "public"}}},
			"spec.auth.subscribers", "with a listener.route or a service that is not of type ClusterIP, needs anonymousChannels (['>'] opens all of them)",
		},
		"a route by which anybody may publish": {
			fields{"listener.route.parentRefs": []any{map[string]any{"name": "public"}}, "auth.subscribers.anonymousChannels": []any{">"}, "auth.publishers.mode": "Anonymous"},
			"spec.auth.publishers.mode", "auth.publishers.mode Anonymous is allowed only on a ClusterIP service without listener.route",
		},
		"a route to nowhere": {
			fields{"listener.route.parentRefs": []any{}, "auth.subscribers.anonymousChannels": []any{">"}},
			"spec.listener.route.parentRefs", "should have at least 1 items",
		},
		"a route for a path that leads elsewhere": {
			fields{"listener.route.parentRefs": []any{map[string]any{"name": "public"}}, "listener.route.pathPrefix": "/a/../b", "auth.subscribers.anonymousChannels": []any{">"}},
			"spec.listener.route.pathPrefix", "must hold no empty segment, no . and no ..",
		},
		"a route for a name that is none": {
			fields{"listener.route.parentRefs": []any{map[string]any{"name": "public"}}, "listener.route.hostnames": []any{"a.*.test"}, "auth.subscribers.anonymousChannels": []any{">"}},
			"spec.listener.route.hostnames[0]", "should match",
		},
		"mode JWT of subscribers without tokens": {
			fields{"auth.subscribers.mode": "JWT"},
			"spec.auth.subscribers.jwt", "auth.subscribers: jwt must be set if, and only if, mode is JWT",
		},
		"tokens of subscribers with another mode": {
			tokens("subscribers").and(fields{"auth.subscribers.mode": "Kubernetes"}),
			"spec.auth.subscribers.jwt", "auth.subscribers: jwt must be set if, and only if, mode is JWT",
		},
		"mode JWT of publishers without tokens": {
			fields{"auth.publishers.mode": "JWT"},
			"spec.auth.publishers.jwt", "auth.publishers: jwt must be set if, and only if, mode is JWT",
		},
		"tokens of publishers with another mode": {
			tokens("publishers").and(fields{"auth.publishers.mode": "Anonymous"}),
			"spec.auth.publishers.jwt", "auth.publishers: jwt must be set if, and only if, mode is JWT",
		},
		"keys from two places": {
			tokens("subscribers").and(fields{"auth.subscribers.jwt.jwks.configMapRef.name": "keys"}),
			"spec.auth.subscribers.jwt.jwks", "set exactly one of uri or configMapRef",
		},
		"keys from nowhere": {
			fields{"auth.subscribers.mode": "JWT", "auth.subscribers.jwt.issuer": "a", "auth.subscribers.jwt.audiences": []any{"b"}, "auth.subscribers.jwt.jwks": map[string]any{}},
			"spec.auth.subscribers.jwt.jwks", "set exactly one of uri or configMapRef",
		},
		"an exposed gateway that anybody may publish to": {
			fields{"listener.service.type": "NodePort", "auth.subscribers.anonymousChannels": []any{">"}, "auth.publishers.mode": "Anonymous"},
			"spec.auth.publishers.mode", "auth.publishers.mode Anonymous is allowed only on a ClusterIP service without listener.route",
		},
		"a drain longer than the replay window": {
			fields{"drain.timeout": "6m"},
			"spec.replay.ttl", "replay.ttl must cover drain.timeout + drain.reconnectSpread",
		},
		"reconnects spread over more than the drain": {
			fields{"drain.timeout": "9s"},
			"spec.drain.reconnectSpread", "drain: reconnectSpread must not exceed timeout",
		},
		"a window as long as the heartbeat": {
			fields{"batching.window": "1s", "connections.heartbeat": "1s"},
			"spec.batching.window", "batching.window must be shorter than connections.heartbeat",
		},
		"a queue of fewer events than a batch": {
			fields{"queue.maxEvents": int64(99)},
			"spec.queue.maxEvents", "queue.maxEvents must be at least batching.maxEvents, or no full batch could ever be queued",
		},
		"a queue of fewer bytes than a batch": {
			fields{"queue.maxBytes": "255Ki"},
			"spec.queue.maxBytes", "queue.maxBytes must be at least batching.maxBytes",
		},
		"a replay window above an hour": {
			fields{"replay.ttl": "61m"},
			"spec.replay.ttl", "replay.ttl above 1h needs broker.type NATS: Memory keeps the replay buffer in the pod",
		},
		"a replay window shorter than a drain": {
			fields{"replay.ttl": "39s"},
			"spec.replay.ttl", "replay.ttl must cover drain.timeout + drain.reconnectSpread, or clients moved by a drain would lose events",
		},
		"more patterns than subscriptions": {
			fields{"connections.maxPatterns": int64(101)},
			"spec.connections.maxPatterns", "connections.maxPatterns must not exceed connections.maxSubscriptions",
		},
		"events larger than a batch": {
			fields{"batching.maxBytes": "63Ki"},
			"spec.limits.maxEventBytes", "limits.maxEventBytes must not exceed batching.maxBytes",
		},
		"a burst of events below one second's": {
			fields{"limits.publish.burst": int64(199)},
			"spec.limits.publish.burst", "limits.publish: burst must be at least perPublisherEventsPerSecond",
		},
		"a burst of streams below one second's": {
			fields{"limits.connect.burst": int64(1999)},
			"spec.limits.connect.burst", "limits.connect: burst must be at least perSecond",
		},
		"all origins and one more": {
			fields{"listener.allowedOrigins": []any{"*", "https://a.test"}},
			"spec.listener.allowedOrigins", "'*' must be the only entry in allowedOrigins",
		},
		"an origin without a scheme": {
			fields{"listener.allowedOrigins": []any{"a.test"}},
			"spec.listener.allowedOrigins", "each origin must be scheme://host[:port], scheme://*.domain or '*'",
		},
		"an origin with a path": {
			fields{"listener.allowedOrigins": []any{"https://a.test/app"}},
			"spec.listener.allowedOrigins", "each origin must be scheme://host[:port], scheme://*.domain or '*'",
		},
		"the origin null": {
			fields{"listener.allowedOrigins": []any{"null"}},
			"spec.listener.allowedOrigins", "each origin must be scheme://host[:port], scheme://*.domain or '*'",
		},
		"a star inside of a name": {
			fields{"listener.allowedOrigins": []any{"https://shop-*.a.test"}},
			"spec.listener.allowedOrigins", "each origin must be scheme://host[:port], scheme://*.domain or '*'",
		},
		"a proxy that is no network": {
			fields{"listener.trustedProxies": []any{"10.0.0.1"}},
			"spec.listener.trustedProxies[0]", "must be a network such as 10.0.0.0/8",
		},
		"a window of numbers shorter than the time between two looks": {
			fields{"rollout.analysis.window": "1s", "rollout.analysis.interval": "1001ms"},
			"spec.rollout.analysis.window", "rollout.analysis: window must be at least interval",
		},
		"steps that do not reach all pods": {
			steps(10, 99), "spec.rollout.steps", "rollout: the last rollout step must have percent 100",
		},
		"steps that go back": {
			steps(50, 25, 100), "spec.rollout.steps", "rollout: rollout steps must have strictly increasing percent",
		},
		"two steps of one size": {
			steps(50, 50, 100), "spec.rollout.steps[1]", "Duplicate value",
		},
		"a step of no pod": {
			steps(0, 100), "spec.rollout.steps[0].percent", "should be greater than or equal to 1",
		},
		"a step that is held for too long": {
			fields{"rollout.steps": []any{map[string]any{"percent": int64(100), "hold": "24h1s"}}},
			"spec.rollout.steps[0].hold", "must be between 0s and 24h",
		},
		"pods that stand by for longer than they may be needed": {
			fields{"rollback.guardPeriod": "1m59s"},
			"spec.rollback.warmPeriod", "rollback: warmPeriod must not exceed guardPeriod",
		},
		"mode Percent without a percent": {
			percent(map[string]any{"name": "ticker", "mode": "Percent"}),
			"spec.features[0].percent", "percent must be set if, and only if, mode is Percent",
		},
		"a percent without mode Percent": {
			percent(map[string]any{"name": "ticker", "percent": int64(10)}),
			"spec.features[0].percent", "percent must be set if, and only if, mode is Percent",
		},
		"two features of one name": {
			fields{"features": []any{map[string]any{"name": "ticker"}, map[string]any{"name": "ticker"}}},
			"spec.features[1]", "Duplicate value",
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, try(t, gateway(t, "prices", c.spec)), c.path, c.message)
		})
	}
}

func TestRulesAcceptWhatIsJustInside(t *testing.T) {
	for name, spec := range map[string]fields{
		"an exposed gateway that asks for tokens":     tokens("subscribers").and(fields{"listener.service.type": "LoadBalancer"}),
		"an exposed gateway that asks the API server": {"auth.subscribers.mode": "Kubernetes", "listener.service.type": "NodePort"},
		"a route with a list of open channels": {
			"listener.route.parentRefs": []any{map[string]any{"name": "public"}}, "listener.route.pathPrefix": "/v2/realtime", "auth.subscribers.anonymousChannels": []any{"news.>"},
		},
		"keys of a ConfigMap": {
			"auth.publishers.mode": "JWT", "auth.publishers.jwt.issuer": "a", "auth.publishers.jwt.audiences": []any{"b"},
			"auth.publishers.jwt.jwks.configMapRef.name": "keys",
		},
		"anonymous publishers within the cluster": {"auth.publishers.mode": "Anonymous"},
		"no pod":                                       {"gateway.replicas": int64(0)},
		"pages of all origins":                         {"listener.allowedOrigins": []any{"*"}},
		"pages of some origins":                        {"listener.allowedOrigins": []any{"https://a.test", "http://localhost:3000", "https://*.b.test:8443"}},
		"proxies of both families":                     {"listener.trustedProxies": []any{"10.0.0.0/8", "fd00::/8"}},
		"a replay buffer of 60% of the limit":          {"replay.maxBytes": "600Mi", "gateway.resources.limits.memory": "1000Mi"},
		"no memory limit and a large buffer":           {"replay.maxBytes": "16Gi", "gateway.resources": map[string]any{}},
		"a CPU limit only":                             {"gateway.resources": map[string]any{"limits": map[string]any{"cpu": int64(2)}}},
		"ports beside the admin port":                  {"listener.port": int64(9091)},
		"a load balancer with its class":               {"auth.subscribers.anonymousChannels": []any{"a.>"}, "listener.service.type": "LoadBalancer", "listener.service.loadBalancerClass": "example.com/lb"},
		"a load balancer with a node port":             {"auth.subscribers.anonymousChannels": []any{"a.>"}, "listener.service.type": "LoadBalancer", "listener.service.nodePort": int64(30080)},
		"a node port":                                  {"auth.subscribers.anonymousChannels": []any{">"}, "listener.service.type": "NodePort", "listener.service.nodePort": int64(30080)},
		"a window just below the heartbeat":            {"batching.window": "999ms", "connections.heartbeat": "1s"},
		"a queue of one batch":                         {"queue.maxEvents": int64(100), "queue.maxBytes": "256Ki"},
		"bytes as a plain number":                      {"queue.maxBytes": int64(1 << 20)},
		"a replay window of an hour":                   {"replay.ttl": "1h"},
		"a replay window of a drain":                   {"replay.ttl": "40s"},
		"a replay window of a short drain":             {"replay.ttl": "6s", "drain.timeout": "5s", "drain.reconnectSpread": "1s"},
		"a short replay window that nobody uses":       {"replay.ttl": "1s", "replay.mode": "Disabled"},
		"as many patterns as subscriptions":            {"connections.maxPatterns": int64(100)},
		"events as large as a batch":                   {"batching.maxBytes": "64Ki"},
		"events kept in NATS, for many pods and a day": nats().and(fields{"gateway.replicas": int64(3), "replay.ttl": "24h"}),
		"servers, TLS, prefix, stream and Secrets": nats().and(fields{
			"broker.subjectPrefix": "shop.prices-1", "broker.nats.url": "tls://a.messaging.svc:4222,tls://10.0.0.1,tls://[fd00::1]:4222",
			"broker.nats.stream": "PRICES", "broker.nats.credentialsSecretRef.name": "nats-user", "broker.nats.caSecretRef.name": "nats-ca",
		}),
		"one step": {"rollout.steps": []any{map[string]any{"percent": int64(100), "hold": "0s"}}},
		"looks as far apart as the window is long": {"rollout.analysis.window": "5s", "rollout.analysis.interval": "5s"},
		"no guard and no warm pods":                {"rollback.guardPeriod": "0s", "rollback.warmPeriod": "0s"},
		"a burst of one second's streams":          {"limits.connect.perSecond": int64(10), "limits.connect.burst": int64(10)},
		"a feature for nobody":                     {"features": []any{map[string]any{"name": "ticker", "mode": "Percent", "percent": int64(0), "stickyBy": "Session"}}},
		"durations of four parts":                  {"replay.ttl": "0h1m30s500ms"},
		"a pull policy, secrets and an annotation": {"gateway.imagePullPolicy": "Never", "gateway.imagePullSecrets": []any{map[string]any{"name": "pull"}}, "listener.service.annotations": map[string]any{"example.com/tier": "edge"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := try(t, gateway(t, "prices", spec)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNamesLeaveRoomForChildren(t *testing.T) {
	message := "metadata.name must be a DNS-1035 label of at most 36 characters, so that child names fit"
	for _, name := range []string{strings.Repeat("a", 37), "1st", "a.b", "a-1."} {
		err := try(t, gateway(t, name))
		if err == nil {
			t.Errorf("%q was accepted", name)
		} else if name != "a-1." { // refused by the API server's own rule for names
			refused(t, err, "<nil>", message)
		}
	}
	for _, name := range []string{strings.Repeat("a", 36), "a", "a-1"} {
		if err := try(t, gateway(t, name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSpecMustBeWritten(t *testing.T) {
	u := gateway(t, "prices")
	delete(u.Object, "spec")
	refused(t, try(t, u), "spec", "Required value")
}

func TestUnknownFieldsAreRefusedByStrictClients(t *testing.T) {
	err := try(t, gateway(t, "prices", fields{"batching.windows": "50ms"}))
	if err == nil || !strings.Contains(err.Error(), `unknown field "spec.batching.windows"`) {
		t.Errorf("got %v, want the unknown field named", err)
	}
}
