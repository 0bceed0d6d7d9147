package resources

import (
	"fmt"
	"testing"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// overNATS is a gateway of three pods with these settings of broker.nats.
func overNATS(t *testing.T, name, nats string) *v1alpha1.StreamGateway {
	t.Helper()
	return parseGateway(t, fmt.Sprintf("metadata: {name: %s, namespace: shop}\nspec: {gateway: {replicas: 3}, broker: {type: NATS, nats: {%s}}}", name, nats))
}

func TestSettingsOverNATSAreOneRevisionUnderAnyName(t *testing.T) {
	one, other := planOf(t, overNATS(t, "prices", "url: nats://nats"), builtIn), planOf(t, overNATS(t, "quotes", "url: nats://nats"), builtIn)
	if one.Revision != other.Revision {
		t.Errorf("the same settings under another name: %s, want %s", other.Revision, one.Revision)
	}
	if one.Cold.Broker.SubjectPrefix != "sg.shop.prices" || other.Cold.Broker.SubjectPrefix != "sg.shop.quotes" {
		t.Errorf("two gateways share subjects: %s and %s", one.Cold.Broker.SubjectPrefix, other.Cold.Broker.SubjectPrefix)
	}
	named := overNATS(t, "prices", "url: nats://nats")
	named.Spec.Broker.SubjectPrefix = "sg.shop.prices"
	if p := planOf(t, named, builtIn); p.Revision != one.Revision || p.TemplateHash != one.TemplateHash {
		t.Errorf("the prefix as it is anyway: %s/%s, want %s/%s", p.Revision, p.TemplateHash, one.Revision, one.TemplateHash)
	}
}

func TestPodsWithOtherSecretsReadTheSameLogAndThoseElsewhereDoNot(t *testing.T) {
	base := broker(overNATS(t, "prices", "url: nats://nats"))
	for nats, same := range map[string]bool{
		"url: nats://nats, credentialsSecretRef: {name: user}, caSecretRef: {name: ca}": true,
		"url: nats://other":                false,
		"url: nats://nats, stream: PRICES": false,
	} {
		if got := SameLog(base, broker(overNATS(t, "prices", nats))); got != same {
			t.Errorf("%s: same log %v, want %v", nats, got, same)
		}
	}
	memory := config.Broker{Type: config.BrokerMemory}
	if SameLog(base, memory) || SameLog(memory, base) {
		t.Error("a log in the pod is the same as one that pods share")
	}
	if Shared(memory) || !Shared(base) {
		t.Error("pods share memory, or do not share NATS")
	}
}

func TestRevisionWithALogInThePodIsGoneBackToWithOnePod(t *testing.T) {
	then := parseGateway(t, "metadata: {name: prices, namespace: shop}\nspec: {}")
	data, err := NewRecord(&then.Spec, planOf(t, then, builtIn))
	if err != nil {
		t.Fatal(err)
	}
	record, err := ReadRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	now := overNATS(t, "prices", "url: nats://nats")
	got, _, err := record.Restore(now, planOf(t, now, builtIn))
	if err != nil {
		t.Fatal(err)
	}
	if n := *got.Spec.Gateway.Replicas; n != 1 {
		t.Errorf("%d pods, each with a log of its own", n)
	}
	if n := *now.Spec.Gateway.Replicas; n != 3 {
		t.Errorf("the spec was changed to %d pods", n)
	}
}
