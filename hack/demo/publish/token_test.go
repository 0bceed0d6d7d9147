package publish

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenIsReadAgainAfterItsRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		write := func(s string) {
			if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("one\n")
		token := FileToken(path)
		want := func(s string) {
			t.Helper()
			if got, err := token(); err != nil || got != s {
				t.Errorf("token = %q, %v, want %q", got, err, s)
			}
		}
		want("one")
		write("two")
		want("one")
		time.Sleep(tokenAge)
		want("two")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tokenAge)
		if got, err := token(); err == nil {
			t.Errorf("token = %q after the file went away, want an error", got)
		}
	})
}
