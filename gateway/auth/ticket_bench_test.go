package auth

import (
	"testing"
	"time"
)

// BenchmarkTicket opens what a page shows at each of its reconnects.
func BenchmarkTicket(b *testing.B) {
	tickets := ticketsWith(b, secretOf(1))
	text, err := tickets.Make(TicketQuery, Grant{Who: ann(), Sub: ann().Sub, Origin: shop, Expires: time.Now().Add(time.Hour), Mode: ModeJWT})
	if err != nil {
		b.Fatal(err)
	}
	r := page(TicketQuery, text, "Origin", shop)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := tickets.fromTicket(r, ModeJWT); err != nil {
			b.Fatal(err)
		}
	}
}
