//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/bench"
)

// build makes the programs, and says which core is not the server's.
func build(t *testing.T) (dir, core string) {
	t.Helper()
	dir, core = t.TempDir(), "1"
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "../gateway", ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	if runtime.NumCPU() < 2 {
		core = "0"
	}
	return dir, core
}

// TestARunOfARealGatewayDeliversAllAndRenewsItsTable runs the command as a
// person would: a real gateway beside both floors.
func TestARunOfARealGatewayDeliversAllAndRenewsItsTable(t *testing.T) {
	dir, core := build(t)
	table, found := filepath.Join(dir, "table.md"), filepath.Join(dir, "found.json")
	if err := os.WriteFile(table, []byte("# T\n<!-- bench:begin -->\n<!-- bench:end -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), filepath.Join(dir, "bench"), "--gateway", filepath.Join(dir, "gateway"),
		"--scenario", "tokens", "--server", "gateway", "--quick", "--core", core, "--json", found, "--table", table)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(found)
	if err != nil {
		t.Fatal(err)
	}
	var result bench.Run
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Results) != 3 || result.Machine.Kernel == "" || result.Versions["gateway"] == "" {
		t.Errorf("%s", out)
	}
	for _, r := range result.Results {
		if r.Error != "" || r.Delivered != r.Expected || r.Delivered == 0 || r.Duplicates != 0 || r.CPU() <= 0 || r.Latency.Count != int64(r.Delivered) {
			t.Errorf("%s: %s, %d of %d, %d twice, %.2f s of processor", r.Server, r.Error, r.Delivered, r.Expected, r.Duplicates, r.CPU())
		}
	}
	if text, err := os.ReadFile(table); err != nil || !strings.Contains(string(text), "| gateway | ") || !strings.HasPrefix(string(text), "# T\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestFlagsThatDoNotFitAreRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"an unknown flag":     {"--colour"},
		"a stray argument":    {"now"},
		"a floor on no place": {"floor", "--listen", "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := command(t.Context(), args); err == nil {
				t.Error("was taken")
			}
		})
	}
}

func TestTwoRunsOfOneVersionAreKeptAndNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.json")
	for i, step := range []struct {
		version string
		seed    uint64
		kept    []uint64 // seeds
	}{
		{"a", 1, []uint64{1}},
		{"a", 2, []uint64{1, 2}},
		{"a", 3, []uint64{2, 3}},
		{"b", 4, []uint64{4}},
		{"b", 5, []uint64{4, 5}},
	} {
		run := &bench.Run{Seed: step.seed, Versions: map[string]string{"gateway": step.version}, Scenarios: bench.Scenarios()}
		all, err := keep(path, run)
		if err != nil {
			t.Fatal(err)
		}
		var seeds []uint64
		for _, r := range all {
			seeds = append(seeds, r.Seed)
		}
		var written []*bench.Run
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &written)
		}
		if err != nil || !slices.Equal(seeds, step.kept) || len(written) != len(step.kept) {
			t.Errorf("step %d: %v, %d written, want %v; %v", i, seeds, len(written), step.kept, err)
		}
	}
	if all, err := keep("", &bench.Run{}); err != nil || len(all) != 1 {
		t.Errorf("without a file: %v, %v", all, err)
	}
}

// TestWhatGuardsAndANoisyTenantCostIsMeasuredOnARealGateway runs both
// measurements for a moment: tokens are taken, every event arrives, and the
// noisy tenant is held to its quota.
func TestWhatGuardsAndANoisyTenantCostIsMeasuredOnARealGateway(t *testing.T) {
	dir, core := build(t)
	found := filepath.Join(dir, "found.json")
	measure := func(result any, args ...string) {
		t.Helper()
		args = append(args, "--gateway", filepath.Join(dir, "gateway"), "--core", core, "--rounds", "1", "--json", found)
		if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "bench"), args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(found)
		if err == nil {
			err = json.Unmarshal(text, result)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var g bench.Guards
	measure(&g, "guards", "--scenario", "tokens")
	for _, r := range g.Results {
		if r.Error != "" || r.Delivered != r.Expected || r.Delivered == 0 {
			t.Errorf("%s: %s, %d of %d", r.Server, r.Error, r.Delivered, r.Expected)
		}
	}
	var f bench.Fair
	measure(&f, "fair", "--turn", "500ms", "--streams", "20")
	if len(g.Results) != 2 || len(f.Beside) != 3 {
		t.Fatalf("%d results, %d companies", len(g.Results), len(f.Beside))
	}
	for _, b := range f.Beside {
		turn := b.Rounds[0]
		if turn.Latency.Count == 0 || (turn.Noise.Requests > 0) != (b.Times > 0) || b.Times > 1 && turn.Noise.Refused == 0 {
			t.Errorf("%s: %d events of the quiet one; %d of %d requests refused", &b, turn.Latency.Count, turn.Noise.Refused, turn.Noise.Requests)
		}
	}
}
