package resources

import (
	"slices"
	"testing"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

func TestAnOlderGatewayLacksOnlyWhatSpecSets(t *testing.T) {
	sg := emptyGateway(t)
	sg.Spec.Limits.Delivery.EventsPerSecond = 7
	sg.Spec.Features = []v1alpha1.Feature{{Name: "ticker", Mode: v1alpha1.FeatureEnabled}}
	p := planOf(t, sg, builtIn)
	got, err := Unsupported(&p, []string{
		"candidate.hot.limits.delivery.eventsPerSecond", "stable.hot.limits.delivery.eventsPerSecond", // set; told once
		"stable.hot.limits.delivery.bytesPerSecond",             // at its default
		"stable.hot.features[0].stickyBy",                       // of a list that is set
		"stable.hot.queue", "stable.hot.nobody.knows", "serial", // not set, not there, of no setting
	})
	if want := []string{"features[0].stickyBy", "limits.delivery.eventsPerSecond"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
