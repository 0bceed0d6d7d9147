package streamgateway

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups="",resources=secrets,verbs=create

// keysPause is the least time between two attempts to make the Secret anew: a
// kubelet may take a minute to show pods the one that is there.
const keysPause = 10 * time.Second

// keys makes the Secret that all pods share. It can never be read here: that it
// is there is known from a create that conflicts, and that it is gone from the
// pods, who say that they miss it. To rotate the key, delete the Secret.
func (r *Reconciler) keys(ctx context.Context, s *scope) error {
	m := s.memory
	missed := len(s.summary.SharedMissing) > 0
	if !m.keysTried.IsZero() && (!missed || s.now.Sub(m.keysTried) < keysPause) {
		return nil
	}
	if err := r.stillThere(ctx, s); err != nil {
		return err
	}
	random := make([]byte, resources.KeyBytes)
	_, _ = rand.Read(random) // never fails
	err := r.Create(ctx, resources.Keys(s.sg, random))
	switch {
	case apierrors.IsAlreadyExists(err), err == nil:
		m.keysTried = s.now
		return nil
	case refusal(err) != "":
		s.problem(refusal(err), err.Error())
		return nil
	}
	return fmt.Errorf("creating Secret %s: %w", resources.KeysName(s.sg.Name), err)
}
