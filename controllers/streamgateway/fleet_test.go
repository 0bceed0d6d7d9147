package streamgateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
	configwatch "github.com/streamgateway/streamgateway/gateway/cluster"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// simulated is a pod as far as the operator sees it: it watches its ConfigMap
// through the API server, takes or refuses documents, and answers for them on
// its admin port, with the rooms that a gateway does this with. It serves
// nobody.
type simulated struct {
	pod, template string
	start         time.Time

	mu      sync.Mutex
	now     report.Report
	hot     config.Hot // of the document that runs
	changed chan struct{}
	ran     map[int64]time.Time // serial → when it ran
	told    map[int64]time.Time // serial → when the operator was answered

	numbers func(*report.Report) // adds what it has counted; nil: nothing
}

// counts lets a simulated pod report numbers from now on.
func (s *simulated) counts(numbers func(*report.Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbers = numbers
}

// refusedFrom is from which batching.maxEvents on a simulated pod refuses a
// document.
const refusedFrom = 5000

func (w *world) simulate(p *corev1.Pod) *simulated {
	w.Helper()
	s := &simulated{
		pod: p.Name, template: p.Labels[resources.LabelTemplateHash], start: time.Now(),
		changed: make(chan struct{}), ran: map[int64]time.Time{}, told: map[int64]time.Time{},
	}
	c, err := configwatch.Connect(configwatch.Options{Namespace: w.namespace, Name: "prices", Config: server, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.Fatal(err)
	}
	ip := address()
	listener, err := net.Listen("tcp", net.JoinHostPort(ip, "9090"))
	if err != nil {
		w.Fatal(err)
	}
	admin := &http.Server{Handler: s}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = admin.Serve(listener) })
	running.Go(func() {
		c.Watch(ctx, resources.ConfigName("prices"), func(data map[string]string) { s.take([]byte(data[config.HotKey])) })
	})
	w.Cleanup(func() { stop(); _ = admin.Close(); running.Wait() })
	w.running(p, ip, true)
	return s
}

// take is what gateway/server does with a document.
func (s *simulated) take(text []byte) {
	d, unknown, err := config.Decode[config.Document](text)
	if err == nil {
		err = d.ValidateFor(s.pod, s.template)
	}
	r := d.For(s.pod, s.template)
	if err == nil && r.Hot.Batching.MaxEvents >= refusedFrom {
		err = errors.New("batching.maxEvents is more than this pod takes")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case d.Serial <= s.now.Serial:
		return
	case err != nil:
		s.now.Nack = &report.Nack{Serial: d.Serial, Revision: r.Name, Message: err.Error(), Time: time.Now()}
	default:
		s.now.Serial, s.now.Revision, s.now.Nack, s.now.UnknownFields, s.hot = d.Serial, r.Name, nil, unknown, r.Hot
	}
	s.ran[d.Serial] = time.Now()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *simulated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serial, _ := strconv.ParseInt(r.URL.Query().Get(report.WaitParameter), 10, 64)
	now, changed := s.report()
	for now.Serial < serial && (now.Nack == nil || now.Nack.Serial < serial) {
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
		now, changed = s.report()
	}
	_ = json.NewEncoder(w).Encode(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := max(now.Serial, serial); s.told[n].IsZero() {
		s.told[n] = time.Now()
	}
}

func (s *simulated) report() (report.Report, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.now
	r.Pod, r.TemplateHash, r.StartTime, r.Time, r.Ready = s.pod, s.template, s.start, time.Now(), true
	if s.numbers != nil {
		s.numbers(&r)
	}
	return r, s.changed
}

func (s *simulated) when(of map[int64]time.Time, serial int64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return of[serial]
}

// fleet makes a gateway with so many simulated pods, whose first revision is
// healthy.
func (w *world) fleet(n int32) []*simulated {
	w.Helper()
	w.sample(v1alpha1.StreamGatewaySpec{Rollback: &v1alpha1.Rollback{GuardPeriod: "0s", WarmPeriod: "0s"}})
	d := w.deployment(builtInImage)
	pods := make([]*simulated, n)
	var first *corev1.Pod
	for i := range pods {
		if first == nil {
			first = w.pod(d)
			pods[i] = w.simulate(first)
			continue
		}
		pods[i] = w.simulate(w.sibling(first, i))
	}
	w.progress(d, n, n, "NewReplicaSetAvailable")
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.verdict(w.gateway().Status.DesiredRevision, "Healthy")
	w.patch(`{"spec":{"rollback":{"guardPeriod":"5m"}}}`)
	return pods
}

// sibling makes another pod of a pod's ReplicaSet.
func (w *world) sibling(of *corev1.Pod, i int) *corev1.Pod {
	w.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", of.Name, i), Labels: of.Labels, OwnerReferences: of.OwnerReferences},
		Spec:       *of.Spec.DeepCopy(),
	}
	w.create(p)
	return p
}

