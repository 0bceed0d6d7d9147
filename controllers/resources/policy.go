package resources

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// LabelScrape on a namespace, with the value allowed, lets its pods read the
// metrics of gateways, and of the operator.
const LabelScrape = v1alpha1.Group + "/scrape"

// NetworkPolicy is who may reach the pods, of any template: clients from
// everywhere, and the admin port, which asks nobody who they are, the operator
// and namespaces that are allowed to scrape. Ports go by name, since templates
// may differ in their numbers. The console listens on loopback and needs no
// rule.
func NetworkPolicy(sg *v1alpha1.StreamGateway, operatorNamespace string) *networkingv1ac.NetworkPolicyApplyConfiguration {
	named := func(name string) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
		return networkingv1ac.NetworkPolicyPort().WithProtocol("TCP").WithPort(intstr.FromString(name))
	}
	operator := networkingv1ac.NetworkPolicyPeer().
		WithNamespaceSelector(metav1ac.LabelSelector().WithMatchLabels(map[string]string{"kubernetes.io/metadata.name": operatorNamespace})).
		WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(map[string]string{
			"app.kubernetes.io/name": "streamgateway", "app.kubernetes.io/component": "operator",
		}))
	scrapers := networkingv1ac.NetworkPolicyPeer().
		WithNamespaceSelector(metav1ac.LabelSelector().WithMatchLabels(map[string]string{LabelScrape: "allowed"}))
	return networkingv1ac.NetworkPolicy(sg.Name, sg.Namespace).
		WithLabels(labels(sg.Name)).
		WithOwnerReferences(owner(sg)).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(Selector(sg.Name))).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(
				networkingv1ac.NetworkPolicyIngressRule().WithPorts(named(ClientPortName)),
				networkingv1ac.NetworkPolicyIngressRule().WithPorts(named(AdminPortName)).WithFrom(operator, scrapers)))
}
