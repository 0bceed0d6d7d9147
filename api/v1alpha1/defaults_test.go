package v1alpha1_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// stored is the spec that the API server stores for `spec: {}`.
func stored(t *testing.T) map[string]any {
	t.Helper()
	u := gateway(t, "prices")
	if err := try(t, u); err != nil {
		t.Fatal(err)
	}
	return u.Object["spec"].(map[string]any)
}

func TestAnEmptySpecIsStoredWithEveryDefault(t *testing.T) {
	want := map[string]any{
		"gateway": map[string]any{
			"replicas": int64(1),
			"resources": map[string]any{
				"requests": map[string]any{"cpu": "100m", "memory": "256Mi"},
				"limits":   map[string]any{"memory": "768Mi"},
			},
			"disruptionBudget": "Enabled",
		},
		"listener": map[string]any{
			"port":    int64(8080),
			"service": map[string]any{"type": "ClusterIP", "port": int64(80), "externalTrafficPolicy": "Cluster"},
		},
		"batching": map[string]any{"window": "50ms", "maxEvents": int64(100), "maxBytes": "256Ki"},
		"queue":    map[string]any{"maxEvents": int64(10000), "maxBytes": "8Mi", "maxLag": "30s", "slowConsumerPolicy": "DropWithGap"},
		"replay":   map[string]any{"mode": "Enabled", "ttl": "5m", "maxBytes": "256Mi"},
		"connections": map[string]any{
			"maxPerPod": int64(10000), "maxPerSubject": int64(10), "maxSubscriptions": int64(100), "maxPatterns": int64(32),
			"heartbeat": "15s", "writeTimeout": "30s", "maxAge": "2h", "longPollTimeout": "25s", "retry": "3s", "retryJitterPercent": int64(50),
		},
		"limits": map[string]any{"maxEventBytes": "64Ki", "publish": map[string]any{"perPublisherEventsPerSecond": int64(200), "burst": int64(1000), "perTenantEventsPerSecond": int64(5000)}, "delivery": map[string]any{"eventsPerSecond": int64(2000), "bytesPerSecond": "4Mi"}, "connect": map[string]any{"perSecond": int64(2000), "burst": int64(10000)}},
		"auth": map[string]any{
			"subscribers": map[string]any{"mode": "Anonymous", "accessTokenQuery": "Disabled"},
			"publishers":  map[string]any{"mode": "Kubernetes", "audiences": []any{"streamgateway.io"}, "cacheTTL": "10s"},
		},
		"drain":         map[string]any{"timeout": "30s", "preStopDelay": "5s", "reconnectSpread": "10s"},
		"observability": map[string]any{"logLevel": "Info", "accessLog": "Disabled", "metricsAccess": "Authenticated", "presence": "Count", "adminPort": int64(9090), "serviceMonitor": "Disabled", "statusInterval": "30s", "beaconInterval": "1m"},
		"compression":   map[string]any{"mode": "Auto", "level": "Fastest", "minBytes": "256"},
		"rollout": map[string]any{"hot": "AllAtOnce", "restart": "Canary", "progressDeadline": "5m", "steps": []any{
			map[string]any{"percent": int64(25), "hold": "30s"}, map[string]any{"percent": int64(50), "hold": "30s"}, map[string]any{"percent": int64(100), "hold": "30s"},
		}, "analysis": map[string]any{
			"interval": "1s", "window": "10s", "consecutiveBreaches": int64(2), "minEvents": int64(100), "onInconclusive": "Promote",
			"thresholds": map[string]any{
				"maxErrorPercent": int64(1), "maxDropPercent": int64(1), "maxP99Latency": "1s",
				"maxQueuePercent": int64(90), "maxReconnectsPerMinutePercent": int64(20),
			},
		}},
		"rollback":       map[string]any{"mode": "Automatic", "guardPeriod": "5m", "warmPeriod": "2m", "historyLimit": int64(10)},
		"broker":         map[string]any{"type": "Memory"},
		"circuitBreaker": map[string]any{"mode": "Enabled", "failureThreshold": int64(5), "openDuration": "5s", "halfOpenProbes": int64(3)},
	}
	if diff := cmp.Diff(want, stored(t)); diff != "" {
		t.Error(diff)
	}
}

