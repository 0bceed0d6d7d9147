// Command image packs finished programs into a container image without a
// container engine: a base of nothing, one layer, a non-root user. It writes an
// archive that `ctr images import`, `docker load`, `podman load` and
// `kind load image-archive` take, or pushes to a registry. The same input gives
// the same bytes.
//
// It does not compile anything; the Makefile and the cluster scripts call it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const usage = `Usage: image -name REF (-o ARCHIVE | -push) [options] SOURCE:DESTINATION...

Packs files and folders into a container image with nothing else in it.

  image -name localhost/app:dev -o app.tar bin/app:/app
  image -name registry.example.com/app:1 -push bin/app:/app site:/site

Options:
`

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	s := Spec{Labels: map[string]string{}}
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	ref := flags.String("name", "", "reference of the image, such as localhost/app:dev")
	out := flags.String("o", "", "archive to write")
	push := flags.Bool("push", false, "push to the registry of -name, with the credentials of the container tools")
	entrypoint := flags.String("entrypoint", "", "command to run, split at spaces (default: the first DESTINATION)")
	flags.StringVar(&s.User, "user", "65532:65532", "user and group to run as")
	flags.StringVar(&s.Architecture, "arch", "amd64", "architecture of the programs")
	flags.Func("label", "NAME=VALUE, may be repeated", func(v string) error {
		key, value, found := strings.Cut(v, "=")
		if !found {
			return fmt.Errorf("%q: want NAME=VALUE", v)
		}
		s.Labels[key] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *ref == "" || (*out == "") == !*push || flags.NArg() == 0 {
		flags.Usage()
		return errors.New("want -name, one of -o and -push, and at least one SOURCE:DESTINATION")
	}
	for _, arg := range flags.Args() {
		source, destination, found := strings.Cut(arg, ":")
		if !found {
			return fmt.Errorf("%q: want SOURCE:DESTINATION", arg)
		}
		s.Files = append(s.Files, File{Source: source, Destination: destination})
	}
	s.Entrypoint, s.Compress = strings.Fields(*entrypoint), *push
	return write(s, *ref, *out)
}

// write makes the image and puts it into the archive out, or pushes it where
// out is empty.
func write(s Spec, ref, out string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("reading -name: %w", err)
	}
	img, err := Build(s)
	if err != nil {
		return err
	}
	if out == "" {
		if err := remote.Write(tag, img, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("pushing %s: %w", ref, err)
		}
		return nil
	}
	// A reader never sees half an archive: it appears under its name when whole.
	half := out + ".part"
	if err := tarball.WriteToFile(half, tag, img); err != nil {
		return fmt.Errorf("writing %s: %w", out, err)
	}
	if err := os.Rename(half, out); err != nil {
		return fmt.Errorf("writing %s: %w", out, err)
	}
	return nil
}
