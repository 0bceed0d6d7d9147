package publish

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// tokenAge is how long a token read from its file is used. The kubelet renews a
// projected token long before its end, so a minute's delay costs nothing.
const tokenAge = time.Minute

// FileToken gives the token in a file and reads it again once a minute: a
// projected service account token is replaced while the process runs. An empty
// path gives "", for a gateway that lets everybody publish.
func FileToken(path string) func() (string, error) {
	var (
		mu    sync.Mutex // guards token and read
		token string
		read  time.Time
	)
	return func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if path == "" || (token != "" && time.Since(read) < tokenAge) {
			return token, nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading publish token: %w", err)
		}
		token, read = strings.TrimSpace(string(text)), time.Now()
		return token, nil
	}
}
