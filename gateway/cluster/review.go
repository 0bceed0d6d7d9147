package cluster

import (
	"context"
	"fmt"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/gateway/auth"
)

// What a publisher or a subscriber must be allowed to create, with the right as
// the subresource, which exists in access rules only.
const (
	verb     = "create"
	group    = "streamgateway.io"
	resource = "streamgateways"
)

// Review asks the API server whom the token belongs to and whether they have a
// right (publish, subscribe) on this gateway. An error means that there is no
// answer.
func (c *Cluster) Review(ctx context.Context, token string, audiences []string, right string) (auth.Review, error) {
	user, ok, err := c.reviewToken(ctx, token, audiences)
	if err != nil || !ok {
		return auth.Review{}, err
	}
	allowed, err := c.reviewAccess(ctx, user, right)
	if err != nil {
		return auth.Review{}, err
	}
	return auth.Review{Subject: user.Username, Authenticated: true, Allowed: allowed}, nil
}

func (c *Cluster) reviewToken(ctx context.Context, token string, audiences []string) (user authenticationv1.UserInfo, ok bool, err error) {
	var answer authenticationv1.TokenReview
	err = c.tokens.Post().Resource("tokenreviews").
		Body(&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}).
		Do(ctx).Into(&answer)
	if err != nil {
		return user, false, fmt.Errorf("reviewing a token: %w", err)
	}
	if !answer.Status.Authenticated {
		return user, false, nil
	}
	// An authenticator that knows no audiences leaves them out; then nothing
	// says that the token was made for us.
	for _, a := range answer.Status.Audiences {
		if slices.Contains(audiences, a) {
			return answer.Status.User, true, nil
		}
	}
	return user, false, nil
}

func (c *Cluster) reviewAccess(ctx context.Context, user authenticationv1.UserInfo, right string) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	question := authorizationv1.LocalSubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace},
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, Groups: user.Groups, UID: user.UID, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: c.namespace, Verb: verb, Group: group,
				Resource: resource, Subresource: right, Name: c.name,
			},
		},
	}
	var answer authorizationv1.LocalSubjectAccessReview
	err := c.access.Post().Namespace(c.namespace).Resource("localsubjectaccessreviews").
		Body(&question).Do(ctx).Into(&answer)
	if err != nil {
		return false, fmt.Errorf("reviewing access of %s: %w", user.Username, err)
	}
	return answer.Status.Allowed && !answer.Status.Denied, nil
}
