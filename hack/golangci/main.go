// Command golangci is golangci-lint with kube-api-linter compiled in, in place
// of the clone that `golangci-lint custom` makes. hack/lint builds and calls
// it; nothing else of the project does.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"
	_ "sigs.k8s.io/kube-api-linter" // registers the module plug-in kubeapilinter
)

const linter = "github.com/golangci/golangci-lint/v2"

func main() {
	info := commands.BuildInfo{GoVersion: runtime.Version(), Version: "unknown", Commit: "with kube-api-linter", Date: "unknown"}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range build.Deps {
			if dep.Path == linter {
				info.Version = dep.Version[1:]
			}
		}
	}
	if err := commands.Execute(info); err != nil {
		fmt.Fprintln(os.Stderr, "golangci:", err)
		os.Exit(exitcodes.Failure)
	}
}
