package v1alpha1

// FeatureName is the name of a flag.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9._-]*$`
type FeatureName string

// ReconcileMode says whether the operator acts.
//
// +kubebuilder:validation:Enum=Active;Paused
type ReconcileMode string

// Values of ReconcileMode.
const (
	// ReconcileActive keeps the cluster as spec says.
	ReconcileActive ReconcileMode = "Active"
	// ReconcilePaused observes and reports, and changes nothing.
	ReconcilePaused ReconcileMode = "Paused"
)

// Override is standing manual control: it belongs to no revision, and no
// rollback takes it back.
type Override struct {
	// disabledFeatures are flags that every pod has Disabled, whatever features
	// and any rollout say, from milliseconds after the change on. At most 32.
	// Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	DisabledFeatures []FeatureName `json:"disabledFeatures,omitempty"`

	// pinnedRevision is the revision that runs, whatever the rest of spec says,
	// and whatever became of it before: one of those that
	// `kubectl get controllerrevisions` shows, without the gateway's name. It is
	// neither judged nor taken back. 1 to 63 characters. Absent: what spec asks
	// for runs. Effect: at once; pods are restarted if the revision needs others.
	// +streamgateway:class=outside
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +optional
	PinnedRevision string `json:"pinnedRevision,omitempty"`

	// reconcile Paused has the operator observe and report, and change nothing:
	// no push, no rollout, no rollback, no repair of what somebody edits. Pods
	// serve on. Default Active. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=Active
	// +optional
	Reconcile ReconcileMode `json:"reconcile,omitempty"`
}
