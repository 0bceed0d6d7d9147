package streamgateway

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=gateways,verbs=get

// route is what is known of the HTTPRoute and of the Gateways it attaches to.
type route struct {
	httpRoute
	missing  string             // a Gateway that is not there; empty: none
	gateways map[string]gateway // by namespace/name; those that may be read
}

// httpRoute and gateway are as much of the Gateway API as is needed here.
type httpRoute struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Status   struct {
		Parents []struct {
			ParentRef  v1alpha1.ParentRef `json:"parentRef"`
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"parents"`
	} `json:"status"`
}

type gateway struct {
	Spec struct {
		Listeners []struct {
			Name     string `json:"name"`
			Port     int    `json:"port"`
			Protocol string `json:"protocol"`
		} `json:"listeners"`
	} `json:"spec"`
}

// route has Gateways hand requests on to the Service.
func (r *Reconciler) route(ctx context.Context, s *scope) error {
	live, err := r.ensureGuest(ctx, s, resources.RouteKind(), resources.Route(s.sg), &s.memory.route)
	if s.memory.route == guestHomeless {
		s.problem(v1alpha1.ReasonGatewayAPINotInstalled,
			"listener.route is set, but the kind HTTPRoute of gateway.networking.k8s.io/v1 is not installed; it is made once that is")
	}
	if err != nil || live == nil {
		return err
	}
	return r.readRoute(ctx, s, live)
}

// lookAtRoute is route of a pass that changes nothing.
func (r *Reconciler) lookAtRoute(ctx context.Context, s *scope) error {
	if s.sg.Spec.Listener.Route == nil {
		return nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(resources.RouteKind())
	err := r.Get(ctx, client.ObjectKeyFromObject(s.sg), live)
	switch {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading HTTPRoute %s: %w", s.sg.Name, err)
	case !metav1.IsControlledBy(live, s.sg):
		return nil
	}
	return r.readRoute(ctx, s, live)
}

// readRoute takes in what Gateways say of the HTTPRoute, and looks whether they
// are there.
func (r *Reconciler) readRoute(ctx context.Context, s *scope, live *unstructured.Unstructured) error {
	out := &route{gateways: map[string]gateway{}}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, &out.httpRoute); err != nil {
		return fmt.Errorf("reading HTTPRoute %s: %w", s.sg.Name, err)
	}
	for _, ref := range s.sg.Spec.Listener.Route.ParentRefs {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(resources.ParentKind())
		key := parentOf(s.sg, &ref)
		err := r.Get(ctx, key, u)
		switch {
		case apierrors.IsNotFound(err):
			out.missing = key.String()
			continue
		case apierrors.IsForbidden(err), meta.IsNoMatchError(err):
			continue // of a namespace that this operator does not serve: what it says of the route is all there is
		case err != nil:
			return fmt.Errorf("reading Gateway %s: %w", key, err)
		}
		var g gateway
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &g); err != nil {
			return fmt.Errorf("reading Gateway %s: %w", key, err)
		}
		out.gateways[key.String()] = g
	}
	s.route = out
	return nil
}

func parentOf(sg *v1alpha1.StreamGateway, ref *v1alpha1.ParentRef) client.ObjectKey {
	return client.ObjectKey{Namespace: cmp.Or(ref.Namespace, sg.Namespace), Name: ref.Name}
}

// routed tells whether all Gateways have taken the HTTPRoute; nil: they have, or
// there is none.
func (s *scope) routed() *verdict {
	if s.route == nil {
		return nil
	}
	for _, ref := range s.sg.Spec.Listener.Route.ParentRefs {
		key := parentOf(s.sg, &ref)
		answered := false
		for _, p := range s.route.Status.Parents {
			if parentOf(s.sg, &p.ParentRef) != key || p.ParentRef.SectionName != ref.SectionName {
				continue
			}
			for _, c := range p.Conditions {
				if c.ObservedGeneration < s.route.Metadata.Generation || c.Type != "Accepted" && c.Type != "ResolvedRefs" {
					continue
				}
				if c.Status == metav1.ConditionFalse {
					v := no(v1alpha1.ReasonRouteNotAccepted, "Gateway %s does not take HTTPRoute %s: %s: %s", key, s.sg.Name, c.Reason, c.Message)
					return &v
				}
				answered = answered || c.Type == "Accepted" && c.Status == metav1.ConditionTrue
			}
		}
		if !answered {
			v := unknown(v1alpha1.ReasonPending, "Gateway %s has not taken HTTPRoute %s yet", key, s.sg.Name)
			return &v
		}
	}
	return nil
}

// routeAddresses puts the names under which Gateways hand requests on before
// the other addresses, and the first of them in the place of the URL.
func (s *scope) routeAddresses(status *v1alpha1.StreamGatewayStatus) {
	if s.route == nil || s.routed() != nil {
		return
	}
	var names []v1alpha1.Address
	for _, h := range s.sg.Spec.Listener.Route.Hostnames {
		if !strings.HasPrefix(string(h), "*") {
			names = append(names, v1alpha1.Address{Type: v1alpha1.AddressHostname, Value: string(h)})
		}
	}
	if len(names) == 0 {
		return
	}
	status.Addresses = append(names, status.Addresses...)
	if scheme, port := s.entrance(); scheme != "" {
		host := names[0].Value
		if scheme == "http" && port != 80 || scheme == "https" && port != 443 {
			host = net.JoinHostPort(host, strconv.Itoa(port))
		}
		status.URL = scheme + "://" + host + s.sg.Spec.Listener.Route.PathPrefix
	}
}

// entrance is how clients come to the first Gateway that may be read: by HTTPS
// where it has such a listener. Empty: nobody can tell.
func (s *scope) entrance() (scheme string, port int) {
	for _, ref := range s.sg.Spec.Listener.Route.ParentRefs {
		for _, l := range s.route.gateways[parentOf(s.sg, &ref).String()].Spec.Listeners {
			switch {
			case ref.SectionName != "" && ref.SectionName != l.Name:
			case l.Protocol == "HTTPS":
				return "https", l.Port
			case l.Protocol == "HTTP" && scheme == "":
				scheme, port = "http", l.Port
			}
		}
		if scheme != "" {
			break
		}
	}
	return scheme, port
}
