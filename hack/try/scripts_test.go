package try

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bash runs a script line with lib.sh sourced and with these programs, given by
// their shell text, in front of all others of the PATH.
func bash(t *testing.T, line string, programs map[string]string, environment ...string) (string, error) {
	t.Helper()
	path := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(path, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command("bash", "-c", ". ./lib.sh; "+line)
	command.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"), "KUBECONFIG=", "CLUSTER=", "STEP_LOGS=", "TMPDIR="+t.TempDir())
	command.Env = append(command.Env, environment...)
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestClusterIsTheOneNamedThenKindThenOurOwn(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	answers, silent := "exit 0", "echo 'Cannot connect to the Docker daemon' >&2; exit 1"
	for _, c := range []struct {
		name, docker, podman, want string
		environment                []string
	}{
		{"a client without an engine is no engine", silent, silent, "own", nil},
		{"a docker engine gives kind", answers, silent, "kind", nil},
		{"a podman engine gives kind", silent, answers, "kind", nil},
		{"KUBECONFIG wins over an engine", answers, silent, "existing", []string{"KUBECONFIG=/somebody/config"}},
		{"the suite asks to be told before it uses an existing cluster", silent, silent, "own", []string{"KUBECONFIG=/somebody/config", "NAME=e2e"}},
		{"CLUSTER=existing needs no KUBECONFIG", answers, silent, "existing", []string{"CLUSTER=existing", "NAME=e2e"}},
		{"CLUSTER=own wins over an engine", answers, silent, "own", []string{"CLUSTER=own"}},
		{"a shell that points to a cluster of ours is no existing cluster", silent, silent, "own", []string{"KUBECONFIG=" + root + "/hack/cluster/state-demo/admin.conf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.want == "own" && os.Geteuid() != 0 {
				t.Skip("our own cluster is offered to root only")
			}
			got, err := bash(t, "choose; echo $CLUSTER", map[string]string{"docker": c.docker, "podman": c.podman}, c.environment...)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestUnusableChoicesAreRefusedWithTheWayOut(t *testing.T) {
	silent := map[string]string{"docker": "exit 1", "podman": "exit 1"}
	for _, c := range []struct{ name, cluster, want string }{
		{"kind without an engine", "kind", "use CLUSTER=own"},
		{"a word that means nothing", "minikube", "want existing, kind or own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := bash(t, "choose; echo chosen", silent, "CLUSTER="+c.cluster)
			if err == nil || !strings.Contains(got, c.want) {
				t.Errorf("got %q, %v; want a refusal with %q", got, err, c.want)
			}
		})
	}
}

func TestFailedStepNamesStepCauseAndWayOut(t *testing.T) {
	got, err := bash(t, `broken() { echo before; echo "the disk is full"; return 3; }
		WAY_OUT="make room" EXPLAIN="echo more about it" step "writing a file" broken; echo not reached`, nil)
	if err == nil || strings.Contains(got, "not reached") {
		t.Fatalf("the script went on: %q, %v", got, err)
	}
	for _, want := range []string{"✗ writing a file: failed after", "the disk is full", "more about it", "Way out: make room"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}

func TestStepStopsAtTheFirstFailingCommand(t *testing.T) {
	got, err := bash(t, `two() { false; echo second; }; step "two commands" two`, nil)
	if err == nil || strings.Contains(got, "second") {
		t.Errorf("got %q, %v; want the step to end at the first command", got, err)
	}
}

func TestImagesInManifestsBecomeThoseJustBuilt(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"manager", "gateway", "demo"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got, err := bash(t, "bin="+bin+`; printf 'image: localhost/streamgateway/manager:dev\n- --gateway-image=localhost/streamgateway/gateway:dev\nimage: localhost/streamgateway/demo:dev-1\n' | own_images`,
		nil, "REGISTRY=registry.example.com/team")
	want := "image: registry.example.com/team/manager:dev-6ee4a469cd4e\n" +
		"- --gateway-image=registry.example.com/team/gateway:dev-4ea5ee68fea0\n" +
		"image: localhost/streamgateway/demo:dev-1"
	if err != nil || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

func TestScriptsAreWellFormed(t *testing.T) {
	var scripts []string
	for _, pattern := range []string{"*", "../cluster/*", "../../.ci/run", "../progress.sh", "../generate", "../lint"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err == nil && strings.HasPrefix(string(b), "#!/usr/bin/env bash") {
				scripts = append(scripts, path)
			}
		}
	}
	if len(scripts) < 12 {
		t.Fatalf("found only %v", scripts)
	}
	for _, script := range scripts {
		if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}
