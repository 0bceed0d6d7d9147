package server

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Alerts on a metric that is called otherwise never fire, and nobody notices.
func TestTheAlertsOfTheDocsAreAboutMetricsThereAre(t *testing.T) {
	text, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, _ := strings.Cut(string(text), "groups:")
	rules, _, _ = strings.Cut(rules, "```")
	scrape := start(t, nil).scrape("text/plain")
	names := regexp.MustCompile(`\bsg_[a-z_]+`).FindAllString(rules, -1)
	if len(names) < 6 {
		t.Fatalf("only %q are found", names)
	}
	for _, name := range names {
		family := strings.TrimSuffix(name, "_bucket")
		if !strings.Contains(scrape, "\n# TYPE "+family+" ") {
			t.Errorf("there is no metric %s", family)
		}
	}
}
