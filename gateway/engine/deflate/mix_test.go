package deflate

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// mix makes frames as three kinds of application send them: orders, prices and
// chat, one of them after another at random, about 255 bytes each.
type mix struct {
	rand  *rand.Rand
	words []string
	seq   int
	time  int64
}

func newMix(seed uint64) *mix {
	return &mix{rand: rand.New(rand.NewPCG(seed, seed)), words: strings.Fields(vocabulary), seq: 1041000, time: 1795478400123}
}

// batch gives the text of n frames.
func (m *mix) batch(n int) []byte {
	var text []byte
	for range n {
		text = m.append(text)
	}
	return text
}

func (m *mix) append(text []byte) []byte {
	m.seq += 1 + m.rand.IntN(4)
	m.time += m.rand.Int64N(20)
	channel, data := m.order()
	switch m.rand.IntN(3) {
	case 0:
		channel, data = m.price()
	case 1:
		channel, data = m.chat()
	}
	return fmt.Appendf(text, "id: k3f9x2.%d\nsg: %s %d\ndata: %s\n\n", m.seq, channel, m.time, data)
}

func (m *mix) order() (channel, data string) {
	r := m.rand
	return fmt.Sprintf("orders.%d", 10000+r.IntN(5000)), fmt.Sprintf(
		`{"orderId":"%s","status":"%s","customerId":%d,"total":{"amount":%d,"currency":"%s"},"items":[{"sku":"%s","qty":%d}],`+
			`"trackingRef":"%s","updatedAt":"2026-11-24T07:%02d:%02d.%03dZ"}`,
		m.uuid(), m.one("created paid packed shipped delivered cancelled"), 100000+r.IntN(900000), r.IntN(100000),
		m.one("EUR USD GBP"), m.hex(10), 1+r.IntN(9), m.hex(12), r.IntN(60), r.IntN(60), r.IntN(1000))
}

func (m *mix) price() (channel, data string) {
	r, symbol := m.rand, strings.ToUpper(m.word()[:4])
	p := 50 + r.Float64()*500
	return "prices." + symbol, fmt.Sprintf(
		`{"symbol":"%s","bid":%.4f,"ask":%.4f,"last":%.4f,"bidSize":%d,"askSize":%d,"volume":%d,"changePercent":%.3f,`+
			`"high":%.2f,"low":%.2f,"venue":"%s","ts":%d}`,
		symbol, p, p+r.Float64(), p-r.Float64(), r.IntN(10000), r.IntN(10000), r.IntN(10000000), r.Float64()*4-2,
		p*1.05, p*0.96, m.one("XETR XNAS XLON XPAR"), m.time-r.Int64N(3000))
}

func (m *mix) chat() (channel, data string) {
	text := make([]string, 8+m.rand.IntN(14))
	for i := range text {
		text[i] = m.word()
	}
	return fmt.Sprintf("room.%d", m.rand.IntN(400)), fmt.Sprintf(
		`{"messageId":"%s","user":"u%d","text":"%s"}`, m.uuid(), m.rand.IntN(30000), strings.Join(text, " "))
}

func (m *mix) one(list string) string {
	words := strings.Fields(list)
	return words[m.rand.IntN(len(words))]
}

func (m *mix) word() string { return m.words[m.rand.IntN(len(m.words))] }

func (m *mix) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[m.rand.IntN(16)]
	}
	return string(b)
}

func (m *mix) uuid() string {
	return m.hex(8) + "-" + m.hex(4) + "-4" + m.hex(3) + "-a" + m.hex(3) + "-" + m.hex(12)
}

const vocabulary = `about accept account across action active address after again agenda agree almost along already
although always amount another answer apparently approve around arrive attach available avoid backlog because become
before begin behind believe better between blocked bottom branch bring broken browser budget build button calendar
cancel cannot carefully change channel charge check choose client close coffee column come comment commit compare
complete condition confirm connect contract copy correct could couple course create customer daily dashboard database
deadline decide delay delete deliver demo deploy describe design detail difference discount discuss document double
download draft during early easy either email empty enough error especially estimate event every exactly example
except expect explain export extra failing fast feature feedback field figure file filter final find finish first
fixed follow forget forward friday friend front full function further general give going good great group guess half
happen happy hardly have header hello help here higher holiday hope hotfix hour however hundred idea immediately
important improve include incoming inside instead invoice issue item january keep kind know label large last later
latest launch layout leave length level limit line link list little local long look lost lunch maintain manager many
maybe mean meeting merge message middle might minute missing module monday money month morning mostly move much name
need network never next nice night nobody normal note nothing notice number offer office often once only open option
order other outage outside overview owner package page paid paper parcel part password patch payment people perhaps
person phone picture place plan please point policy possible prefer prepare pretty previous price print probably
problem process product project promise proper provide publish purchase push question quick quite random rather ready
really reason receive recent record reduce refund region release reload remember remind remove repeat reply report
request require reset resolve response rest restart result return review right rollback room round running safe same
sample save schedule screen search second section seems select send september server service session several shipping
short should show side simple since single site slow small solution some something sometimes soon sorry source special
staging standup start state status still stock stop store strange string stuck subject success such sunday support
sure surprise switch system table take talk team template test text thank their then there these thing think third
this those though thousand three through thursday ticket time title today together tomorrow tonight total touch track
traffic translate trouble true trying tuesday twice type under understand unless until update upload urgent usage
user usual value version very video view visit wait walk want warehouse warning watch wednesday week weekend well what
when where which while whole window wish within without wonder word work world worse would write wrong year yesterday`
