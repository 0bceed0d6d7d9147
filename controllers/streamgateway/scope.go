package streamgateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// scope is all that one pass learns about one StreamGateway. Phases fill it,
// status is read off it.
type scope struct {
	sg     *v1alpha1.StreamGateway // as read from the cache; never changed
	memory *memory
	now    time.Time

	plan        resources.Plan // of what shall run: of desired, or of the stable revision in its place
	base        *side          // what runs beside it, and is gone back to; nil: nothing is on trial
	desired     string         // the revision that spec asks for
	revisions   []revision     // oldest first
	decision    rollout.Decision
	overtaken   []string            // revisions whose verdict Superseded is not stored yet
	breach      *rollout.Breach     // of pods that run the wanted revision, if any
	flagBreach  *rollout.Breach     // of one flag's pages alone, if any
	deployments []appsv1.Deployment // controlled by sg, oldest first
	pods        []corev1.Pod        // of these, by name; those that ended left out
	leaving     []corev1.Pod        // that end, of any Deployment that was there

	unready  bool            // the wanted revision waits for what it refers to, and is in no document
	document config.Document // as it stands in the ConfigMap; serial 0: none yet
	service  *corev1.Service // nil: none yet
	route    *route          // nil: none
	samples  []fleet.Sample  // of the pods that answered
	summary  fleet.Summary   // of them
	tooQuiet bool            // those that run the wanted revision deliver too little to be judged by
	common   bool            // those that run another one cross the same threshold
	problems []problem
	// rejection is why spec cannot be acted on; nil: it can.
	rejection *verdict
	err       error // of the phases; nil when all went through

	wait time.Duration // until the next look
}

// side is a revision that may run, with its spec.
type side struct {
	sg   *v1alpha1.StreamGateway
	plan resources.Plan
}

// problem is an object that could not be applied for a reason that status has
// a word for.
type problem struct{ reason, message string }

// memory is what is remembered of a StreamGateway between passes. All of it
// may be lost: a new leader loses a rate and an event or two, never a decision.
type memory struct {
	uid      types.UID
	children map[string]applied // by kind and name
	window   fleet.Window
	keySets  keySets
	push     push
	// reportTime is when a pod answered last.
	reportTime time.Time
	revisions  map[string]*appsv1.ControllerRevision // by name, as written last
	looks      rollout.Looks                         // at the wanted revision
	flagLooks  rollout.Looks                         // at its flags
	// pullFailure is how long the wanted pods' image could not be pulled.
	pullFailure pullFailure
	// breach counts the looks in a row that the same threshold was crossed.
	breach   string
	breaches int
	trouble  string // that was told of last
	// noWayBack is the revision, and what is wrong with it, that was told of last.
	noWayBack string
	// expiring is the end of the certificate that was told of last.
	expiring time.Time
	retreat  retreat
	drains   drains
	monitor  guest
	route    guest
	pin      *string // the pinned revision that was told of; nil: not known
	failures int     // passes in a row
	// keysTried is when the Secret that pods share was made last, or found to be
	// there; zero: not yet.
	keysTried time.Time

	status     *v1alpha1.StreamGatewayStatus // as written last
	statusRV   string                        // of that write
	statusTime time.Time                     // of that write
}

// push is the newest document on its way to the pods.
type push struct {
	serial int64
	start  time.Time
	acked  bool // by all pods
	fresh  bool // not asked for yet
}

// memories are the memories of all StreamGateways.
type memories struct {
	mu    sync.Mutex
	byKey map[types.NamespacedName]*memory
}

// of is the memory of a StreamGateway; a new one under an old name has none.
// A memory itself needs no lock: a StreamGateway is looked at by one goroutine
// at a time.
func (m *memories) of(sg *v1alpha1.StreamGateway) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := client.ObjectKeyFromObject(sg)
	if known := m.byKey[key]; known != nil && known.uid == sg.UID {
		return known
	}
	if m.byKey == nil {
		m.byKey = map[types.NamespacedName]*memory{}
	}
	fresh := &memory{uid: sg.UID, children: map[string]applied{}, revisions: map[string]*appsv1.ControllerRevision{}}
	m.byKey[key] = fresh
	return fresh
}

