package transport

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestAForwardedAddressIsBelievedOnlyOfATrustedProxy(t *testing.T) {
	proxies := []string{"10.0.0.0/8", "fd00::/8", "::ffff:192.168.0.0/112"}
	for name, c := range map[string]struct {
		peer    string
		forward []string
		want    string
	}{
		"no proxy":                           {"192.0.2.1:5", nil, "192.0.2.1"},
		"a spoofed header":                   {"192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1"},
		"a proxy":                            {"10.1.2.3:5", []string{"198.51.100.7"}, "198.51.100.7"},
		"a proxy without the header":         {"10.1.2.3:5", nil, "10.1.2.3"},
		"a client that writes itself":        {"10.1.2.3:5", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		"a client that writes a proxy":       {"10.1.2.3:5", []string{"203.0.113.9, 10.9.9.9, 198.51.100.7"}, "198.51.100.7"},
		"two proxies":                        {"10.1.2.3:5", []string{"198.51.100.7, 10.9.9.9"}, "198.51.100.7"},
		"two proxies that add lines":         {"10.1.2.3:5", []string{"203.0.113.9", "198.51.100.7", "10.9.9.9"}, "198.51.100.7"},
		"proxies all the way":                {"10.1.2.3:5", []string{"10.0.0.1, 10.9.9.9"}, "10.0.0.1"},
		"a word":                             {"10.1.2.3:5", []string{"198.51.100.7, unknown"}, "10.1.2.3"},
		"a hole":                             {"10.1.2.3:5", []string{"198.51.100.7,, 10.9.9.9"}, "10.9.9.9"},
		"an empty line":                      {"10.1.2.3:5", []string{"198.51.100.7", ""}, "198.51.100.7"},
		"an address with a port":             {"10.1.2.3:5", []string{"198.51.100.7:1234"}, "198.51.100.7"},
		"an IPv6 proxy and client":           {"[fd00::1]:5", []string{"[2001:db8::7]:99"}, "2001:db8::7"},
		"an IPv6 address in brackets":        {"[fd00::1]:5", []string{"[2001:db8::7]"}, "2001:db8::7"},
		"a mapped proxy":                     {"[::ffff:10.1.2.3]:5", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		"a network written in mapped form":   {"192.168.3.4:5", []string{"198.51.100.7"}, "198.51.100.7"},
		"a zone that would make many of one": {"10.1.2.3:5", []string{"fe80::1%eth0"}, "fe80::1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-For"] = c.forward
			if got := addressOf(r, parseNetworks(proxies)); got != netip.MustParseAddr(c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
			if got := addressOf(r, nil); got != netip.MustParseAddrPort(c.peer).Addr().Unmap() {
				t.Errorf("without trusted proxies %s", got)
			}
		})
	}
}

func TestAListenerWithoutAddressesHasClientsWithoutOne(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "@"
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	if got := addressOf(r, parseNetworks([]string{"10.0.0.0/8"})); got.IsValid() {
		t.Errorf("%s", got)
	}
}