func TestAFeatureIsEnabledByDefault(t *testing.T) {
	u := gateway(t, "prices", fields{"features": []any{map[string]any{"name": "ticker"}}})
	if err := try(t, u); err != nil {
		t.Fatal(err)
	}
	want := []any{map[string]any{"name": "ticker", "mode": "Enabled"}}
	if diff := cmp.Diff(want, u.Object["spec"].(map[string]any)["features"]); diff != "" {
		t.Error(diff)
	}
}

func TestTLSBeginsByDefaultWithTheVersionOfTheGateway(t *testing.T) {
	u := gateway(t, "prices", fields{"listener.tls": map[string]any{"secretName": "prices-tls"}})
	if err := try(t, u); err != nil {
		t.Fatal(err)
	}
	listener := u.Object["spec"].(map[string]any)["listener"].(map[string]any)
	_, hot := config.Default()
	want := map[string]any{"secretName": "prices-tls", "minVersion": hot.Listener.TLS.MinVersion}
	if diff := cmp.Diff(want, listener["tls"]); diff != "" {
		t.Error(diff)
	}
}

func TestTracingSamplesByDefaultWhatTheGatewayDoes(t *testing.T) {
	u := gateway(t, "prices", fields{"observability.tracing": map[string]any{"endpoint": "otel:4317"}})
	if err := try(t, u); err != nil {
		t.Fatal(err)
	}
	observability := u.Object["spec"].(map[string]any)["observability"].(map[string]any)
	_, hot := config.Default()
	want := map[string]any{"endpoint": "otel:4317", "samplePercent": fmt.Sprint(hot.Observability.Tracing.SamplePercent)}
	if diff := cmp.Diff(want, observability["tracing"]); diff != "" {
		t.Error(diff)
	}
}

// TestDefaultsAreThoseOfTheGateway compares, field by field, what the API
// server fills in with what the gateway takes when nobody tells it anything.
func TestDefaultsAreThoseOfTheGateway(t *testing.T) {
	var spec v1alpha1.StreamGatewaySpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored(t), &spec); err != nil {
		t.Fatal(err)
	}
	cold, hot := config.Default()
	if got := (config.Listener{Port: int(spec.Listener.Port)}); got != cold.Listener {
		t.Errorf("listener: %+v, the gateway's default is %+v", got, cold.Listener)
	}
	compared := 0
	for name, group := range groups(reflect.ValueOf(hot)) {
		if name == "features" { // none by default
			continue
		}
		section := reflect.ValueOf(spec).FieldByNameFunc(func(f string) bool { return strings.EqualFold(f, name) })
		if !section.IsValid() {
			t.Errorf("%s: no section of the spec", name)
			continue
		}
		compared += compare(t, name, section.Elem(), group)
	}
	if compared < 19 {
		t.Errorf("compared %d fields only", compared)
	}
}

// compare holds a section of the spec to the gateway's group of the same name,
// and counts the fields.
func compare(t *testing.T, name string, section, group reflect.Value) (fields int) {
	t.Helper()
	for i := range group.NumField() {
		field := group.Type().Field(i).Name
		inSchema := section.FieldByName(field)
		if group.Field(i).Kind() == reflect.Struct && inSchema.Kind() == reflect.Pointer && inSchema.IsNil() {
			continue // a section that is absent unless asked for
		}
		if group.Field(i).Kind() == reflect.Struct {
			fields += compare(t, name+"."+field, inSchema.Elem(), group.Field(i))
			continue
		}
		if got, want := neutral(t, inSchema), neutral(t, group.Field(i)); got != want {
			t.Errorf("%s.%s: %v in the schema, %v in the gateway", name, field, got, want)
		}
		fields++
	}
	return fields
}

// neutral is a field's value without the API's or the gateway's type:
// durations as time, sizes as bytes, numbers as int64, absent as zero.
func neutral(t *testing.T, v reflect.Value) any {
	t.Helper()
	if !v.IsValid() {
		return "no such field"
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return int64(0)
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case v1alpha1.Duration:
		d, err := time.ParseDuration(string(x))
		if err != nil {
			t.Fatal(err)
		}
		return d
	case time.Duration:
		return x
	case resource.Quantity:
		return x.Value()
	}
	switch {
	case v.CanInt():
		return v.Int()
	case v.Kind() == reflect.Slice && v.IsNil():
		return int64(0)
	case v.Kind() == reflect.Slice:
		return fmt.Sprint(v.Interface())
	}
	return v.String()
}

// groups are the fields of a struct by their JSON name.
func groups(v reflect.Value) map[string]reflect.Value {
	m := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		m[name] = v.Field(i)
	}
	return m
}
