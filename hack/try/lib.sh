# What the demo and the end-to-end suite share: where things are and which
# cluster is used. Sourced, not run.
#
#   NAME      demo or e2e: each has a cluster and state of its own
#   CLUSTER   existing  the cluster that KUBECONFIG (or the default kubeconfig) points to
#             kind      a kind cluster; needs a Docker or Podman engine
#             own       the cluster of hack/cluster, from Go modules; needs root, no engine
#             (not set) existing where KUBECONFIG is set (demo only: a suite that kills pods and
#                       stops the operator asks to be told), else kind where an engine answers, else own
#   REGISTRY  for an existing cluster: where to push the images, such as registry.example.com/team
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${NAME:=demo}" "${REGISTRY:=}"
bin=$root/bin
chosen=$bin/$NAME.env # which cluster was chosen, for the scripts and tests that come later
operator_namespace=streamgateway-system
operator=streamgateway-controller-manager
images=(manager gateway demo)
if [[ $NAME == e2e ]]; then images+=(nats); fi # the server that gateways share a log in
export STEP_LOGS=$bin/logs/$NAME
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0 # constant: other flags compile all of Kubernetes again
mkdir -p "$bin/images" "$STEP_LOGS"
. "$root/hack/progress.sh"

own_state() { echo "$root/hack/cluster/state-$NAME"; }
kind_name() { echo "streamgateway-$NAME"; }

engine() { # prints docker or podman if its engine answers; a client without an engine is no engine
  local e
  for e in docker podman; do
    command -v $e >/dev/null && timeout 10 $e ps -q >/dev/null 2>&1 && echo $e && return
  done
  return 1
}

kind_() { # kind from the PATH, else built from its Go module
  if command -v kind >/dev/null; then kind "$@"; else go run sigs.k8s.io/kind@v0.33.0 "$@"; fi
}

choose() { # sets CLUSTER
  # a cluster of ours that the shell still points to is no cluster of somebody else
  case ${KUBECONFIG:-} in "$root"/hack/cluster/state*/admin.conf | "$bin"/*.kubeconfig) unset KUBECONFIG ;; esac
  if [[ ! ${CLUSTER:-} ]]; then
    if [[ ${KUBECONFIG:-} && $NAME == demo ]]; then CLUSTER=existing
    elif engine >/dev/null; then CLUSTER=kind
    else CLUSTER=own; fi
  fi
  case $CLUSTER in
    existing) ;;
    kind)
      engine >/dev/null || { echo "CLUSTER=kind needs a Docker or Podman engine, and none answers. Start one, or use CLUSTER=own" >&2; exit 1; }
      if [[ $(engine) == podman ]]; then export KIND_EXPERIMENTAL_PROVIDER=podman; fi
      ;;
    own)
      ((EUID == 0)) || { echo "No KUBECONFIG and no container engine: the cluster of hack/cluster needs root. Run  sudo -E env PATH=\"\$PATH\" make $NAME, or name a cluster (KUBECONFIG), or start Docker or Podman" >&2; exit 1; }
      ;;
    *) echo "CLUSTER=$CLUSTER: want existing, kind or own" >&2; exit 1 ;;
  esac
}

point() { # exports what the chosen cluster's tools need
  case $CLUSTER in
    own)
      export KUBEBOX_STATE=$(own_state) KUBEBOX_PORT=
      export KUBECONFIG=$KUBEBOX_STATE/admin.conf
      ;;
    kind) export KUBECONFIG=$bin/$NAME.kubeconfig ;;
  esac
  # kubectl: ours where it is built (it has the version of the node), else the machine's
  local ours=${KUBEBOX_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/streamgateway/cluster/bin}
  if [[ -x $ours/kubectl ]]; then export PATH=$ours:$PATH; fi
}

ref() { # image name → its reference: tagged by its program, so that a changed program is a changed Deployment
  echo "${REGISTRY:-localhost/streamgateway}/$1:dev-$(sha256sum "$bin/$1" | cut -c1-12)"
}

own_images() { # YAML from standard input, with the references of the images just built
  local i script=
  for i in "${images[@]}"; do script+="s#localhost/streamgateway/$i:dev\\([^-._[:alnum:]]\\|\$\\)#$(ref "$i")\\1#g;"; done
  sed "$script"
}

# explain shows what does not run in the namespaces that are involved.
explain() {
  local ns
  for ns in "$operator_namespace" "${explain_namespace:-default}"; do
    echo "--- pods and warnings in $ns"
    kubectl -n "$ns" get pods -o wide 2>&1 | tail -n 12
    kubectl -n "$ns" get events --field-selector type=Warning --sort-by=.lastTimestamp 2>/dev/null | tail -n 6
  done
  echo "--- operator"
  kubectl -n "$operator_namespace" logs "deploy/$operator" --tail=8 2>&1
}
