package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// Unsupported are those of the fields that a pod passed over, by their paths in
// its document, which the plan sets to something else than their default: an
// older gateway does not do what spec asks for. Fields that came later and that
// nobody has set are none.
func Unsupported(p *Plan, ignored []string) ([]string, error) {
	if len(ignored) == 0 {
		return nil, nil
	}
	_, hot := config.Default()
	set, err := changed(p.Hot, hot)
	if err != nil {
		return nil, fmt.Errorf("comparing settings: %w", err)
	}
	var out []string
	for _, path := range ignored {
		_, field, found := strings.Cut(path, ".hot.") // of stable or of candidate
		if found && holds(set, strings.Split(field, ".")) && !slices.Contains(out, field) {
			out = append(out, field)
		}
	}
	slices.Sort(out)
	return out, nil
}

// holds tells whether a tree has a field. A list is one field: what is in it is
// not told apart.
func holds(tree any, path []string) bool {
	fields, ok := tree.(map[string]any)
	if !ok || len(path) == 0 {
		return ok
	}
	name, _, inList := strings.Cut(path[0], "[")
	value, ok := fields[name]
	if !ok || inList || len(path) == 1 {
		return ok
	}
	return holds(value, path[1:])
}
