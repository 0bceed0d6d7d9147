package resources

import (
	"math"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

const (
	// ContainerName is the name of the gateway's container.
	ContainerName = "gateway"
	// ClientPortName is the name of the port that clients connect to.
	ClientPortName = "http"
	// AdminPortName is the name of the port that the operator asks.
	AdminPortName = "admin"

	keysVolume   = "keys"
	keysPath     = "/etc/streamgateway-keys"
	configVolume = "config"
	configPath   = "/etc/streamgateway"
	// The gateway's image runs as this user (nonroot of the usual minimal
	// images); it is said here as well so that restricted pod security can be
	// decided without the image.
	userID = 65532
	// What the Go runtime keeps to, of the memory limit: the kernel charges
	// socket buffers to the same limit.
	memoryPercent = 80
	// A container that has drained for its whole time is given this long to
	// close what is left before it is killed.
	killGrace = 10 * time.Second
)

// Deployment runs the pods of one template. Its template never changes: what
// would change it is another Deployment, under another name, so that the old
// pods serve until the new ones are ready.
func Deployment(sg *v1alpha1.StreamGateway, p Plan, replicas int32) *appsv1ac.DeploymentApplyConfiguration {
	d := appsv1ac.Deployment(DeploymentName(sg.Name, p.TemplateHash), sg.Namespace)
	if sg.Spec.Gateway.Image == "" {
		d.WithAnnotations(map[string]string{AnnotationBuiltInImage: p.Image})
	}
	return d.
		WithLabels(templateLabels(sg.Name, p.TemplateHash)).
		WithOwnerReferences(owner(sg)).
		WithSpec(appsv1ac.DeploymentSpec().
			WithReplicas(replicas).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(templateSelector(sg.Name, p.TemplateHash))).
			WithRevisionHistoryLimit(1).
			WithProgressDeadlineSeconds(int32(ProgressDeadline(&sg.Spec) / time.Second)).
			// Only a hand that edits the template makes it roll; then, too,
			// the old pod goes after the new one is ready.
			WithStrategy(appsv1ac.DeploymentStrategy().
				WithType(appsv1.RollingUpdateDeploymentStrategyType).
				WithRollingUpdate(appsv1ac.RollingUpdateDeployment().
					WithMaxUnavailable(intstr.FromInt32(0)).
					WithMaxSurge(intstr.FromInt32(1)))).
			WithTemplate(podTemplate(sg, &p)))
}

// ProgressDeadline is how long pods may make no progress before they count as
// failed.
func ProgressDeadline(spec *v1alpha1.StreamGatewaySpec) time.Duration {
	if r := spec.Rollout; r != nil {
		if d, err := config.ParseDuration(string(r.ProgressDeadline)); err == nil && d > 0 {
			return d
		}
	}
	return 5 * time.Minute // of an object that was stored before there was such a field
}

// plainPods are the pods without what spec.gateway.template.patch makes of them.
func plainPods(sg *v1alpha1.StreamGateway, p *Plan) *corev1ac.PodTemplateSpecApplyConfiguration {
	drain := p.Cold.Drain
	spec := corev1ac.PodSpec().
		WithServiceAccountName(AccountName(sg.Name)).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(int64(math.Ceil((drain.Timeout + drain.PreStopDelay + killGrace).Seconds()))).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).
			WithRunAsUser(userID).
			WithRunAsGroup(userID).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithAffinity(apartByNode(sg.Name)).
		WithContainers(container(sg, p)).
		WithVolumes(corev1ac.Volume().
			WithName(configVolume).
			WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(ConfigName(sg.Name)).WithOptional(false)))
	if p.sharesSecret() {
		// Optional: a pod whose Secret was deleted starts, and says so.
		spec.WithVolumes(corev1ac.Volume().
			WithName(keysVolume).
			WithSecret(corev1ac.SecretVolumeSource().WithSecretName(KeysName(sg.Name)).WithOptional(true)))
	}
	for _, m := range mounts(&p.Cold) {
		// Optional, so that a pod starts without it and says what is missing.
		spec.WithVolumes(corev1ac.Volume().WithName(m.volume).
			WithSecret(corev1ac.SecretVolumeSource().WithSecretName(m.secret).WithOptional(true)))
	}
	for _, s := range sg.Spec.Gateway.ImagePullSecrets {
		spec.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(s.Name))
	}
	pods := corev1ac.PodTemplateSpec().
		WithLabels(templateLabels(sg.Name, p.TemplateHash)).
		WithSpec(spec)
	extend(pods, sg, p)
	return pods
}

