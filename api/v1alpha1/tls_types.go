package v1alpha1

// TLSVersion is a version of TLS.
//
// +kubebuilder:validation:Enum=TLS12;TLS13
type TLSVersion string

// Values of TLSVersion.
const (
	// TLS12 is TLS 1.2.
	TLS12 TLSVersion = "TLS12"
	// TLS13 is TLS 1.3.
	TLS13 TLSVersion = "TLS13"
)

// TLS is how clients are answered with TLS.
type TLS struct {
	// secretName names the Secret, of type kubernetes.io/tls and in this
	// namespace, with certificate and key. Pods mount it, and take over what it
	// holds without a restart and without dropping a stream, within a minute or
	// two of a change; the operator cannot read it. While it is missing or cannot
	// be used, new pods wait, and the condition ResolvedRefs says why. Required;
	// 1 to 253 characters. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	// +required
	SecretName string `json:"secretName,omitempty"`

	// minVersion is the oldest TLS that clients may speak: TLS12 (default) or
	// TLS13. Streams that are open stay open. Effect: hot, for new connections.
	// +streamgateway:class=hot
	// +kubebuilder:default=TLS12
	// +optional
	MinVersion TLSVersion `json:"minVersion,omitempty"`
}
