package hack

import (
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/streamgateway/streamgateway/"

// row says what the packages of a room may import of this project, directly.
type row struct {
	room string // a folder; with /... also what lies below it
	may  []string
	why  string
}

// rows is the plan of the house. A package without a row fails, so that a new
// one answers: what does it know that nobody else should? A room may always
// import what lies below it.
func rows() []row {
	return []row{
		{"api/v1alpha1", nil, "others generate clients from it"},
		{"api/v1alpha1/applyconfiguration/...", []string{"api/..."}, "generated from it"},
		{"gateway/config", nil, "both houses share it; also for configs written by hand"},
		{"gateway/report", nil, "both houses share it"},
		{"gateway/engine/...", []string{"gateway/engine/..."}, "provable, embeddable, benchmarked alone"},
		{"gateway/broker/...", []string{"gateway/broker/...", "gateway/engine/wire"}, "knows records, not subscribers"},
		{"gateway/auth", []string{"gateway/engine/wire"}, "knows channels and patterns only"},
		{"gateway/auth/authtest", nil, "signs tokens for tests, and knows go-jose only"},
		{"gateway/limit", []string{"gateway/engine/wire"}, "knows channels and patterns only"},
		{"gateway/breaker", nil, "counts failures of whatever it guards"},
		{"gateway/trace/...", []string{"gateway/engine/wire"}, "knows trace contexts, the SDK and OTLP, neither events nor requests"},
		{"gateway/transport/...", []string{"gateway/transport/...", "gateway/engine/...", "gateway/auth", "gateway/limit", "gateway/trace"}, "no broker, no config file: options come in as structs"},
		{"gateway/cluster", []string{"gateway/auth", "gateway/config"}, "all the gateway knows of Kubernetes: carries documents and reviews, looks into neither"},
		{"gateway/server", []string{"gateway/..."}, "the one place that knows everybody"},
		{"gateway/console", nil, "a page and the shape of what it shows; who fills it imports it"},
		{"gateway/audit", []string{"gateway/noloss"}, "judges its own gateway by what the wire says, as the check from outside does"},
		{"gateway/noloss", []string{"gateway/engine/wire"}, "judges a gateway from outside, by what the wire says"},
		{"gateway/cmd/noloss", []string{"gateway/noloss"}, "a main wires nothing by itself"},
		{"gateway/bench/...", []string{"gateway/bench/...", "gateway/config"}, "measures servers from outside, over their sockets; writes a configuration for one"},
		{"gateway/cmd/bench", []string{"gateway/bench/..."}, "a main wires nothing by itself"},
		{"gateway/doctor", nil, "looks at a gateway from outside, by what the wire says"},
		{"gateway/cmd/gateway", []string{"gateway/server", "gateway/config", "gateway/doctor"}, "a main wires nothing by itself"},
		{"controllers/resources", []string{"api/v1alpha1", "gateway/config", "gateway/report"}, "pure; no client"},
		{"controllers/fleet", []string{"gateway/report"}, "no Kubernetes types in the fold"},
		{"controllers/rollout", []string{"controllers/fleet"}, "decides, does nothing: no client, no clock of its own"},
		{"controllers/streamgateway", []string{"api/...", "controllers/resources", "controllers/fleet", "controllers/rollout", "gateway/config"}, "the only one that writes to the cluster"},
		{"controllers/cmd/manager", []string{"api/v1alpha1", "controllers/streamgateway", "controllers/fleet"}, "flags, scheme, list of controllers"},
		{"controllers/e2e", nil, "promises are tested from outside"},
		{"hack/...", nil, "tools of the house: they see the product from outside"},
	}
}

// ban says what the packages of a room must not link, directly or through
// others.
type ban struct {
	rooms, but []string
	not        []string
	why        string
}

func bans() []ban {
	return []ban{
		{[]string{"gateway/..."}, []string{"gateway/cluster", "gateway/server", "gateway/cmd/gateway"}, []string{"k8s.io/..."}, "engine, transport, auth and broker do not know that Kubernetes exists"},
		{[]string{"gateway/..."}, nil, []string{"sigs.k8s.io/controller-runtime/..."}, "memory, start time and attack surface of the data plane"},
		{[]string{"controllers/..."}, nil, []string{module + "gateway/engine/...", module + "gateway/broker/...", module + "gateway/transport/...", module + "gateway/server"}, "the operator knows documents and reports of the data plane, nothing else"},
		{[]string{"gateway/...", "controllers/..."}, []string{"gateway/broker/jetstream/natstest"}, []string{"github.com/nats-io/nats-server/..."}, "servers are started by tests; the product is a client of them"},
		{[]string{"gateway/..."}, []string{"gateway/broker/jetstream/...", "gateway/server", "gateway/cmd/gateway"}, []string{"github.com/nats-io/..."}, "one room knows that NATS exists"},
		{[]string{"gateway/engine/..."}, nil, []string{"net/http", "os/exec"}, "the core is pure: no HTTP below a stream"},
		{[]string{"gateway/config", "gateway/report"}, nil, []string{"net", "os/exec", "github.com/...", "golang.org/...", "k8s.io/...", "sigs.k8s.io/..."}, "standard library only, no network: both houses share them"},
		{[]string{"controllers/fleet", "controllers/resources"}, nil, []string{"sigs.k8s.io/controller-runtime/..."}, "no client: what is applied and when is decided elsewhere"},
		{[]string{"controllers/fleet", "controllers/rollout"}, nil, []string{"k8s.io/..."}, "no Kubernetes types in the fold"},
	}
}

func TestPackagesImportOnlyWhatTheirRoomMay(t *testing.T) {
	for name, p := range packages(t) {
		i := slices.IndexFunc(rows(), func(r row) bool { return covers(r.room, name) })
		if i < 0 {
			t.Errorf("%s has no row in rows: what does it know that nobody else should?", name)
			continue
		}
		r := rows()[i]
		for _, imported := range p.imports {
			if ours, ok := strings.CutPrefix(imported, module); ok && !covers(name+"/...", ours) &&
				!slices.ContainsFunc(r.may, func(room string) bool { return covers(room, ours) }) {
				t.Errorf("%s imports %s; %s may import %v only: %s", name, ours, r.room, r.may, r.why)
			}
		}
	}
}

func TestPackagesDoNotLinkWhatIsBanned(t *testing.T) {
	for name, p := range packages(t) {
		for _, b := range bans() {
			in := func(room string) bool { return covers(room, name) }
			if !slices.ContainsFunc(b.rooms, in) || slices.ContainsFunc(b.but, in) {
				continue
			}
			for _, linked := range p.deps {
				if slices.ContainsFunc(b.not, func(room string) bool { return covers(room, linked) }) {
					t.Errorf("%s links %s: %s", name, linked, b.why)
				}
			}
		}
	}
}

func TestEveryRowHasItsPackage(t *testing.T) {
	all := packages(t)
	for _, r := range rows() {
		found := false
		for name := range all {
			found = found || covers(r.room, name)
		}
		if !found {
			t.Errorf("no package in %s", r.room)
		}
	}
}

// covers tells whether a room, a path or a path with /..., holds a package.
func covers(room, name string) bool {
	if folder, ok := strings.CutSuffix(room, "/..."); ok {
		return name == folder || strings.HasPrefix(name, folder+"/")
	}
	return name == path.Clean(room)
}

type listed struct{ imports, deps []string }

// packages are the packages of this module by their path in it, with what
// their non-test files import and all that they link.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	// go's test cache does not know what `go list` reads. It knows the folders
	// that a test reads itself, and so runs it again when a source has changed.
	for _, house := range []string{"api", "controllers", "gateway"} {
		if err := filepath.WalkDir(filepath.Join("..", house), func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
	list := exec.Command("go", "list", "-f", `{{.ImportPath}};{{join .Imports " "}};{{join .Deps " "}}`, module+"...")
	list.Dir = ".."
	var stderr strings.Builder
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	all := map[string]listed{}
	for line := range strings.Lines(string(out)) {
		part := strings.Split(strings.TrimSpace(line), ";")
		all[strings.TrimPrefix(part[0], module)] = listed{strings.Fields(part[1]), strings.Fields(part[2])}
	}
	if len(all) < 5 {
		t.Fatalf("listed %d packages only", len(all))
	}
	return all
}
