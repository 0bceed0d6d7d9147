package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// program writes a file that stands for a built program and a folder beside it.
func program(t *testing.T) (file, folder string) {
	t.Helper()
	dir := t.TempDir()
	file, folder = filepath.Join(dir, "app"), filepath.Join(dir, "site")
	for path, mode := range map[string]os.FileMode{file: 0o700, filepath.Join(folder, "a/b.txt"): 0o600, filepath.Join(folder, "c.txt"): 0o640} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+filepath.Base(path)), mode); err != nil {
			t.Fatal(err)
		}
	}
	return file, folder
}

func TestArchiveHoldsTheFilesTheUserAndTheLabels(t *testing.T) {
	file, folder := program(t)
	out := filepath.Join(t.TempDir(), "app.tar")
	if err := run([]string{"-name", "localhost/app:dev", "-o", out, "-label", "a=b=c", file + ":/app", folder + ":/srv/site"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("localhost/app:dev")
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(out, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532:65532" || strings.Join(c.Entrypoint, " ") != "/app" || c.Labels["a"] != "b=c" {
		t.Errorf("got user %q, entrypoint %q, labels %v", c.User, c.Entrypoint, c.Labels)
	}
	got := map[string]int64{}
	r := tar.NewReader(mutate.Extract(img))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = h.Mode
	}
	want := map[string]int64{"tmp": 0o1777, "app": 0o755, "srv": 0o755, "srv/site": 0o755, "srv/site/a": 0o755, "srv/site/a/b.txt": 0o644, "srv/site/c.txt": 0o644}
	for path, mode := range want {
		if got[path] != mode && got[path+"/"] != mode {
			t.Errorf("%s: mode %o, want %o (in the image: %v)", path, got[path], mode, got)
		}
	}
}

func TestEqualFilesGiveEqualBytesWhateverTheirTimesAndModes(t *testing.T) {
	var archives [][]byte
	for i := range 2 {
		file, folder := program(t)
		when := time.Unix(int64(1e9*(i+1)), 0)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, os.FileMode(0o700|0o055*i)); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "app.tar")
		if err := run([]string{"-name", "localhost/app:dev", "-o", out, file + ":/app", folder + ":/site"}, io.Discard); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, b)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of equal files differ")
	}
}

func TestPushPutsTheImageIntoTheRegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	file, _ := program(t)
	ref := strings.TrimPrefix(server.URL, "http://") + "/team/app:1"
	if err := run([]string{"-name", ref, "-push", file + ":/app"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(tag); err != nil {
		t.Error(err)
	}
}

func TestWrongCallsAreRefusedWithTheReason(t *testing.T) {
	file, _ := program(t)
	out := filepath.Join(t.TempDir(), "app.tar")
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"no name", "want -name", []string{"-o", out, file + ":/app"}},
		{"archive and push", "one of -o and -push", []string{"-name", "localhost/a:1", "-o", out, "-push", file + ":/app"}},
		{"no destination", "want SOURCE:DESTINATION", []string{"-name", "localhost/a:1", "-o", out, file}},
		{"no such file", "no such file", []string{"-name", "localhost/a:1", "-o", out, file + "x:/app"}},
		{"bad reference", "reading -name", []string{"-name", "localhost/A B:1", "-o", out, file + ":/app"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := run(c.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("an archive was written")
			}
		})
	}
}
