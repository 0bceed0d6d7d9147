package v1alpha1

// Drain says how the clients of a pod that ends, or that stands by during a
// rollout, are moved to other pods. The pod is not ready at once and serves on;
// after preStopDelay its clients are asked to move, one after the other over
// reconnectSpread; who is still there after timeout is closed.
type Drain struct {
	// timeout is the longest drain of a pod, from the first client that is
	// asked to move on. Default 30s; 0s to 1h. A pod's termination grace period
	// is timeout + preStopDelay + 10 s. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="must be between 0s and 1h"
	// +optional
	Timeout Duration `json:"timeout,omitempty"`

	// preStopDelay is how long a pod that is not ready any more goes on serving
	// before it asks the first client to move, so that load balancers have
	// stopped leading new ones to it. Default 5s; 0s to 1m. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1m')",message="must be between 0s and 1m"
	// +optional
	PreStopDelay Duration `json:"preStopDelay,omitempty"`

	// reconnectSpread is the time over which clients are asked to move, so that
	// they do not all reconnect at once. A pod with more than 1000 streams for
	// each second of it takes longer, up to timeout. Default 10s; 0s to 10m, and
	// at most timeout; 0s asks all at once. Effect: hot, for drains that begin
	// from then on.
	// +streamgateway:class=hot
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('10m')",message="must be between 0s and 10m"
	// +optional
	ReconnectSpread Duration `json:"reconnectSpread,omitempty"`
}
