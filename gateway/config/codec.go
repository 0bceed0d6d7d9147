package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Encode writes a document as JSON with durations as "50ms", by one walk over
// all fields, so that a new field needs nothing here. The same value always
// gives the same bytes. It fails for a duration that is negative or finer than
// a millisecond.
func Encode[T Document | Cold](v T) ([]byte, error) {
	var out bytes.Buffer
	if err := encodeValue(&out, reflect.ValueOf(v), ""); err != nil {
		return nil, fmt.Errorf("encoding config: %w", err)
	}
	return out.Bytes(), nil
}

// Decode reads what Encode writes. A field that is absent has its default; a
// field that this gateway does not know is returned by its path and ignored,
// since an older pod may read a newer document. It checks shapes, not bounds:
// that is Validate.
func Decode[T Document | Cold](data []byte) (v T, unknown []string, err error) {
	setDefault(&v)
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return v, nil, fmt.Errorf("decoding config: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, nil, errors.New("decoding config: something follows the document")
	}
	w := walk{}
	w.decode(reflect.ValueOf(&v).Elem(), tree, "")
	withoutTrial(&v)
	slices.Sort(w.unknown)
	if err := errors.Join(w.faults...); err != nil {
		return v, w.unknown, fmt.Errorf("decoding config: %w", err)
	}
	return v, w.unknown, nil
}

func setDefault(v any) {
	cold, hot := Default()
	switch v := v.(type) {
	case *Document:
		v.Stable.Hot, v.Candidate.Hot = hot, hot
	case *Cold:
		*v = cold
	}
}

// withoutTrial takes the defaults back from a candidate that is not there.
func withoutTrial(v any) {
	if d, ok := v.(*Document); ok && d.Candidate.Name == "" {
		d.Candidate = Revision{}
	}
}

func encodeValue(out *bytes.Buffer, v reflect.Value, path string) error {
	if d, ok := reflect.TypeAssert[time.Duration](v); ok {
		text, err := FormatDuration(d)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Fprintf(out, "%q", text)
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return encodeStruct(out, v, path)
	case reflect.Slice:
		out.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := encodeValue(out, v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	}
	text, err := json.Marshal(v.Interface())
	out.Write(text)
	return err
}

func encodeStruct(out *bytes.Buffer, v reflect.Value, path string) error {
	separator := byte('{')
	for i := range v.NumField() {
		name, omitEmpty := jsonName(v.Type().Field(i))
		if omitEmpty && (v.Field(i).IsZero() || v.Field(i).Kind() == reflect.Slice && v.Field(i).Len() == 0) {
			continue
		}
		out.WriteByte(separator)
		separator = ','
		fmt.Fprintf(out, "%q:", name)
		if err := encodeValue(out, v.Field(i), join(path, name)); err != nil {
			return err
		}
	}
	if separator == '{' {
		out.WriteByte('{')
	}
	out.WriteByte('}')
	return nil
}

// walk gathers all that is wrong in one pass, so that a person who fixes a
// file by hand is told once.
type walk struct {
	unknown []string
	faults  []error
}

func (w *walk) decode(to reflect.Value, from any, path string) {
	if from == nil {
		return // null is the same as absent
	}
	if _, ok := reflect.TypeAssert[time.Duration](to); ok {
		w.decodeDuration(to, from, path)
		return
	}
	switch to.Kind() {
	case reflect.Struct:
		w.decodeStruct(to, from, path)
	case reflect.Slice:
		w.decodeSlice(to, from, path)
	case reflect.String:
		text, ok := from.(string)
		if !ok {
			w.fault(path, from, "a string")
			return
		}
		to.SetString(text)
	case reflect.Float64:
		n, ok := from.(json.Number)
		f, err := n.Float64()
		if !ok || err != nil {
			w.fault(path, from, "a number")
			return
		}
		to.SetFloat(f)
	case reflect.Int, reflect.Int64:
		n, ok := from.(json.Number)
		whole, err := n.Int64()
		if !ok || err != nil || to.OverflowInt(whole) {
			w.fault(path, from, "a whole number")
			return
		}
		to.SetInt(whole)
	default:
		// A field of a kind that the walk does not know cannot reach a user:
		// the round trip test meets it first.
		panic("config: no codec for " + path + " of type " + to.Type().String())
	}
}

func (w *walk) decodeDuration(to reflect.Value, from any, path string) {
	text, ok := from.(string)
	if !ok {
		w.fault(path, from, `a duration such as "50ms"`)
		return
	}
	d, err := ParseDuration(text)
	if err != nil {
		w.faults = append(w.faults, fmt.Errorf("%s: %w", path, err))
		return
	}
	to.SetInt(int64(d))
}

func (w *walk) decodeStruct(to reflect.Value, from any, path string) {
	fields, ok := from.(map[string]any)
	if !ok {
		w.fault(path, from, "an object")
		return
	}
	known := 0
	for i := range to.NumField() {
		name, _ := jsonName(to.Type().Field(i))
		if value, ok := fields[name]; ok {
			known++
			w.decode(to.Field(i), value, join(path, name))
		}
	}
	if known == len(fields) {
		return
	}
	for name := range fields {
		if !hasField(to.Type(), name) {
			w.unknown = append(w.unknown, join(path, name))
		}
	}
}

func (w *walk) decodeSlice(to reflect.Value, from any, path string) {
	items, ok := from.([]any)
	if !ok {
		w.fault(path, from, "a list")
		return
	}
	list := reflect.MakeSlice(to.Type(), len(items), len(items))
	for i, item := range items {
		w.decode(list.Index(i), item, fmt.Sprintf("%s[%d]", path, i))
	}
	to.Set(list)
}

func (w *walk) fault(path string, value any, want string) {
	shown, _ := json.Marshal(value)
	if len(shown) > 64 {
		shown = append(shown[:61], "..."...)
	}
	if path == "" {
		path = "the document"
	}
	w.faults = append(w.faults, fmt.Errorf("%s: %s is not %s", path, shown, want))
}

func hasField(t reflect.Type, name string) bool {
	for f := range t.Fields() {
		if n, _ := jsonName(f); n == name {
			return true
		}
	}
	return false
}

func jsonName(f reflect.StructField) (name string, omitEmpty bool) {
	name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, rest == "omitempty" || rest == "omitzero"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
