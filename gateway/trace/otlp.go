package trace

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of OTLP's trace service, written by hand: they are few, frozen,
// and generated code for them links a gRPC server. Numbers are those of
// opentelemetry/proto/trace/v1/trace.proto and its neighbours.

// scopeName says which code made the spans.
const scopeName = "github.com/streamgateway/streamgateway/gateway"

// appendRequest appends an ExportTraceServiceRequest.
func appendRequest(dst, resource []byte, spans []*Span) []byte {
	scope := appendText(nil, 1, scopeName)
	body := appendMessage(nil, 1, scope)
	for _, s := range spans {
		body = appendMessage(body, 2, appendSpan(nil, s))
	}
	resourceSpans := appendMessage(nil, 1, resource)
	resourceSpans = appendMessage(resourceSpans, 2, body)
	return appendMessage(dst, 1, resourceSpans)
}

// appendResource appends a Resource.
func appendResource(dst []byte, attributes map[string]string) []byte {
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		dst = appendMessage(dst, 1, appendAttribute(nil, attribute{key, attributes[key], isText}))
	}
	return dst
}

func appendSpan(dst []byte, s *Span) []byte {
	dst = appendBytes(dst, 1, s.context.ID[:])
	dst = appendBytes(dst, 2, s.context.Span[:])
	if s.parent != [8]byte{} {
		dst = appendBytes(dst, 4, s.parent[:])
	}
	dst = appendText(dst, 5, s.name)
	dst = appendNumber(dst, 6, uint64(s.kind))
	dst = appendTime(dst, 7, s.start)
	dst = appendTime(dst, 8, s.end)
	for _, a := range s.attributes {
		dst = appendMessage(dst, 9, appendAttribute(nil, a))
	}
	if s.failed {
		const statusError = 2
		dst = appendMessage(dst, 15, appendNumber(nil, 3, statusError))
	}
	const sampled = 1
	return protowire.AppendFixed32(protowire.AppendTag(dst, 16, protowire.Fixed32Type), sampled)
}

// appendAttribute appends a KeyValue.
func appendAttribute(dst []byte, a attribute) []byte {
	value := appendText(nil, 1, a.text)
	if a.number != isText {
		value = appendNumber(nil, 3, uint64(a.number))
	}
	return appendMessage(appendText(dst, 1, a.key), 2, value)
}

func appendMessage(dst []byte, number protowire.Number, message []byte) []byte {
	return appendBytes(dst, number, message)
}

func appendBytes(dst []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), value)
}

func appendText(dst []byte, number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), value)
}

func appendNumber(dst []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), value)
}

func appendTime(dst []byte, number protowire.Number, at time.Time) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(dst, number, protowire.Fixed64Type), uint64(at.UnixNano()))
}
