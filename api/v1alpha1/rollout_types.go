package v1alpha1

import "k8s.io/apimachinery/pkg/util/intstr"

// HotStrategy says how hot changes spread.
//
// +kubebuilder:validation:Enum=AllAtOnce;Canary
type HotStrategy string

// Values of HotStrategy.
const (
	// HotAllAtOnce gives them to all pods at the same time.
	HotAllAtOnce HotStrategy = "AllAtOnce"
	// HotCanary goes by steps.
	HotCanary HotStrategy = "Canary"
)

// RestartStrategy says how changes that need new pods spread.
//
// +kubebuilder:validation:Enum=Canary;BlueGreen
type RestartStrategy string

// Values of RestartStrategy.
const (
	// RestartCanary goes by steps.
	RestartCanary RestartStrategy = "Canary"
	// RestartBlueGreen starts all new pods, then moves all clients.
	RestartBlueGreen RestartStrategy = "BlueGreen"
)

// InconclusivePolicy says what becomes of a step that showed too little.
//
// +kubebuilder:validation:Enum=Promote;Hold;Rollback
type InconclusivePolicy string

// Values of InconclusivePolicy.
const (
	// InconclusivePromote goes on to the next step.
	InconclusivePromote InconclusivePolicy = "Promote"
	// InconclusiveHold waits for a person.
	InconclusiveHold InconclusivePolicy = "Hold"
	// InconclusiveRollback takes the revision back.
	InconclusiveRollback InconclusivePolicy = "Rollback"
)

// RolloutStep is one step of a canary.
type RolloutStep struct {
	// percent of the pods that run the new revision in this step, rounded up to
	// whole pods; 1 to 100.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +required
	Percent int32 `json:"percent,omitempty"`

	// hold is how long the step lasts from when its pods run the revision; of
	// no effect in the last step, after which spec.rollback.guardPeriod begins.
	// Default 30s; 0s to 24h.
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="must be between 0s and 24h"
	// +optional
	Hold Duration `json:"hold,omitempty"`
}

// Rollout says how a change spreads and how it is judged while it is new. A
// change is tried only where there is a revision that proved healthy, to
// compare it with and to go back to: before that, pods get it all at once.
type Rollout struct {
	// hot AllAtOnce (default) gives hot changes to all pods at the same time,
	// with a way back in milliseconds; Canary goes by steps. One pod alone
	// always gets them at once. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=AllAtOnce
	// +optional
	Hot HotStrategy `json:"hot,omitempty"`

	// restart Canary (default) makes new pods by steps, and lets as many old
	// ones stand by as there are new ones ready; BlueGreen makes all new pods
	// first. With one pod both are the same. Effect: at once.
	// +streamgateway:class=outside
	// +kubebuilder:default=Canary
	// +optional
	Restart RestartStrategy `json:"restart,omitempty"`

	// steps of a canary, at most 10, in rising percent; the last one is 100.
	// Default 25, 50 and 100, each held for 30s. Effect: at once, also in the
	// middle of a rollout; no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default={{percent: 25}, {percent: 50}, {percent: 100}}
	// +listType=map
	// +listMapKey=percent
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Steps []RolloutStep `json:"steps,omitempty"`

	// progressDeadline is how long a revision may make no progress, with pods
	// that do not become ready or do not take its config, before it fails. Pods
	// on a node that is lost are waited for. Default 5m; 30s to 2h. Effect: at
	// once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('30s') && duration(self) <= duration('2h')",message="must be between 30s and 2h"
	// +optional
	ProgressDeadline Duration `json:"progressDeadline,omitempty"`

	// analysis says what a new revision is judged by.
	// +kubebuilder:default={}
	// +optional
	Analysis *Analysis `json:"analysis,omitempty"`
}