// series are durations of one kind.
type series struct {
	name string
	all  []time.Duration
}

func (s *series) add(d time.Duration) { s.all = append(s.all, d) }

func (s *series) at(q float64) time.Duration {
	slices.Sort(s.all)
	return s.all[min(int(q*float64(len(s.all))), len(s.all)-1)].Round(time.Millisecond)
}

func (s *series) String() string {
	return fmt.Sprintf("%s: p50 %s, p99 %s, worst %s of %d", s.name, s.at(0.5), s.at(0.99), s.at(1), len(s.all))
}

// fleetRuns is how often each change is made; FLEET_RUNS says another number,
// for figures to write down.
func fleetRuns() int {
	if n, err := strconv.Atoi(os.Getenv("FLEET_RUNS")); err == nil {
		return n
	}
	return 3
}

const fleetPods = 50

func TestFiftyPodsRunAHotChangeAtOnce(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	pods := w.fleet(fleetPods)
	each := series{name: "ConfigMap write begun → a pod runs it"}
	push := series{name: "ConfigMap write begun → the last of 50 pods runs it"}
	apply := series{name: "kubectl apply begun → the operator has the last of 50 acks"}
	for i := range fleetRuns() {
		_, before := w.pushed()
		sent := time.Now()
		w.patch(fmt.Sprintf(`{"spec":{"batching":{"maxEvents":%d}}}`, 200+i))
		serial := before.Serial + 1
		last, acked := w.arrived(pods, serial, func(d time.Duration) { each.add(d) })
		push.add(last)
		apply.add(acked.Sub(sent))
	}
	t.Logf("%s\n%s\n%s", &each, &push, &apply)
	if worst := apply.at(1); worst > 5*time.Second {
		t.Errorf("the last ack took %s", worst)
	}
}

// arrived waits until all pods run, or have refused, a serial and the operator
// has their answers. It returns the time from the beginning of the write to the
// last pod, and when the last answer was given.
func (w *world) arrived(pods []*simulated, serial int64, each func(time.Duration)) (last time.Duration, acked time.Time) {
	w.Helper()
	w.eventually(func() error {
		for _, p := range pods {
			if p.when(p.ran, serial).IsZero() || p.when(p.told, serial).IsZero() {
				return fmt.Errorf("pod %s has not got serial %d, or was not asked", p.pod, serial)
			}
		}
		return nil
	})
	written := w.requests.written()
	for _, p := range pods {
		took := p.when(p.ran, serial).Sub(written)
		each(took)
		last = max(last, took)
		if at := p.when(p.told, serial); at.After(acked) {
			acked = at
		}
	}
	return last, acked
}

var tookMilliseconds = regexp.MustCompile(`on \d+ pods in (\d+) ms`)

func TestFiftyPodsLeaveABadChangeAtOnce(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.fleet(fleetPods)
	good := w.gateway().Status.DesiredRevision
	rollback := series{name: "detection → the last of 50 acks of what runs instead"}
	whole := series{name: "kubectl apply begun → RolledBack in status"}
	for i := range fleetRuns() {
		sent := time.Now()
		w.patch(fmt.Sprintf(`{"spec":{"batching":{"maxEvents":%d}}}`, refusedFrom+i))
		w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonConfigRejected)
		w.eventually(func() error {
			if r := w.gateway().Status.Rollback; r == nil || r.CompletedTime == nil {
				return errors.New("not completed")
			}
			return nil
		})
		whole.add(time.Since(sent))
		bad := w.gateway().Status.DesiredRevision
		rollback.add(w.rollbackTime(bad, good))
		w.verdict(bad, "Failed")
	}
	t.Logf("%s\n%s", &rollback, &whole)
	if worst := rollback.at(1); worst > 5*time.Second {
		t.Errorf("a rollback took %s", worst)
	}
	if d, err := get[appsv1.ControllerRevision](w, "prices-"+good); err != nil || d.Labels[resources.LabelVerdict] != "Healthy" {
		t.Errorf("what was gone back to: %v, %v", d, err)
	}
}

// rollbackTime is what the operator says that a rollback took.
func (w *world) rollbackTime(from, to string) (took time.Duration) {
	w.Helper()
	w.eventually(func() error {
		seen, err := w.events()
		if err != nil {
			return err
		}
		for _, e := range seen {
			m := tookMilliseconds.FindStringSubmatch(e.Note)
			if e.Reason == "RollbackCompleted" && strings.HasPrefix(e.Note, from+" -> "+to) && m != nil {
				ms, _ := strconv.Atoi(m[1])
				took = time.Duration(ms) * time.Millisecond
				return nil
			}
		}
		return fmt.Errorf("no event tells of the rollback of %s", from)
	})
	return took
}
