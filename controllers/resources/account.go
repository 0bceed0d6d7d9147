package resources

import (
	rbacv1 "k8s.io/api/rbac/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// Account is who the pods are.
func Account(sg *v1alpha1.StreamGateway) *corev1ac.ServiceAccountApplyConfiguration {
	return corev1ac.ServiceAccount(AccountName(sg.Name), sg.Namespace).
		WithLabels(labels(sg.Name)).
		WithOwnerReferences(owner(sg))
}

// Role is what the pods may do in their namespace: read their own config, and
// ask whether a publisher may publish. They write nothing.
func Role(sg *v1alpha1.StreamGateway) *rbacv1ac.RoleApplyConfiguration {
	return rbacv1ac.Role(AccountName(sg.Name), sg.Namespace).
		WithLabels(labels(sg.Name)).
		WithOwnerReferences(owner(sg)).
		WithRules(
			rbacv1ac.PolicyRule().
				WithAPIGroups("").
				WithResources("configmaps").
				WithResourceNames(ConfigName(sg.Name)).
				WithVerbs("get", "list", "watch"),
			rbacv1ac.PolicyRule().
				WithAPIGroups("authorization.k8s.io").
				WithResources("localsubjectaccessreviews").
				WithVerbs("create"))
}

// RoleBinding gives Role to Account.
func RoleBinding(sg *v1alpha1.StreamGateway) *rbacv1ac.RoleBindingApplyConfiguration {
	return rbacv1ac.RoleBinding(AccountName(sg.Name), sg.Namespace).
		WithLabels(labels(sg.Name)).
		WithOwnerReferences(owner(sg)).
		WithRoleRef(rbacv1ac.RoleRef().
			WithAPIGroup(rbacv1.GroupName).
			WithKind("Role").
			WithName(AccountName(sg.Name))).
		WithSubjects(rbacv1ac.Subject().
			WithKind(rbacv1.ServiceAccountKind).
			WithName(AccountName(sg.Name)).
			WithNamespace(sg.Namespace))
}

// Reviewers is the part of the ClusterRoleBinding ReviewersName that the
// operator keeps: who may review tokens.
func Reviewers(subjects ...*rbacv1ac.SubjectApplyConfiguration) *rbacv1ac.ClusterRoleBindingApplyConfiguration {
	return rbacv1ac.ClusterRoleBinding(ReviewersName).
		WithRoleRef(rbacv1ac.RoleRef().
			WithAPIGroup(rbacv1.GroupName).
			WithKind("ClusterRole").
			WithName(ReviewersName)).
		WithSubjects(subjects...)
}
