package resources

import (
	"path"
	"slices"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// broker is the log of a spec; one that was stored before there was a choice
// says nothing of it.
func broker(sg *v1alpha1.StreamGateway) config.Broker {
	b := sg.Spec.Broker
	if b == nil {
		return config.Broker{Type: config.BrokerMemory}
	}
	out := config.Broker{Type: string(b.Type), SubjectPrefix: b.SubjectPrefix}
	if out.SubjectPrefix == "" && Shared(out) {
		out.SubjectPrefix = subjectPrefix(sg.Namespace, sg.Name)
	}
	if n := b.NATS; n != nil {
		out.NATS = config.NATS{URL: n.URL, Stream: n.Stream, CredentialsSecretRef: secretRef(n.CredentialsSecretRef), CASecretRef: secretRef(n.CASecretRef)}
	}
	return out
}

// subjectPrefix is what a spec means that names none.
func subjectPrefix(namespace, name string) string { return "sg." + namespace + "." + name }

func secretRef(ref *v1alpha1.BrokerSecret) config.SecretRef {
	if ref == nil {
		return config.SecretRef{}
	}
	return config.SecretRef{Name: ref.Name}
}

// Shared tells whether all pods of a gateway read one log. Else each pod has a
// log of its own, and there may be only one.
func Shared(b config.Broker) bool { return b.Type != config.BrokerMemory }

// SameLog tells whether pods of the one and of the other broker may serve beside
// each other: it takes other Secrets to come to the same events, or both are of
// the kind that is in the pod.
func SameLog(a, b config.Broker) bool {
	a.NATS.CredentialsSecretRef, a.NATS.CASecretRef = b.NATS.CredentialsSecretRef, b.NATS.CASecretRef
	return a == b
}

const (
	tlsVolume         = "tls"
	tlsPath           = "/etc/streamgateway-tls"
	natsPath          = "/etc/streamgateway-nats"
	credentialsVolume = "nats-credentials"
	caVolume          = "nats-ca"
)

// mount is a Secret that spec names: what it is called among the volumes, and
// where pods find it.
type mount struct{ secret, volume, path string }

func mounts(c *config.Cold) []mount {
	return slices.DeleteFunc([]mount{
		{c.Listener.TLS.SecretName, tlsVolume, tlsPath},
		{c.Broker.NATS.CredentialsSecretRef.Name, credentialsVolume, path.Join(natsPath, config.CredentialsFolder)},
		{c.Broker.NATS.CASecretRef.Name, caVolume, path.Join(natsPath, config.CAFolder)},
	}, func(m mount) bool { return m.secret == "" })
}