// Analysis judges a new revision by the pods' own numbers. Pods that run it are
// judged apart from those that do not, over the same time. The clock is that of
// each pod, so no other machine's clock takes part.
type Analysis struct {
	// interval is the time between two looks at a revision that has no verdict
	// yet. Default 1s; 250ms to 1m. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default="1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('250ms') && duration(self) <= duration('1m')",message="must be between 250ms and 1m"
	// +optional
	Interval Duration `json:"interval,omitempty"`

	// window is how much time the numbers are taken over, also those in status.
	// A pod's window begins anew when it gets another revision. Default 10s; 1s
	// to 10m, and no shorter than interval. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('10m')",message="must be between 1s and 10m"
	// +optional
	Window Duration `json:"window,omitempty"`

	// consecutiveBreaches is how many looks in a row have to find the same
	// threshold crossed before the revision fails. Default 2; 1 to 60. Effect:
	// at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	// +optional
	ConsecutiveBreaches int32 `json:"consecutiveBreaches,omitempty"`

	// minEvents is how many events must have been offered to clients within
	// window before percentages and latencies count: a quiet gateway is not
	// judged by them. Default 100; 0 to 1000000. Effect: at once, no pod is
	// touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MinEvents *int32 `json:"minEvents,omitempty"`

	// onInconclusive says what happens at the end of a step with too few events
	// to judge by, or one in which pods of the old revision cross the same
	// threshold: Promote (default) goes on, Hold waits for the annotation
	// streamgateway.io/retry-revision, Rollback takes the revision back. Effect:
	// at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=Promote
	// +optional
	OnInconclusive InconclusivePolicy `json:"onInconclusive,omitempty"`

	// thresholds are what the condition Healthy and the verdict on a new
	// revision go by.
	// +kubebuilder:default={}
	// +optional
	Thresholds *Thresholds `json:"thresholds,omitempty"`
}

// Thresholds bound the pods' own numbers, and what pages report.
type Thresholds struct {
	// maxErrorPercent bounds failed deliveries and publishes, in percent of
	// attempts, with at most two decimals. Default 1; 0 to 100. Effect: at once,
	// no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9]{1,3}(\.[0-9]{1,2})?$`
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 100.0",message="must be between 0 and 100"
	// +optional
	MaxErrorPercent *intstr.IntOrString `json:"maxErrorPercent,omitempty"`

	// maxDropPercent bounds events skipped by the slow-consumer policy, in
	// percent of those offered, with at most two decimals. Default 1; 0 to 100.
	// Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9]{1,3}(\.[0-9]{1,2})?$`
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 100.0",message="must be between 0 and 100"
	// +optional
	MaxDropPercent *intstr.IntOrString `json:"maxDropPercent,omitempty"`

	// maxP99Latency bounds the 99th percentile of the delivery latency: from
	// the event's arrival in the pod's log to its last byte handed to the
	// socket. Default 1s; 1ms to 1m. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default="1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('1m')",message="must be between 1ms and 1m"
	// +optional
	MaxP99Latency Duration `json:"maxP99Latency,omitempty"`

	// maxQueuePercent bounds the mean lag of clients, in percent of the queue
	// limits. Default 90; 1 to 100. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=90
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	MaxQueuePercent int32 `json:"maxQueuePercent,omitempty"`

	// maxReconnectsPerMinutePercent bounds streams that pods ended or lost
	// unasked in a minute, in percent of the open ones. Default 20; 1 to 1000.
	// Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxReconnectsPerMinutePercent int32 `json:"maxReconnectsPerMinutePercent,omitempty"`

	// maxBrowserP95 bounds the latency from the log to a page's handler that 95
	// of 100 pages report for 95 of 100 of their events, once 20 pages have
	// reported within a minute. Pages are not under your control: set it where
	// readers are trusted. Absent: not judged; 1ms to 5m. Effect: at once, no
	// pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('5m')",message="must be between 1ms and 5m"
	// +optional
	MaxBrowserP95 Duration `json:"maxBrowserP95,omitempty"`
}

// RollbackMode says who takes a bad revision back.
//
// +kubebuilder:validation:Enum=Automatic;Manual
type RollbackMode string

