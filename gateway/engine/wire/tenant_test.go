package wire_test

import (
	"strings"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestNoPatternCrossesTenants(t *testing.T) {
	tenants := []string{"", "acme", "acm", "acme-2", "Acme"}
	names := []string{"a", "a.b", "a.b.c"}
	for _, own := range tenants {
		for _, text := range []string{"a", "a.b", "a.*", "*", "*.b", "*.*", "a.>", ">"} {
			p := pattern(t, text).In(own)
			if p.Tenant() != own || p.Unqualified() != text || p.String() != wire.Qualify(own, text) {
				t.Errorf("%q in %q is %q: %q, %q", text, own, p, p.Tenant(), p.Unqualified())
			}
			if back, err := wire.ParseQualified(p.String()); err != nil || back != p {
				t.Errorf("%q is read as %v, %v", p, back, err)
			}
			for _, other := range tenants {
				if got, want := p.Covers(pattern(t, text).In(other)), own == other; got != want {
					t.Errorf("%q covers the same in %q: %v", p, other, got)
				}
				for _, name := range names {
					want := own == other && pattern(t, text).Match(name)
					if got := p.Match(wire.Qualify(other, name)); got != want {
						t.Errorf("%q selects %q of %q: %v", p, name, other, got)
					}
				}
			}
		}
	}
}

func TestNoClientCanWriteAQualifiedName(t *testing.T) {
	for _, name := range []string{"acme/a", "/a", "a/b.c", "acme/>", "acme/*", "acme∕a", "acme%2Fa", "acme\x00a", "acme\\a", "a.acme/b", "*/a", "../a"} {
		if err := wire.CheckChannel(name); err == nil {
			t.Errorf("%q is a channel", name)
		}
		if p, err := wire.ParsePattern(name); err == nil {
			t.Errorf("%q is pattern %v", name, p)
		}
		if _, err := wire.NewSubSet([]string{"a", name}); err == nil {
			t.Errorf("%q is in a set", name)
		}
	}
	for _, tenant := range []string{"a/b", "a.b", "*", ">", "$sg", "ä", "a b", "a\n", strings.Repeat("a", 65)} {
		if err := wire.CheckTenant(tenant); err == nil {
			t.Errorf("%q is a tenant", tenant)
		}
	}
	for _, tenant := range []string{"", "acme", "Acme_1", "org:7@eu"} {
		if err := wire.CheckTenant(tenant); err != nil {
			t.Errorf("%q: %v", tenant, err)
		}
	}
	for _, bad := range []string{"/a", "a/", "a/b/c", "*/a", "a/b..c"} {
		if p, err := wire.ParseQualified(bad); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
}

func TestSubscribersSeeNoTenantInNames(t *testing.T) {
	r := wire.Record{Seq: 1, Event: wire.Event{Channel: wire.Qualify("acme", "a.b"), Data: []byte("1")}}
	text, at := wire.AppendElement(nil, "k3f9x2", &r)
	e := wire.Element{Seq: 1, Channel: r.Channel, JSON: text, Data: text[at.DataOff : at.DataOff+at.DataLen]}
	for _, format := range []wire.Format{wire.Plain, wire.Envelope, wire.Array} {
		got := string(wire.AppendFrame(nil, format, "k3f9x2", e))
		if strings.Contains(got, "acme") || !strings.Contains(got, "a.b") {
			t.Errorf("%s", got)
		}
	}
}
