package v1alpha1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// podTemplate are the restart fields that shape the pod and are of no
// interest to the program in it, so config.Cold does not hold them.
func podTemplate() []string {
	return []string{
		"gateway.image", "gateway.imagePullPolicy", "gateway.imagePullSecrets", "gateway.resources",
		"gateway.template.labels", "gateway.template.annotations", "gateway.template.nodeSelector", "gateway.template.tolerations",
		"gateway.template.affinity", "gateway.template.topologySpreadConstraints", "gateway.template.priorityClassName", "gateway.template.env",
		"gateway.template.patch.type", "gateway.template.patch.value",
	}
}

// TestClassIsWhereAFieldIsDeclared holds the class in a field's marker against
// the struct that carries it to the pod: hot fields are in config.Hot, restart
// fields in config.Cold or in the pod template, all others in neither.
func TestClassIsWhereAFieldIsDeclared(t *testing.T) {
	hot, cold := paths(reflect.TypeFor[config.Hot](), ""), paths(reflect.TypeFor[config.Cold](), "")
	for _, p := range podTemplate() {
		cold[p] = true
	}
	classes := specClasses(t)
	if len(classes) < 30 {
		t.Fatalf("found %d fields of the spec only", len(classes))
	}
	for path, class := range classes {
		want := "outside"
		switch {
		case hot[path] && cold[path]:
			t.Errorf("%s is both hot and cold", path)
		case hot[path]:
			want = "hot"
		case cold[path]:
			want = "restart"
		}
		if class != want {
			t.Errorf("%s: marked %q, but what it is declared in makes it %q", path, class, want)
		}
	}
	for path := range hot {
		if _, ok := classes[path]; !ok {
			t.Errorf("config.Hot has %s, which nobody can set", path)
		}
	}
}

func TestEveryFieldTellsItsEffectInWords(t *testing.T) {
	words := map[string]string{"hot": "Effect: hot", "restart": "Effect: restart", "outside": "Effect: at once"}
	docs := specDocs(t)
	for path, class := range specClasses(t) {
		if text := strings.Join(strings.Fields(docs[path]), " "); !strings.Contains(text, words[class]) {
			t.Errorf("%s: the documentation does not say %q: %s", path, words[class], text)
		}
	}
}

// paths are the JSON paths of the leaves of a struct of gateway/config.
func paths(typ reflect.Type, prefix string) map[string]bool {
	leaves := map[string]bool{}
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Type.Kind() != reflect.Struct {
			leaves[prefix+name] = true
			continue
		}
		for p := range paths(field.Type, prefix+name+".") {
			leaves[p] = true
		}
	}
	return leaves
}

func specClasses(t *testing.T) map[string]string {
	marker := regexp.MustCompile(`(?m)^\+streamgateway:class=(\w+)$`)
	classes := map[string]string{}
	for path, doc := range specDocs(t) {
		classes[path] = ""
		if m := marker.FindStringSubmatch(doc); m != nil {
			classes[path] = m[1]
		}
	}
	return classes
}

// specDocs are the comments, markers included, of the leaves of the spec. A
// leaf is what one change touches: a list or an object of Kubernetes is one.
func specDocs(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*_types.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no sources", err)
	}
	structs := map[string]*ast.StructType{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					structs[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	docs := map[string]string{}
	collect(structs, reflect.TypeFor[v1alpha1.StreamGatewaySpec]().Name(), "", docs)
	return docs
}

func collect(structs map[string]*ast.StructType, name, prefix string, docs map[string]string) {
	for _, field := range structs[name].Fields.List {
		tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
		json, _, _ := strings.Cut(tag.Get("json"), ",")
		section := field.Type
		if pointer, ok := section.(*ast.StarExpr); ok {
			section = pointer.X
		}
		if of, ok := section.(*ast.Ident); ok && structs[of.Name] != nil {
			collect(structs, of.Name, prefix+json+".", docs)
			continue
		}
		var doc strings.Builder // CommentGroup.Text leaves markers out
		for _, line := range field.Doc.List {
			doc.WriteString(strings.TrimSpace(strings.TrimPrefix(line.Text, "//")) + "\n")
		}
		docs[prefix+json] = doc.String()
	}
}