func (m *memories) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byKey, key)
}

func newScope(sg *v1alpha1.StreamGateway, m *memory) *scope {
	return &scope{sg: sg, memory: m, now: time.Now(), wait: steadyInterval}
}

// lookAgain asks for a next look within d.
func (s *scope) lookAgain(d time.Duration) { s.wait = min(s.wait, d) }

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=get;list;watch

// gather reads from the cache what belongs to the StreamGateway and works its
// spec out.
func (r *Reconciler) gather(ctx context.Context, s *scope) error {
	mine := []client.ListOption{client.InNamespace(s.sg.Namespace), client.MatchingLabels(resources.Selector(s.sg.Name))}
	var deployments appsv1.DeploymentList
	if err := r.List(ctx, &deployments, mine...); err != nil {
		return fmt.Errorf("listing Deployments: %w", err)
	}
	s.deployments = slices.DeleteFunc(deployments.Items, func(d appsv1.Deployment) bool {
		return !metav1.IsControlledBy(&d, s.sg) || !d.DeletionTimestamp.IsZero()
	})
	slices.SortFunc(s.deployments, func(a, b appsv1.Deployment) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	replicaSets := metav1.PartialObjectMetadataList{}
	replicaSets.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSetList"))
	if err := r.List(ctx, &replicaSets, mine...); err != nil {
		return fmt.Errorf("listing ReplicaSets: %w", err)
	}
	var pods corev1.PodList
	if err := r.List(ctx, &pods, mine...); err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	s.pods = ownPods(slices.Clone(pods.Items), replicaSets.Items, s.deployments)
	s.leaving = s.memory.drains.leaving(pods.Items, s.pods)
	var err error
	if s.plan, err = s.plans(r.Image); err != nil {
		return fmt.Errorf("reading spec: %w", err)
	}
	s.desired = s.plan.Revision
	if err := r.readRevisions(ctx, s); err != nil {
		return err
	}
	return s.pin()
}

// ownPods are the pods whose chain of owners leads to one of the Deployments:
// anybody can put our labels on a pod, and what such a pod reports must not
// count.
func ownPods(pods []corev1.Pod, replicaSets []metav1.PartialObjectMetadata, deployments []appsv1.Deployment) []corev1.Pod {
	trusted := map[types.UID]bool{}
	for i := range deployments {
		trusted[deployments[i].UID] = true
	}
	for i := range replicaSets {
		if o := metav1.GetControllerOf(&replicaSets[i]); o != nil && trusted[o.UID] {
			trusted[replicaSets[i].UID] = true
		}
	}
	own := slices.DeleteFunc(pods, func(p corev1.Pod) bool {
		o := metav1.GetControllerOf(&p)
		return o == nil || !trusted[o.UID] || ended(&p)
	})
	slices.SortFunc(own, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return own
}

// ended tells whether a pod has ended, and only its object is left.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
}

// plans works the spec out. A spec without an image keeps the one that its
// pods were made with, and every spec the form they were made in, for as long as
// that gives the template they have: an upgrade of the operator, which changes
// both, restarts nothing. A change that makes new pods anyway gives them those
// of today.
func (s *scope) plans(builtInImage string) (resources.Plan, error) {
	for i := len(s.deployments) - 1; i >= 0; i-- {
		d := &s.deployments[i]
		image := d.Annotations[resources.AnnotationBuiltInImage]
		if image == "" {
			image = builtInImage
		}
		for version := resources.RenderVersion; version > 0; version-- {
			plan, err := resources.NewPlanAs(s.sg, image, version)
			if err != nil {
				return plan, err
			}
			if d.Name == resources.DeploymentName(s.sg.Name, plan.TemplateHash) {
				return plan, nil
			}
		}
	}
	return resources.NewPlan(s.sg, builtInImage)
}

// deployment is the live Deployment of the wanted template, nil if none.
func (s *scope) deployment() *appsv1.Deployment {
	for i := range s.deployments {
		if s.deployments[i].Name == resources.DeploymentName(s.sg.Name, s.plan.TemplateHash) {
			return &s.deployments[i]
		}
	}
	return nil
}

func (s *scope) replicas() int32 { return *s.sg.Spec.Gateway.Replicas }
