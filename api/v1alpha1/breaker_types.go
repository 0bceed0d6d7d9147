package v1alpha1

// CircuitBreakerMode says whether failures of the log are counted.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type CircuitBreakerMode string

// Values of CircuitBreakerMode.
const (
	// CircuitBreakerEnabled leaves a log that fails alone for a while.
	CircuitBreakerEnabled CircuitBreakerMode = "Enabled"
	// CircuitBreakerDisabled asks the log for every publish.
	CircuitBreakerDisabled CircuitBreakerMode = "Disabled"
)

// CircuitBreaker says when a log that fails is left alone. It opens after
// failureThreshold failures in a row, and when more than half of at least 20
// publishes within 10 seconds failed.
type CircuitBreaker struct {
	// mode Enabled (default) refuses publishes while the log fails; Disabled
	// lets each of them find out. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Enabled
	// +optional
	Mode CircuitBreakerMode `json:"mode,omitempty"`

	// failureThreshold is how many publishes in a row must fail to open the
	// breaker. Default 5; 1 to 1000. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	FailureThreshold int32 `json:"failureThreshold,omitempty"`

	// openDuration is how long publishes are refused before the log is tried
	// again, spread by 20 % to either side. It doubles, up to 30s, while the
	// tries fail. Default 5s; 100ms to 5m. Effect: hot, for the next time.
	// +streamgateway:class=hot
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('5m')",message="must be between 100ms and 5m"
	// +optional
	OpenDuration Duration `json:"openDuration,omitempty"`

	// halfOpenProbes is how many tries must succeed to close the breaker; no
	// more than these reach the log before. Default 3; 1 to 100. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	HalfOpenProbes int32 `json:"halfOpenProbes,omitempty"`
}