// Values of RollbackMode.
const (
	// RollbackAutomatic takes a revision back as soon as it has failed.
	RollbackAutomatic RollbackMode = "Automatic"
	// RollbackManual says that it is bad, and moves nothing.
	RollbackManual RollbackMode = "Manual"
)

// Rollback says when a change that turns out bad is taken back. The spec is
// never rewritten: what runs goes back to the newest revision that proved
// healthy, and status says so.
type Rollback struct {
	// mode Automatic (default) takes a failed revision back; Manual stops at
	// saying that it is bad. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=Automatic
	// +optional
	Mode RollbackMode `json:"mode,omitempty"`

	// guardPeriod is how long a revision that every pod runs is still judged
	// before it counts as healthy, and becomes what is gone back to. Default
	// 5m; 0s to 24h. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="must be between 0s and 24h"
	// +optional
	GuardPeriod Duration `json:"guardPeriod,omitempty"`

	// warmPeriod is how long the pods of before stand by, without clients, after
	// a change that made new pods: until then such a change is taken back
	// without starting any. Default 2m; 0s to 1h, and no longer than
	// guardPeriod. Effect: at once.
	// +streamgateway:class=outside
	// +kubebuilder:default="2m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="must be between 0s and 1h"
	// +optional
	WarmPeriod Duration `json:"warmPeriod,omitempty"`

	// thresholds are what a revision is judged by in the guard period, and what
	// the condition Healthy goes by from then on; what is not set is not judged.
	// Absent: those of rollout.analysis.
	// +optional
	Thresholds *GuardThresholds `json:"thresholds,omitempty"` //nolint:kubeapilinter // a pointer tells absent, which is rollout.analysis, from empty, which is refused

	// historyLimit is how many revisions are kept as ControllerRevisions. The
	// running and the stable one are kept in any case. Default 10; 2 to 50.
	// Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=50
	// +optional
	HistoryLimit int32 `json:"historyLimit,omitempty"`
}

// GuardThresholds bound the pods' own numbers, and what pages report, once
// every pod runs a revision.
//
// +kubebuilder:validation:MinProperties=1
type GuardThresholds struct {
	// maxErrorPercent bounds failed deliveries and publishes, in percent of
	// attempts, with at most two decimals. Absent: not judged; 0 to 100. Effect:
	// at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9]{1,3}(\.[0-9]{1,2})?$`
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 100.0",message="must be between 0 and 100"
	// +optional
	MaxErrorPercent *intstr.IntOrString `json:"maxErrorPercent,omitempty"`

	// maxDropPercent bounds events skipped by the slow-consumer policy, in
	// percent of those offered, with at most two decimals. Absent: not judged; 0
	// to 100. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9]{1,3}(\.[0-9]{1,2})?$`
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 100.0",message="must be between 0 and 100"
	// +optional
	MaxDropPercent *intstr.IntOrString `json:"maxDropPercent,omitempty"`

	// maxP99Latency bounds the 99th percentile of the delivery latency. Absent:
	// not judged; 1ms to 1m. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('1m')",message="must be between 1ms and 1m"
	// +optional
	MaxP99Latency Duration `json:"maxP99Latency,omitempty"`

	// maxQueuePercent bounds the mean lag of clients, in percent of the queue
	// limits. Absent: not judged; 1 to 100. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	MaxQueuePercent int32 `json:"maxQueuePercent,omitempty"`

	// maxReconnectsPerMinutePercent bounds streams that pods ended or lost
	// unasked in a minute, in percent of the open ones. Absent: not judged; 1 to
	// 1000. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxReconnectsPerMinutePercent int32 `json:"maxReconnectsPerMinutePercent,omitempty"`

	// maxBrowserP95 bounds what pages report, as in rollout.analysis. Absent: not
	// judged; 1ms to 5m. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('5m')",message="must be between 1ms and 5m"
	// +optional
	MaxBrowserP95 Duration `json:"maxBrowserP95,omitempty"`
}
