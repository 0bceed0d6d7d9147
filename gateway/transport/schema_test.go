package transport

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
)

// schema is the part of JSON Schema that the frozen shapes use.
type schema struct {
	Type                 any                `json:"type"`
	Enum                 []any              `json:"enum"`
	Required             []string           `json:"required"`
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Items                *schema            `json:"items"`
}

func readSchema(t *testing.T, path string) *schema {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return &s
}

// decodeShape holds an answer against its frozen shape, and reads it.
func decodeShape[T any](t *testing.T, shape, body string) (v T) {
	t.Helper()
	raw := unmarshalAny(t, body)
	for _, fault := range readSchema(t, "testdata/"+shape+".schema.json").check(raw, "$") {
		t.Errorf("%s: %s", shape, fault)
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}

func unmarshalAny(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// check lists where v breaks the schema. Anything fits one without a type.
func (s *schema) check(v any, path string) (faults []string) {
	if s.Type == nil {
		return nil
	}
	if !s.hasType(v) {
		return []string{fmt.Sprintf("%s: %v is not %v", path, v, s.Type)}
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		faults = append(faults, fmt.Sprintf("%s: %v is none of %v", path, v, s.Enum))
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			faults = append(faults, s.Items.check(item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case map[string]any:
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				faults = append(faults, path+"."+name+" is missing")
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			faults = append(faults, s.member(name).check(v[name], path+"."+name)...)
		}
	}
	return faults
}

// member is the schema of a property; one that nothing accepts when it may not
// be there.
func (s *schema) member(name string) *schema {
	if p, ok := s.Properties[name]; ok {
		return p
	}
	var more schema
	if json.Unmarshal(s.AdditionalProperties, &more) == nil {
		return &more
	}
	return &schema{Type: "nothing"}
}

func (s *schema) hasType(v any) bool {
	names, ok := s.Type.([]any)
	if !ok {
		names = []any{s.Type}
	}
	for _, name := range names {
		switch v := v.(type) {
		case nil:
			ok = name == "null"
		case bool:
			ok = name == "boolean"
		case string:
			ok = name == "string"
		case float64:
			ok = name == "number" || name == "integer" && v == math.Trunc(v)
		case []any:
			ok = name == "array"
		case map[string]any:
			ok = name == "object"
		}
		if ok {
			return true
		}
	}
	return false
}

func TestTheSchemaCheckFindsWhatIsWrong(t *testing.T) {
	s := readSchema(t, "testdata/metrics.schema.json")
	v := map[string]any{"version": "3", "time": 1.5, "colour": true}
	faults := s.check(v, "$")
	for _, want := range []string{"$.version: 3 is none of [2]", "$.time: 1.5 is not integer", "$.colour: true is not nothing", "$.health is missing"} {
		if !slices.Contains(faults, want) {
			t.Errorf("%q is missing in %q", want, faults)
		}
	}
}
