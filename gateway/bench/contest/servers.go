//go:build linux

package contest

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// All are the contestants: first the floor, then this gateway, then its peers.
func All() []*Server {
	return []*Server{floorServer("floor", 0), floorServer("floor-batched", 50*time.Millisecond), gateway(nil), textbook(), goSSE(), centrifuge(), nchan()}
}

// floorServer is one with a window of its own, whatever the scenario says: every
// scenario is compared with bare writes, one for each event, and some with
// batched ones besides.
func floorServer(name string, window time.Duration) *Server {
	s := &Server{
		Name: name, Floor: true, Batches: window > 0, Replays: true,
		command: func(t Tools, _ Setup, p place) ([]string, error) {
			return []string{t.Bench, "floor", "--listen", p.server.String(), "--window", window.String()}, nil
		},
		stream: func(channels []string, since string) (string, string) {
			target := "/" + strings.Join(channels, ",")
			if since != "" {
				target += "?since=" + since
			}
			return target, ""
		},
		position: idLine,
		version:  func(Tools) string { return "raw write(2), this program" },
	}
	s.target.Path = func(channel string) string { return "/" + channel }
	s.target.Header = plainHeader
	s.target.Many = func(dst []byte, channels []string, data [][]byte) (string, string, []byte) {
		return "/" + channels[0], jsonHeader, append(dst, bytes.Join(data, []byte("\n"))...)
	}
	return s
}

// Ours is the name of this gateway.
const Ours = "gateway"

const base = "/v2/realtime"

// gateway is this gateway, behind a guard if there is one.
func gateway(guard *Guard) *Server {
	s := &Server{
		Name: Ours, Batches: true, Replays: true,
		command: func(t Tools, s Setup, p place) ([]string, error) {
			path := filepath.Join(t.Dir, "hot.json")
			if err := writeHot(path, s, guard); err != nil {
				return nil, err
			}
			return []string{t.Gateway, "--config", path, "--listen", p.server.String(), "--admin", p.admin.String(), "--log-level", "warn"}, nil
		},
		stream: func(channels []string, since string) (string, string) {
			return base + "/stream?channels=" + strings.Join(channels, ","), lastEventID(since)
		},
		position: idLine,
		version: func(t Tools) string {
			out, _ := exec.Command(t.Gateway, "--version").Output() // "" says enough
			return strings.TrimSpace(string(out))
		},
	}
	s.target.Path = func(channel string) string { return base + "/channels/" + channel + "/events" }
	s.target.Header = plainHeader
	s.target.Many = func(dst []byte, channels []string, data [][]byte) (string, string, []byte) {
		for i := range data {
			dst = fmt.Appendf(dst, `{"channel":%q,"data":%s}`+"\n", channels[i], data[i])
		}
		return base + "/events", "Content-Type: application/x-ndjson\r\n", dst
	}
	return s
}

// writeHot writes a configuration for a gateway run alone: the defaults, open
// publishers, as many streams as the scenario has, and no bound on how fast one
// stream is written to: it is what is measured. A guard closes some of it.
func writeHot(path string, s Setup, guard *Guard) error {
	_, hot := config.Default()
	hot.Batching.Window = s.Window
	if s.Keep > 0 {
		hot.Replay.TTL = min(hot.Replay.TTL, s.Keep)
	}
	hot.Limits.Connect = config.Connect{PerSecond: s.Connections + 100, Burst: s.Connections + 100} // all at once
	hot.Connections.MaxPerPod = s.Connections + 100
	hot.Limits.Delivery = config.Delivery{}
	hot.Auth.Publishers.Mode = config.ModeAnonymous
	document := config.Document{Serial: 1, Stable: config.Revision{Name: "bench", Hot: hot}}
	if guard != nil {
		if err := guard.close(&document); err != nil {
			return err
		}
	}
	text, err := config.Encode(document)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the gateway's configuration: %w", err)
	}
	return nil
}

// PollRequest asks this gateway for what a channel has behind a cursor: at
// once, from its history, or by a long-poll that waits for an event up to so
// many seconds. Without a cursor it asks for the position to begin with.
func PollRequest(channel, cursor string, waitSeconds int) []byte {
	target := base + "/stream?channels=" + channel + "&wait=" + fmt.Sprint(waitSeconds)
	if cursor != "" && waitSeconds == 0 {
		target = base + "/channels/" + channel + "/events?limit=500"
	}
	if cursor != "" {
		target += "&cursor=" + cursor
	}
	return []byte("GET " + target + " HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n")
}

// Gateway is this gateway alone.
func Gateway() *Server { return gateway(nil) }

// peer is a server of hack/bench/peers: they share one way to publish.
func peer(name string) *Server {
	s := &Server{
		Name: name,
		command: func(t Tools, s Setup, p place) ([]string, error) {
			if t.Peers == "" {
				return nil, fmt.Errorf("%s: %w: hack/bench/peers is not built", name, ErrMissing)
			}
			return []string{t.Peers, name, "--listen", p.server.String(), "--window", s.Window.String()}, nil
		},
		stream: func(channels []string, since string) (string, string) {
			return "/stream?channels=" + strings.Join(channels, ","), lastEventID(since)
		},
		position: idLine,
		version: func(t Tools) string {
			if t.Peers == "" {
				return ""
			}
			out, _ := exec.Command(t.Peers, name, "--version").Output() // "" says enough
			return strings.TrimSpace(string(out))
		},
	}
	s.target.Path = func(channel string) string { return "/publish?channel=" + channel }
	s.target.Header = plainHeader
	return s
}

func textbook() *Server { return peer("textbook") }

func goSSE() *Server {
	s := peer("go-sse")
	s.Replays = true
	return s
}

func centrifuge() *Server {
	s := peer("centrifuge")
	s.Batches, s.Replays = true, true
	s.stream = func(channels []string, since string) (string, string) {
		var subs []string
		if epoch, offset, ok := strings.Cut(since, "/"); ok {
			subs = append(subs, fmt.Sprintf(`%q:{"recover":true,"epoch":%q,"offset":%s}`, channels[0], epoch, offset))
		}
		command := fmt.Sprintf(`{"id":1,"connect":{"data":{"channels":["%s"]},"subs":{%s}}}`, strings.Join(channels, `","`), strings.Join(subs, ","))
		return "/stream?cf_connect=" + url.QueryEscape(command), ""
	}
	s.position = centrifugePosition
	return s
}

// centrifugePosition keeps "epoch/offset": the epoch is in the answer to the
// connect command, offsets are in it and in every publication.
func centrifugePosition(line, before string) string {
	epoch, offset, _ := strings.Cut(before, "/")
	if _, after, ok := strings.Cut(line, `"epoch":"`); ok {
		epoch, _, _ = strings.Cut(after, `"`)
	}
	if at := strings.LastIndex(line, `"offset":`); at >= 0 {
		offset = line[at+len(`"offset":`):]
		offset = offset[:len(offset)-len(strings.TrimLeft(offset, "0123456789"))]
	}
	return epoch + "/" + offset
}
