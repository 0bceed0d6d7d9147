package jetstream

import (
	"testing"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestServersThatAreAwayOrRefuseALogAreToldApart(t *testing.T) {
	s := natstest.Start(t, 1)
	l := openOf(t, s, "sg.refused")
	if st := l.Stats(); st.Down != 0 || st.Refused || st.Full {
		t.Errorf("nothing is wrong, and the log says %+v", st)
	}
	s.Stop(0)
	natstest.Eventually(t, "the log is down", func() bool { st := l.Stats(); return st.Down > 0 && !st.Refused })
	s.Options[0].Authorization = "s3cret"
	s.Run(0)
	natstest.Eventually(t, "the log is refused", func() bool { st := l.Stats(); return st.Down > 0 && st.Refused })
	if _, err := Open(t.Context(), optionsOf(s, "sg.refused")); !Refused(err) {
		t.Errorf("another one is told %v", err)
	}
	s.Stop(0)
	s.Options[0].Authorization = ""
	s.Run(0)
	natstest.Eventually(t, "the log is back", func() bool { st := l.Stats(); return st.Down == 0 && !st.Refused })
}

func TestServersWithoutRoomAreTold(t *testing.T) {
	s := natstest.Start(t, 1)
	l := openOf(t, s, "sg.full")
	s.Stop(0)
	s.Options[0].JetStreamMaxStore = 64 << 10
	s.Run(0)
	s.Await()
	data := make([]byte, 16<<10)
	natstest.Eventually(t, "the log is full", func() bool {
		_, err := l.Append(t.Context(), []wire.Event{{Channel: "a", Data: data}}, broker.AppendOptions{})
		return err != nil && l.Stats().Full
	})
	s.Stop(0)
	s.Options[0].JetStreamMaxStore = 1 << 30
	s.Run(0)
	natstest.Eventually(t, "there is room again", func() bool {
		_, err := l.Append(t.Context(), []wire.Event{{Channel: "a", Data: data}}, broker.AppendOptions{})
		return err == nil && !l.Stats().Full
	})
}
