package transport

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// parseNetworks reads networks in CIDR form.
func parseNetworks(list []string) []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		networks = append(networks, p.Masked())
	}
	return networks
}

// clientAddress is where a request comes from, as the doors have found out.
func clientAddress(r *http.Request) netip.Addr {
	if q, ok := r.Context().Value(requestKey{}).(*request); ok {
		return q.client
	}
	return addressOf(r, nil)
}

// addressTold says that clientAddress tells clients apart. Where no proxy is
// trusted, many clients may share the address of one that nobody spoke of.
func addressTold(r *http.Request) bool {
	q, ok := r.Context().Value(requestKey{}).(*request)
	return ok && q.told
}

// addressOf is where a request comes from: its peer, or, as long as that is
// a trusted proxy, who the proxy says it forwards for. X-Forwarded-For is read
// from its right end, where the nearest proxy writes; what a client wrote there
// itself stands to the left of it and is never reached. It is not valid when
// the listener has no addresses.
func addressOf(r *http.Request, proxies []netip.Prefix) netip.Addr {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	at := plainAddress(peer.Addr())
	if len(proxies) == 0 {
		return at
	}
	lines := r.Header["X-Forwarded-For"]
	for _, line := range slices.Backward(lines) {
		for line != "" {
			if !trusted(at, proxies) {
				return at
			}
			cut := strings.LastIndexByte(line, ',')
			next, ok := parseForwarded(line[cut+1:])
			if !ok {
				return at // whoever wrote this cannot be told from its proxy
			}
			at = next
			line = line[:max(cut, 0)]
		}
	}
	return at
}

func trusted(at netip.Addr, proxies []netip.Prefix) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(at) })
}

// parseForwarded reads an address as proxies write it, perhaps with a port.
func parseForwarded(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if at, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return plainAddress(at), true
	}
	at, err := netip.ParseAddrPort(text)
	return plainAddress(at.Addr()), err == nil
}

// plainAddress is the one form of an address, so that networks and counts know
// it again.
func plainAddress(at netip.Addr) netip.Addr { return at.Unmap().WithZone("") }
