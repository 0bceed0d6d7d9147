package resources

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// KeyBytes is the size of what Keys holds.
const KeyBytes = 32

// KeysName is the name of the Secret that all pods of a StreamGateway share.
func KeysName(gateway string) string { return gateway + "-keys" }

// Keys is the Secret from which pods make tickets, with KeyBytes random bytes.
// It is no apply configuration: the operator may create it, and neither read nor
// change it.
func Keys(sg *v1alpha1.StreamGateway, random []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: KeysName(sg.Name), Namespace: sg.Namespace, Labels: labels(sg.Name),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(sg, v1alpha1.GroupVersion.WithKind("StreamGateway"))},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{report.KeysFile: random},
	}
}

// sharesSecret tells whether the pods mount Keys. Those of before had a secret of
// their own each.
func (p *Plan) sharesSecret() bool { return p.RenderVersion >= 2 }
