package jetstream

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/brokertest"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
)

func TestOneServerPassesTheSuite(t *testing.T) {
	s := natstest.Start(t, 1)
	var n atomic.Int64
	brokertest.Run(t, func(t *testing.T) broker.Log { return openOf(t, s, fmt.Sprint("sg.suite.", n.Add(1))) })
}

func TestThreeServersPassTheSuite(t *testing.T) {
	s := natstest.Start(t, 3)
	var n atomic.Int64
	brokertest.Run(t, func(t *testing.T) broker.Log { return openOf(t, s, fmt.Sprint("sg.suite.", n.Add(1))) })
}
