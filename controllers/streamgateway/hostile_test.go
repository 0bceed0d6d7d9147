package streamgateway_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// speaks answers every connection to a pod's admin port as told, for as long
// as the test lasts.
func (w *world) speaks(ip string, answer func(net.Conn)) {
	w.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(ip, "9090"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				answer(connection)
			}()
		}
	}()
}

func TestPodThatStallsOrLiesNeitherRollsBackNorHoldsUpTheOperator(t *testing.T) {
	answer := func(body string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	}
	for name, pod := range map[string]func(name string) func(net.Conn){
		"it never answers": func(string) func(net.Conn) { return func(c net.Conn) { _, _ = io.Copy(io.Discard, c) } },
		"it never ends its answer": func(string) func(net.Conn) {
			return func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
				for {
					if _, err := c.Write([]byte(strings.Repeat(" ", 64<<10))); err != nil {
						return
					}
				}
			}
		},
		"it speaks for another pod": func(string) func(net.Conn) { return answer(`{"pod":"another","serial":99,"revision":"x"}`) },
		"it refuses what nobody asked it": func(name string) func(net.Conn) {
			return answer(`{"pod":"` + name + `","nack":{"serial":1,"revision":"` + strings.Repeat("x", 99) + `"}}`)
		},
		"its numbers cannot be": func(name string) func(net.Conn) {
			return answer(`{"pod":"` + name + `","connections":{"active":-5},"queue":{"lagPercent":900}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.operate(builtInImage)
			_, n := w.stable()
			good := w.gateway().Status.DesiredRevision
			n.kill()
			w.speaks(n.ip, pod(n.pod.Name))
			w.patch(`{"spec":{"batching":{"window":"20ms"}}}`)
			c := w.condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonRollingOut)
			begun := time.Now()
			other := &v1alpha1.StreamGateway{ObjectMeta: metav1.ObjectMeta{Name: "quotes", Namespace: w.namespace}}
			w.create(other)
			w.within(10*time.Second, func() error {
				for _, d := range w.deployments() {
					if d.Labels[resources.LabelName] == "quotes" {
						return nil
					}
				}
				return errors.New("the other gateway has no Deployment yet")
			})
			t.Logf("%s; another gateway is served within %s", c.Message, time.Since(begun).Round(10*time.Millisecond))
			time.Sleep(3 * time.Second) // looks enough for any verdict
			s := w.gateway().Status
			if s.Rollback != nil || s.StableRevision != good || s.Rollout.State != "Pushing" || *s.Config.Acked != 0 {
				t.Errorf("%+v, %+v, stable %s, acked %d", s.Rollout, s.Rollback, s.StableRevision, *s.Config.Acked)
			}
		})
	}
}
