// Package e2e holds the promises that are kept on a real cluster: one file for
// each, with the build tag e2e. The suite brings the cluster and the operator
// up by itself (hack/try/install), so `go test -tags e2e ./controllers/e2e`
// is enough; `make e2e` also takes them down.
//
// It sees the product only from outside: through the Kubernetes API, kubectl,
// and HTTP to the pods. Nothing imports it.
package e2e
