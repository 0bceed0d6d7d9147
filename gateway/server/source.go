package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/cluster"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// source brings hot documents: it calls take with what there is and with what
// comes, from one goroutine at a time, until ctx ends.
type source interface {
	follow(ctx context.Context, take func(text []byte))
}

// fixed is the source of a gateway without configuration.
type fixed struct{ text []byte }

func (f fixed) follow(_ context.Context, take func([]byte)) { take(f.text) }

// file re-reads a file. It looks at the content and not at the clock of the
// file, since a mounted ConfigMap is swapped by a symbolic link.
type file struct {
	path string
	log  *slog.Logger
}

const filePoll = time.Second

func (f file) follow(ctx context.Context, take func([]byte)) {
	var last []byte
	failing := false
	look := func() {
		text, err := os.ReadFile(f.path)
		switch {
		case err != nil && !failing:
			f.log.Warn("reading config; the one before runs on", "error", err)
		case err == nil && !bytes.Equal(text, last):
			take(text)
			last = text
		}
		failing = err != nil
	}
	look()
	every(ctx, filePoll, look)
}

// every calls do once in a period until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// watched is the ConfigMap seen through the API server; the mounted copy may
// be a minute old and is read only when the API server does not answer at the
// start.
type watched struct {
	cluster   *cluster.Cluster
	configMap string
	mount     string // path of the mounted document
	log       *slog.Logger
}

const apiPatience = 2 * time.Second

func (w watched) follow(ctx context.Context, take func([]byte)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	seen := make(chan struct{})
	var once sync.Once
	wg.Go(func() {
		w.cluster.Watch(ctx, w.configMap, func(data map[string]string) {
			take([]byte(data[config.HotKey]))
			once.Do(func() { close(seen) })
		})
	})
	select {
	case <-seen:
		return
	case <-ctx.Done():
		return
	case <-time.After(apiPatience):
	}
	w.log.Warn("the API server does not answer; starting from the mounted config")
	text, err := os.ReadFile(w.mount)
	if err != nil {
		w.log.Error("reading mounted config", "error", err)
		return
	}
	take(text)
}

// readCold finds the cold document of this pod.
func readCold(o Options) (config.Cold, error) {
	cold, _ := config.Default()
	if o.Config == "" {
		return cold, nil
	}
	info, err := os.Stat(o.Config)
	if err != nil {
		return cold, fmt.Errorf("reading config: %w", err)
	}
	if !info.IsDir() {
		return cold, nil
	}
	path := filepath.Join(o.Config, coldName(o.TemplateHash))
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) && o.TemplateHash == "" {
		return cold, nil
	}
	if err != nil {
		return cold, fmt.Errorf("reading cold config: %w", err)
	}
	cold, _, err = config.Decode[config.Cold](text)
	if err == nil {
		err = cold.Validate()
	}
	if err != nil {
		return cold, fmt.Errorf("reading %s: %w", path, err)
	}
	return cold, nil
}

func coldName(templateHash string) string {
	if templateHash == "" {
		return "cold.json"
	}
	return config.ColdKey(templateHash)
}

// hotPath is the file of the hot document under --config.
func hotPath(configPath string) string {
	if info, err := os.Stat(configPath); err == nil && !info.IsDir() {
		return configPath
	}
	return filepath.Join(configPath, config.HotKey)
}