func container(sg *v1alpha1.StreamGateway, p *Plan) *corev1ac.ContainerApplyConfiguration {
	c := corev1ac.Container().
		WithName(ContainerName).
		WithImage(p.Image).
		WithCommand("/gateway").
		WithArgs("--config="+configPath, "--template-hash="+p.TemplateHash, "--cluster").
		WithEnv(environment(sg)...).
		WithPorts(
			port(ClientPortName, p.Cold.Listener.Port),
			port(AdminPortName, p.Cold.Observability.AdminPort)).
		WithReadinessProbe(probe(report.ReadyzPath).WithPeriodSeconds(1).WithFailureThreshold(2)).
		WithLivenessProbe(probe(report.HealthzPath).WithPeriodSeconds(10).WithFailureThreshold(3)).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		WithVolumeMounts(corev1ac.VolumeMount().WithName(configVolume).WithMountPath(configPath).WithReadOnly(true))
	if p.sharesSecret() {
		c.WithArgs("--keys=" + keysPath).
			WithVolumeMounts(corev1ac.VolumeMount().WithName(keysVolume).WithMountPath(keysPath).WithReadOnly(true))
	}
	if p.Cold.Listener.TLS.SecretName != "" {
		c.WithArgs("--tls-path=" + tlsPath)
	}
	if p.Cold.Broker.Type == config.BrokerNATS {
		c.WithArgs("--nats-path=" + natsPath)
	}
	for _, m := range mounts(&p.Cold) {
		c.WithVolumeMounts(corev1ac.VolumeMount().WithName(m.volume).WithMountPath(m.path).WithReadOnly(true))
	}
	if policy := sg.Spec.Gateway.ImagePullPolicy; policy != "" {
		c.WithImagePullPolicy(policy)
	}
	if r := sg.Spec.Gateway.Resources; r != nil {
		c.WithResources(corev1ac.ResourceRequirements().WithRequests(r.Requests).WithLimits(r.Limits))
	}
	return c
}

func environment(sg *v1alpha1.StreamGateway) []*corev1ac.EnvVarApplyConfiguration {
	env := []*corev1ac.EnvVarApplyConfiguration{
		downward("POD_NAME", "metadata.name"),
		downward("POD_NAMESPACE", "metadata.namespace"),
	}
	if limit := MemoryLimit(sg.Spec.Gateway.Resources); limit > 0 {
		env = append(env, corev1ac.EnvVar().WithName("GOMEMLIMIT").
			WithValue(strconv.FormatInt(limit/100*memoryPercent, 10)))
	}
	return env
}

// MemoryLimit is the memory limit in bytes; 0 when there is none.
func MemoryLimit(r *corev1.ResourceRequirements) int64 {
	if r == nil {
		return 0
	}
	return r.Limits.Memory().Value()
}

func downward(name, path string) *corev1ac.EnvVarApplyConfiguration {
	return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
		WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath(path)))
}

func port(name string, number int) *corev1ac.ContainerPortApplyConfiguration {
	return corev1ac.ContainerPort().WithName(name).WithContainerPort(int32(number)).WithProtocol(corev1.ProtocolTCP)
}

func probe(path string) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().WithTimeoutSeconds(2).
		WithHTTPGet(corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString(AdminPortName)))
}

// apartByNode asks, and does not demand, that pods of one gateway sit on
// different nodes.
func apartByNode(gateway string) *corev1ac.AffinityApplyConfiguration {
	return corev1ac.Affinity().WithPodAntiAffinity(corev1ac.PodAntiAffinity().
		WithPreferredDuringSchedulingIgnoredDuringExecution(corev1ac.WeightedPodAffinityTerm().
			WithWeight(100).
			WithPodAffinityTerm(corev1ac.PodAffinityTerm().
				WithTopologyKey(corev1.LabelHostname).
				WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(Selector(gateway))))))
}
