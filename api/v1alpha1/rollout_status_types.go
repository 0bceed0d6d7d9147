package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ChangeKind is what a revision changed.
//
// +kubebuilder:validation:Enum=Hot;Restart
type ChangeKind string

// Values of ChangeKind.
const (
	// ChangeHot reached running pods.
	ChangeHot ChangeKind = "Hot"
	// ChangeRestart made new pods.
	ChangeRestart ChangeKind = "Restart"
)

// Verdict is what became of a revision.
//
// +kubebuilder:validation:Enum=Pending;Healthy;Failed;Superseded
type Verdict string

// RevisionStatus is one revision and what became of it.
type RevisionStatus struct {
	// name of the revision; its ControllerRevision is <gateway>-<name>.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name,omitempty"`

	// number grows with each revision that spec asks for.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Number int64 `json:"number,omitempty"`

	// verdict is Pending until the guard period has passed, then Healthy;
	// Failed when it was taken back, Superseded when another one came first.
	// +optional
	Verdict Verdict `json:"verdict,omitempty"`

	// reason of the verdict, in one word.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Reason string `json:"reason,omitempty"`

	// message is the reason in a sentence.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`

	// change is Restart if it made new pods, else Hot.
	// +optional
	Change ChangeKind `json:"change,omitempty"`

	// image that its pods run.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`

	// creationTime is when spec asked for it first.
	// +optional
	CreationTime *metav1.Time `json:"creationTime,omitempty"`

	// verdictTime is when the verdict was found.
	// +optional
	VerdictTime *metav1.Time `json:"verdictTime,omitempty"`
}

// RolloutState is where a change stands.
//
// +kubebuilder:validation:Enum=Idle;Preparing;Pushing;Stepping;Holding;Promoting;Guarding;RollingBack;RolledBack
type RolloutState string

// RolloutStatus tells where the newest change stands.
type RolloutStatus struct {
	// state is Preparing while new pods start, Pushing until those that shall
	// have the config have it, Stepping while a share of the pods is judged,
	// Promoting on the way to all pods, Guarding for the guard period, then
	// Idle; RollingBack and RolledBack after a failure; Holding when only a
	// person can go on.
	// +optional
	State RolloutState `json:"state,omitempty"`

	// change is Restart if the change makes new pods, else Hot.
	// +optional
	Change ChangeKind `json:"change,omitempty"`

	// step is where the change stands, from 1 on, while it is on trial.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Step int32 `json:"step,omitempty"`

	// steps is how many there are.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Steps int32 `json:"steps,omitempty"`

	// percent of the pods that shall run the change in this step.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	Percent int32 `json:"percent,omitempty"`

	// startTime is when spec asked for it.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// nextStepTime is when the step will have been held for long enough.
	// +optional
	NextStepTime *metav1.Time `json:"nextStepTime,omitempty"`
}

// RollbackStatus tells of the last rollback. It is kept until a newer revision
// is healthy.
type RollbackStatus struct {
	// fromRevision is the one that failed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	FromRevision string `json:"fromRevision,omitempty"`

	// toRevision is the one that runs again.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	ToRevision string `json:"toRevision,omitempty"`

	// change is Restart if the failed revision had made new pods, else Hot.
	// +optional
	Change ChangeKind `json:"change,omitempty"`

	// reason in one word.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Reason string `json:"reason,omitempty"`

	// metric that crossed its threshold; absent for refusals and crashes.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Metric string `json:"metric,omitempty"`

	// observed is the metric's value then.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Observed string `json:"observed,omitempty"`

	// threshold is what it had to stay below.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Threshold string `json:"threshold,omitempty"`

	// detectedTime is when the revision was found to be bad.
	// +optional
	DetectedTime *metav1.Time `json:"detectedTime,omitempty"`

	// completedTime is when every ready pod ran the stable revision.
	// +optional
	CompletedTime *metav1.Time `json:"completedTime,omitempty"`
}
