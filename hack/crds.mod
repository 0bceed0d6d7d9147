// Other projects' custom resources that tests install on their API server, by
// their modules. Nothing of them is compiled or linked.
module github.com/streamgateway/streamgateway/hack/crds

go 1.26

require sigs.k8s.io/gateway-api v1.6.3
