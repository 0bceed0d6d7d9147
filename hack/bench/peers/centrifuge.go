package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
)

const historyTTL = 5 * time.Minute

// newCentrifuge is a node with the library's in-memory engine. Subscriptions
// are those the client names in its connect command, with recovery on, so that
// a client can come back to its position.
func newCentrifuge(window time.Duration) (http.Handler, error) {
	node, err := centrifuge.New(centrifuge.Config{
		LogLevel:           centrifuge.LogLevelError,
		LogHandler:         func(e centrifuge.LogEntry) { fmt.Println(e.Message, e.Fields) },
		ClientChannelLimit: 1000,
		ClientQueueMaxSize: 16 << 20,
		HistoryMetaTTL:     10 * historyTTL,
	})
	if err != nil {
		return nil, fmt.Errorf("making a node: %w", err)
	}
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		var asked struct {
			Channels []string `json:"channels"`
		}
		if err := json.Unmarshal(e.Data, &asked); err != nil {
			return centrifuge.ConnectReply{}, centrifuge.ErrorBadRequest
		}
		subscriptions := map[string]centrifuge.SubscribeOptions{}
		for _, c := range asked.Channels {
			subscriptions[c] = centrifuge.SubscribeOptions{EnableRecovery: true}
		}
		return centrifuge.ConnectReply{
			Credentials: &centrifuge.Credentials{}, Subscriptions: subscriptions, WriteDelay: window,
		}, nil
	})
	node.OnConnect(func(*centrifuge.Client) {})
	if err := node.Run(); err != nil {
		return nil, fmt.Errorf("starting the node: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /stream", centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{}))
	mux.HandleFunc("POST /publish", publishing(func(channel, data string) error {
		_, err := node.Publish(channel, []byte(data), centrifuge.WithHistory(replayEvents, historyTTL))
		return err
	}))
	return mux, nil
}
