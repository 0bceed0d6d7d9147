package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Spec says what goes into an image.
type Spec struct {
	Files        []File
	Entrypoint   []string // empty: the first file's destination
	User         string   // UID:GID
	Architecture string   // of GOARCH
	Labels       map[string]string
	Compress     bool // the layer, by gzip
}

// File is one file or folder on this machine and its place in the image.
type File struct{ Source, Destination string }

// Build makes the image: one layer, no times, no owner, so that equal files
// give an equal digest. An archive's layer stays uncompressed, since loading it
// on the same machine is bound by compression and not by bytes; a registry's is
// compressed.
func Build(s Spec) (v1.Image, error) {
	var tree bytes.Buffer
	if err := writeLayer(&tree, s.Files); err != nil {
		return nil, fmt.Errorf("packing the layer: %w", err)
	}
	layer := static.NewLayer(tree.Bytes(), types.DockerUncompressedLayer)
	if s.Compress {
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tree.Bytes())), nil }
		var err error
		if layer, err = tarball.LayerFromOpener(open); err != nil {
			return nil, fmt.Errorf("compressing the layer: %w", err)
		}
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("adding the layer: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", s.Architecture, v1.Time{Time: time.Unix(0, 0).UTC()}
	file.Config = v1.Config{
		Entrypoint: s.Entrypoint,
		User:       s.User,
		WorkingDir: "/",
		Env:        []string{"PATH=/"},
		Labels:     s.Labels,
	}
	if len(s.Entrypoint) == 0 {
		file.Config.Entrypoint = []string{path.Join("/", s.Files[0].Destination)}
	}
	img, err = mutate.ConfigFile(img, file)
	if err != nil {
		return nil, fmt.Errorf("writing the image's configuration: %w", err)
	}
	return img, nil
}

// writeLayer writes the files as a tar, with the folders above them and an
// empty /tmp that everybody may write to.
func writeLayer(w io.Writer, files []File) error {
	t := tar.NewWriter(w)
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return err
	}
	folders := map[string]bool{"tmp/": true}
	for _, f := range files {
		if err := addTree(t, folders, f); err != nil {
			return fmt.Errorf("adding %s: %w", f.Source, err)
		}
	}
	return t.Close()
}

// addTree adds a file, or every file below a folder in the order of their names.
func addTree(t *tar.Writer, folders map[string]bool, f File) error {
	root := path.Join("/", filepath.ToSlash(f.Destination))[1:]
	return filepath.WalkDir(f.Source, func(source string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		below, err := filepath.Rel(f.Source, source)
		if err != nil {
			return err
		}
		destination := path.Join(root, filepath.ToSlash(below))
		if err := addFolders(t, folders, destination); err != nil {
			return err
		}
		return addFile(t, source, destination)
	})
}

func addFolders(t *tar.Writer, folders map[string]bool, destination string) error {
	for i, c := range destination {
		folder := destination[:i] + "/"
		if c != '/' || folders[folder] {
			continue
		}
		folders[folder] = true
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755}); err != nil {
			return err
		}
	}
	return nil
}

func addFile(t *tar.Writer, source, destination string) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644) // the umask of whoever built it is none of the image's business
	if strings.ContainsRune(info.Mode().Perm().String(), 'x') {
		mode = 0o755
	}
	if err := t.WriteHeader(&tar.Header{Name: destination, Mode: mode, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}
