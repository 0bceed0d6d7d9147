package v1alpha1

// Duration is a length of time in Gateway API's narrow form (GEP-2257): one to
// four numbers of at most five digits, each with the unit h, m, s or ms, such
// as 50ms, 30s or 1h30m. No fractions, no days, no sign.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=28
// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(h|m|s|ms)){1,4}$`
type Duration string

// DecimalPercent is a percentage as a decimal number with at most two digits
// after the point, such as 0.02.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=6
// +kubebuilder:validation:Pattern=`^(100|[0-9]{1,2})(\.[0-9]{1,2})?$`
type DecimalPercent string

// Switch is on or off in words that YAML does not read as a boolean.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type Switch string

// Values of Switch.
const (
	// SwitchEnabled is on.
	SwitchEnabled Switch = "Enabled"
	// SwitchDisabled is off.
	SwitchDisabled Switch = "Disabled"
)
