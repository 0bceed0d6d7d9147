package jetstream

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/brokertest"
)

func TestOneServerPassesTheSuite(t *testing.T) {
	s := startServers(t, 1)
	var n atomic.Int64
	brokertest.Run(t, func(t *testing.T) broker.Log { return s.open(t, fmt.Sprint("sg.suite.", n.Add(1))) })
}

func TestThreeServersPassTheSuite(t *testing.T) {
	s := startServers(t, 3)
	var n atomic.Int64
	brokertest.Run(t, func(t *testing.T) broker.Log { return s.open(t, fmt.Sprint("sg.suite.", n.Add(1))) })
}
