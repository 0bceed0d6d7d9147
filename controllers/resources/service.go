package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// Service is where clients connect. It selects ready pods of every template:
// pods that drain fail their readiness, so traffic moves without relabelling.
// The admin port is never on it.
func Service(sg *v1alpha1.StreamGateway) *corev1ac.ServiceApplyConfiguration {
	s := sg.Spec.Listener.Service
	port := corev1ac.ServicePort().
		WithName("http"). // meshes and load balancers go by name or protocol
		WithProtocol(corev1.ProtocolTCP).
		WithPort(s.Port).
		WithTargetPort(intstr.FromString(ClientPortName))
	if sg.Spec.Listener.TLS != nil {
		port.WithName("https").WithAppProtocol("https")
	}
	if s.NodePort != 0 {
		port.WithNodePort(s.NodePort)
	}
	spec := corev1ac.ServiceSpec().
		WithType(corev1.ServiceType(s.Type)).
		WithSelector(Selector(sg.Name)).
		WithPorts(port) // takes a copy
	if s.Type != v1alpha1.ServiceClusterIP {
		spec.WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicy(s.ExternalTrafficPolicy))
	}
	if s.LoadBalancerClass != "" {
		spec.WithLoadBalancerClass(s.LoadBalancerClass)
	}
	return corev1ac.Service(sg.Name, sg.Namespace).
		WithLabels(labels(sg.Name)).
		WithAnnotations(s.Annotations).
		WithOwnerReferences(owner(sg)).
		WithSpec(spec)
}
