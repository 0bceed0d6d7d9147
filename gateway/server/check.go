package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// Check holds a configuration, a file or a folder, against all rules, and is
// stricter than a running gateway: a field that nobody knows is an error, since
// a person who asks has most likely mistyped it.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading config: %w", err)
	}
	if !info.IsDir() {
		return check(path, config.Document.Validate)
	}
	colds, err := filepath.Glob(filepath.Join(path, "cold*.json"))
	if err != nil {
		return fmt.Errorf("looking for cold documents: %w", err)
	}
	err = check(filepath.Join(path, config.HotKey), config.Document.Validate)
	for _, cold := range colds {
		err = errors.Join(err, check(cold, config.Cold.Validate))
	}
	return err
}

func check[T config.Document | config.Cold](path string, validate func(T) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading config: %w", err)
	}
	document, unknown, err := config.Decode[T](text)
	if err == nil {
		err = validate(document)
	}
	for _, field := range unknown {
		err = errors.Join(err, fmt.Errorf("%s: not a field of this version; look for a typing error", field))
	}
	if err != nil {
		return fmt.Errorf("%s:\n%w", path, err)
	}
	return nil
}
