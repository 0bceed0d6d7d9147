// Package v1alpha1 is the custom resource StreamGateway: its shape, the
// documentation that `kubectl explain` shows, its defaults and bounds, and the
// names of its conditions and their reasons.
//
// It holds no behaviour and imports nothing of this project, since others
// generate clients from it. The operator (controllers/) reads it; the schema
// generated from it is what the API server enforces.
//
// Each leaf of the spec carries a marker +streamgateway:class that says what a
// change of it does: hot (running pods take it over, no connection is
// dropped), restart (new pods) or outside (applied at once by the operator, in
// no revision).
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=streamgateway.io
package v1alpha1
