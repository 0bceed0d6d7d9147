package transport

import (
	"net/http"
	"strconv"
	"strings"
)

// takesGzip tells whether a client accepts gzip, by name or by "*". Of several
// mentions the most exact one counts.
func takesGzip(header http.Header) bool {
	all, named, isNamed := false, false, false
	for part := range strings.SplitSeq(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			named, isNamed = wanted(parameters), true
		case "*":
			all = wanted(parameters)
		}
	}
	if isNamed {
		return named
	}
	return all
}

// wanted tells whether the quality among parameters is above 0; without one it
// is 1, and one that cannot be read is 0.
func wanted(parameters string) bool {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && q > 0
		}
	}
	return true
}
