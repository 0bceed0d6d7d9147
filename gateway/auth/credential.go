package auth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const maxTokenBytes = 16 << 10

// tokenOf finds the token that a request shows: in the header Authorization,
// else, where that is let in, in the parameter access_token. The first that is
// present decides: a bad one is never passed over for the next.
func tokenOf(r *http.Request, inQuery bool) (string, error) {
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		return bearer(values)
	}
	if inQuery {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if values, present := query["access_token"]; present || err != nil {
			if err != nil || len(values) != 1 || !plausible(values[0]) {
				return "", fmt.Errorf("%w: access_token is not one token", ErrUnauthenticated)
			}
			return values[0], nil
		}
	}
	return "", fmt.Errorf("%w: send Authorization: Bearer with a token", ErrUnauthenticated)
}

func bearer(values []string) (string, error) {
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || !plausible(token) {
		return "", fmt.Errorf("%w: the Authorization header is not one Bearer token", ErrUnauthenticated)
	}
	return token, nil
}

// plausible holds a token against the syntax of RFC 6750, so that garbage never
// reaches whoever judges it.
func plausible(token string) bool {
	token = strings.TrimRight(token, "=")
	if token == "" || len(token) > maxTokenBytes {
		return false
	}
	for _, c := range []byte(token) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}
