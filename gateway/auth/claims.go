package auth

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json" // names in their exact case, and none twice

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	maxSubjectBytes = 256
	maxRights       = 256 // patterns of one kind
	maxExpiry       = 1 << 40
)

// claims are members of a JSON object.
type claims map[string]json.RawMessage

// judge reads what a verified token says.
func (j *JWT) judge(payload []byte) (*Principal, error) {
	var all claims
	if json.Unmarshal(payload, &all) != nil || all == nil {
		return nil, errClaims("the token holds no JSON object, or a name twice")
	}
	if issuer, ok := read[string](all, "iss"); !ok || issuer != j.Issuer {
		return nil, errClaims("the token is not from the issuer of this gateway")
	}
	if !j.meant(all["aud"]) {
		return nil, errClaims("the token is not for an audience of this gateway")
	}
	who := &Principal{}
	var ok bool
	if who.Subject, ok = read[string](all, "sub"); !ok || !harmless(who.Subject) {
		return nil, errClaims("the token needs a subject of 1 to 256 bytes without control characters")
	}
	expires, ok := instant(all, "exp")
	if !ok {
		return nil, errClaims("the token does not say when it expires")
	}
	who.Expires = expires.Add(j.ClockSkew)
	if all["nbf"] != nil {
		if from, ok := instant(all, "nbf"); !ok || time.Now().Before(from.Add(-j.ClockSkew)) {
			return nil, errClaims("the token is not valid yet")
		}
	}
	if raw, found := lookUp(all, j.ChannelsClaim); found && !who.grant(raw) {
		return nil, errClaims("the claim " + j.ChannelsClaim + " cannot be read")
	}
	return who, nil
}

// read gives a member of one type; ok is false when it is missing or of another.
func read[T any](c claims, name string) (v T, ok bool) {
	raw, present := c[name]
	if !present || string(raw) == "null" || json.Unmarshal(raw, &v) != nil {
		return v, false
	}
	return v, true
}

// instant reads a NumericDate.
func instant(c claims, name string) (time.Time, bool) {
	seconds, ok := read[float64](c, name)
	if !ok || !(seconds >= 0 && seconds < maxExpiry) {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(seconds * 1000)), true
}

// meant tells whether aud, a string or a list of them, has one of ours.
func (j *JWT) meant(raw json.RawMessage) bool {
	var one string
	var many []string
	if raw == nil || json.Unmarshal(raw, &one) != nil && json.Unmarshal(raw, &many) != nil {
		return false
	}
	return slices.ContainsFunc(append(many, one), func(a string) bool { return a != "" && slices.Contains(j.Audiences, a) })
}

func harmless(subject string) bool {
	return subject != "" && len(subject) <= maxSubjectBytes && utf8.ValidString(subject) && !strings.ContainsFunc(subject, unicode.IsControl)
}

// lookUp finds a claim by its name, or by a path of names with dots between.
// The name goes first: claims are often named as URLs, which have dots.
func lookUp(c claims, path string) (json.RawMessage, bool) {
	if raw, ok := c[path]; ok {
		return raw, true
	}
	for name, rest, more := strings.Cut(path, "."); more; name, rest, more = strings.Cut(rest, ".") {
		var inner claims
		if raw, ok := c[name]; !ok || json.Unmarshal(raw, &inner) != nil {
			return nil, false
		}
		if raw, ok := inner[rest]; ok {
			return raw, true
		}
		c = inner
	}
	return nil, false
}

// grant reads the claim of channels: an object, or a list of the patterns that
// may be read. It says no to one that it cannot read in full: half a right
// would be a riddle to whoever looks for the other half.
func (who *Principal) grant(raw json.RawMessage) bool {
	var names []string
	if json.Unmarshal(raw, &names) == nil {
		ok := false
		who.Sub, ok = rights("", names)
		return ok
	}
	var c claims
	if json.Unmarshal(raw, &c) != nil || c == nil {
		return false
	}
	fine := true
	optional(&fine, c, "tenant", &who.Tenant)
	var sub, pub []string
	optional(&fine, c, "sub", &sub)
	optional(&fine, c, "pub", &pub)
	optional(&fine, c, "presence", &who.Presence)
	optional(&fine, c, "metrics", &who.Metrics)
	optional(&fine, c, "flush", &who.Flush)
	limits := claims{}
	optional(&fine, c, "limits", &limits)
	optional(&fine, limits, "connections", &who.Limits.Connections)
	if !fine || wire.CheckTenant(who.Tenant) != nil || who.Limits.Connections < 0 {
		return false
	}
	var ok, too bool
	who.Sub, ok = rights(who.Tenant, sub)
	who.Pub, too = rights(who.Tenant, pub)
	return ok && too
}

// optional reads a member that may be missing.
func optional[T any](fine *bool, c claims, name string, to *T) {
	if raw, present := c[name]; present && string(raw) != "null" {
		*fine = *fine && json.Unmarshal(raw, to) == nil
	}
}

// rights reads patterns of a tenant.
func rights(tenant string, names []string) (list []wire.Pattern, ok bool) {
	if len(names) > maxRights {
		return nil, false
	}
	for _, name := range names {
		p, err := wire.ParsePattern(name)
		if err != nil {
			return nil, false
		}
		list = append(list, p.In(tenant))
	}
	return list, true
}
