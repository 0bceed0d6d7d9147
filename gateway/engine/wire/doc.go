// Package wire is what travels: cursors, channel names and patterns, events,
// and the bytes of a stream.
//
// It is pure: no I/O, no clock, no randomness, and no knowledge of who reads
// or writes. It does not batch, keep or route anything. The log (ring), the
// fan-out, the brokers and the HTTP surface all speak through it; publish
// bodies are read by its subpackage decode.
package wire
