package config

import (
	"fmt"
	"strings"
	"time"
)

// Limits of the written form: up to four pairs of up to five digits and a
// unit, as the custom resource takes it.
const (
	maxDurationPairs  = 4
	maxDurationDigits = 5
)

// ParseDuration reads the narrow form that the custom resource uses: "50ms",
// "1h30m", "0s". No sign, no fraction, no unit but h, m, s, ms.
func ParseDuration(text string) (time.Duration, error) {
	rest, sum := text, time.Duration(0)
	for range maxDurationPairs {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits > maxDurationDigits {
			break
		}
		var n time.Duration
		for _, c := range rest[:digits] {
			n = 10*n + time.Duration(c-'0')
		}
		unit, length := durationUnit(rest[digits:])
		if length == 0 {
			break
		}
		sum += n * unit
		rest = rest[digits+length:]
		if rest == "" {
			return sum, nil
		}
	}
	return 0, fmt.Errorf("%q is not a duration; write it like 50ms, 30s, 5m or 1h30m", clip(text))
}

func durationUnit(text string) (unit time.Duration, length int) {
	switch {
	case strings.HasPrefix(text, "ms"):
		return time.Millisecond, 2
	case strings.HasPrefix(text, "s"):
		return time.Second, 1
	case strings.HasPrefix(text, "m"):
		return time.Minute, 1
	case strings.HasPrefix(text, "h"):
		return time.Hour, 1
	}
	return 0, 0
}

// FormatDuration writes what ParseDuration reads, in the fewest pairs: "50ms",
// "1m30s", "0s". It fails for a duration that this form cannot hold.
func FormatDuration(d time.Duration) (string, error) {
	if d < 0 || d%time.Millisecond != 0 || d/time.Hour > 99999 {
		return "", fmt.Errorf("%s cannot be written in hours, minutes, seconds and whole milliseconds", d)
	}
	if d == 0 {
		return "0s", nil
	}
	var text strings.Builder
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := d / unit.length; n > 0 {
			fmt.Fprintf(&text, "%d%s", n, unit.name)
			d %= unit.length
		}
	}
	return text.String(), nil
}

func clip(text string) string {
	const most = 40 // bytes; a hostile file must not fill the log
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
