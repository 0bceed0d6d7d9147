package wire

import "testing"

func TestNoCredentialIsOfTheGatewaysOwnTenant(t *testing.T) {
	if CheckTenant(OwnTenant) == nil {
		t.Error("a token may name the gateway's own tenant")
	}
	channel := Qualify(OwnTenant, "canary.prices-0")
	p, err := ParseQualified(channel)
	if err != nil || !Own(channel) || Own("$sg.canary") || Own("prices") {
		t.Errorf("the gateway's own channels are not told from others: %v", err)
	}
	everything, err := ParsePattern(">")
	if err != nil || everything.Match(channel) || everything.Covers(p) || everything.In("acme").Match(channel) {
		t.Errorf("a client's pattern selects the gateway's own channel: %v", err)
	}
	for _, name := range []string{channel, "$sg.canary.prices-0"} {
		if _, err := ParsePattern(name); err == nil {
			t.Errorf("a client can write %q", name)
		}
	}
}
