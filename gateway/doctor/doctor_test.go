package doctor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/server"
)

// heartbeat of the gateways here, so that a test watches many of them.
const heartbeat = 200 * time.Millisecond

// serve runs a gateway and gives its address.
func serve(t *testing.T, change func(*config.Hot)) string {
	t.Helper()
	cold, hot := config.Default()
	cold.Drain = config.Drain{Timeout: 10 * time.Millisecond}
	hot.Connections.Heartbeat = heartbeat
	change(&hot)
	text, err := config.Encode(config.Document{Serial: 1, Stable: config.Revision{Name: "one", Hot: hot}})
	if err != nil {
		t.Fatal(err)
	}
	settings, err := config.Encode(cold)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{config.HotKey: text, "cold.json": settings} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := server.New(server.Options{Version: "test", Config: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = s.Listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	main, _ := s.Addresses()
	await(t, main)
	return main
}

func plainly(*config.Hot) {}

func await(t *testing.T, address string) {
	t.Helper()
	for range 5000 {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nobody serves on %s", address)
}

// nginx runs Debian's in front of a gateway, with these lines at its location.
func nginx(t *testing.T, gateway, location string) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("no nginx here: apt-get install nginx-light")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	dir := t.TempDir()
	text := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error warn;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server { listen %[2]s; location / { proxy_pass http://%[3]s; %[4]s } }
}`, dir, address, gateway, location)
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-c", file, "-e", filepath.Join(dir, "error"))
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	await(t, address)
	return address
}

func examine(t *testing.T, address string, change func(*Options)) Report {
	t.Helper()
	o := Options{URL: "http://" + address, Channel: "doctor", Watch: 5 * heartbeat, patience: 20 * time.Second}
	if change != nil {
		change(&o)
	}
	r, err := Examine(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	r.Print(&text)
	t.Log("\n" + text.String())
	return r
}

func (r Report) names(level Level) (names []string) {
	for _, f := range r.Findings {
		if f.Level == level {
			names = append(names, f.Name)
		}
	}
	return names
}

func (r Report) text(name string) string {
	for _, f := range r.Findings {
		if f.Name == name {
			return f.Text + " " + f.Fix
		}
	}
	return ""
}

func TestNothingIsFoundWhereNothingStandsBetween(t *testing.T) {
	t.Parallel()
	r := examine(t, serve(t, plainly), nil)
	if len(r.Findings) != 0 || !r.Examined || r.Exit() != ExitWell || r.URL[len(r.URL)-len(basePath):] != basePath {
		t.Errorf("%+v", r)
	}
}

func TestNginxIsNamedByWhatItDoes(t *testing.T) {
	gateway := serve(t, plainly)
	for name, c := range map[string]struct {
		location          string
		problems, warning []string
		says              string // in the text of the first finding expected
		exit              int
	}{
		"as it comes, with its buffers that the gateway turns off": {"", nil, nil, "", ExitWell},
		"buffers that the gateway may not turn off":                {"proxy_ignore_headers X-Accel-Buffering; proxy_http_version 1.0;", []string{"buffering"}, nil, "collects", ExitProblems},
		"compression that waits for more": {`proxy_ignore_headers X-Accel-Buffering; gzip on; gzip_types text/event-stream; gzip_min_length 0; proxy_set_header Accept-Encoding "";`,
			[]string{"buffering"}, nil, "which works", ExitProblems},
		"compression again": {`proxy_buffering off; gzip on; gzip_types text/event-stream; gzip_min_length 0; proxy_set_header Accept-Encoding "";`, nil,
			[]string{"recompressed"}, "once for each client", ExitWell},
		"compression taken away":        {`proxy_set_header Accept-Encoding "";`, nil, []string{"uncompressed"}, "Accept-Encoding", ExitWell},
		"a position that does not pass": {`proxy_set_header Last-Event-ID "";`, []string{"last-event-id"}, nil, "lose", ExitProblems},
		"headers that do not pass": {`proxy_hide_header Cache-Control; proxy_hide_header SG-Session; add_header Cache-Control no-store;`, nil,
			[]string{"no-transform", "headers-stripped"}, `"no-store"`, ExitWell},
		"a cache":                      {`proxy_hide_header Cache-Control; add_header Cache-Control max-age=60;`, []string{"cached"}, []string{"no-transform"}, "no-store", ExitProblems},
		"another type":                 {`proxy_hide_header Content-Type; add_header Content-Type text/plain;`, []string{"content-type"}, nil, "stops for good", ExitProblems},
		"streams that are turned away": {`if ($http_accept ~ event-stream) { return 503; }`, []string{"refused"}, nil, "by somebody in between", ExitUnexamined},
		"a query that is lost":         {`rewrite ^(.*)/stream$ $1/stream? break;`, []string{"query-stripped"}, nil, "query string", ExitUnexamined},
		"a path that leads elsewhere":  {`rewrite ^ /elsewhere break;`, []string{"path"}, nil, "404", ExitUnexamined},
		"a redirect":                   {`return 301 https://elsewhere.example$request_uri;`, []string{"redirect"}, nil, "https://elsewhere.example", ExitUnexamined},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := examine(t, nginx(t, gateway, c.location), func(o *Options) {
				if slices.Contains(c.problems, "buffering") {
					o.patience = 3 * time.Second // waits in vain, several times
				}
			})
			if got := r.names(Problem); !slices.Equal(got, c.problems) {
				t.Errorf("problems %q, want %q", got, c.problems)
			}
			if got := r.names(Warning); !slices.Equal(got, c.warning) && len(got)+len(c.warning) > 0 {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
			for _, want := range append(slices.Clone(c.problems), c.warning...)[:min(1, len(c.problems)+len(c.warning))] {
				if !strings.Contains(r.text(want), c.says) {
					t.Errorf("%s says %q", want, r.text(want))
				}
			}
			if r.Exit() != c.exit {
				t.Errorf("exit %d, want %d", r.Exit(), c.exit)
			}
			if c.exit != ExitUnexamined && !strings.Contains(r.text("in-between"), "nginx/") {
				t.Errorf("nginx is not named: %q", r.text("in-between"))
			}
		})
	}
}

func TestAnIdleTimeoutIsNamedWithTheHeartbeatThatMustFit(t *testing.T) {
	t.Parallel()
	gateway := serve(t, func(h *config.Hot) { h.Connections.Heartbeat = 10 * time.Second })
	r := examine(t, nginx(t, gateway, "proxy_read_timeout 300ms;"), func(o *Options) { o.Watch = 5 * time.Second })
	if got := r.names(Problem); !slices.Equal(got, []string{"cut"}) || !strings.Contains(r.text("cut"), "heartbeat of 10s") || !strings.Contains(r.text("cut"), "proxy_read_timeout") {
		t.Errorf("%q: %s", got, r.text("cut"))
	}
}

func TestALimitOnTheWholeLengthIsToldFromAnIdleTimeout(t *testing.T) {
	t.Parallel()
	gateway, err := url.Parse("http://" + serve(t, func(h *config.Hot) { h.Connections.Heartbeat = time.Second }))
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(gateway) }, FlushInterval: -1, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, stop := context.WithTimeout(r.Context(), 2300*time.Millisecond)
		defer stop()
		pass.ServeHTTP(w, r.WithContext(ctx))
	}))
	defer proxy.Close()
	r := examine(t, proxy.Listener.Addr().String(), func(o *Options) { o.Watch = 10 * time.Second })
	if got := r.names(Problem); !slices.Equal(got, []string{"cut"}) || !strings.Contains(r.text("cut"), "limit on the whole length") || strings.Contains(r.text("cut"), "proxy_read_timeout") {
		t.Errorf("%q: %s", got, r.text("cut"))
	}
}

func TestLumpsAreSeenByTheTimeInHeartbeats(t *testing.T) {
	t.Parallel()
	gateway, err := url.Parse("http://" + serve(t, plainly))
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(gateway) }, FlushInterval: 1200 * time.Millisecond}
	pass.ModifyResponse = func(res *http.Response) error {
		res.ContentLength = 0 // else an event stream is flushed at once
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
			res.Header.Set("Content-Type", "text/event-stream-later")
		}
		return nil
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pass.ServeHTTP(renamed{w}, r) }))
	defer proxy.Close()
	r := examine(t, proxy.Listener.Addr().String(), func(o *Options) { o.Watch, o.patience = 3*time.Second, 3*time.Second })
	if got := r.names(Problem); !slices.Equal(got, []string{"buffering"}) || !strings.Contains(r.text("buffering"), "1.") {
		t.Errorf("%q: %s", got, r.text("buffering"))
	}
}

// renamed gives the type back that a proxy would flush at once.
type renamed struct{ http.ResponseWriter }

func (w renamed) WriteHeader(status int) {
	if kind, ok := strings.CutSuffix(w.Header().Get("Content-Type"), "-later"); ok {
		w.Header().Set("Content-Type", kind)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w renamed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestAGatewayThatRefusesIsQuotedWithWhatToDo(t *testing.T) {
	t.Parallel()
	gateway := serve(t, func(h *config.Hot) { h.Auth.Subscribers.AnonymousChannels = []string{"prices.>"} })
	r := examine(t, gateway, nil)
	if r.Exit() != ExitUnexamined || !strings.Contains(r.text("refused"), "--channel") {
		t.Errorf("exit %d: %s", r.Exit(), r.text("refused"))
	}
	r = examine(t, gateway, func(o *Options) { o.Channel = "prices.eu" })
	if r.Exit() != ExitWell {
		t.Errorf("of a channel that may be read: %+v", r.Findings)
	}
}

func TestATooShortLookSaysSo(t *testing.T) {
	t.Parallel()
	r := examine(t, serve(t, func(h *config.Hot) { h.Connections.Heartbeat = time.Minute }), func(o *Options) { o.Watch = 200 * time.Millisecond })
	if r.Exit() != ExitWell || !strings.Contains(r.text("short-watch"), "--watch 3m0s") {
		t.Errorf("%+v", r.Findings)
	}
}

// certified serves TLS in front of a gateway with a certificate for so long.
func certified(t *testing.T, gateway string, length time.Duration) (address string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(length), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = free.Addr().String()
	_ = free.Close()
	nginx(t, gateway, fmt.Sprintf("} } server { listen %s ssl; ssl_certificate %[2]s/cert; ssl_certificate_key %[2]s/key; location / { proxy_pass http://%[3]s; proxy_http_version 1.1;", address, dir, gateway))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	return address, roots
}

func TestTLSIsLookedAt(t *testing.T) {
	t.Parallel()
	address, roots := certified(t, serve(t, plainly), 48*time.Hour)
	r := examine(t, address, func(o *Options) { o.URL = "https://" + address })
	if r.Exit() != ExitUnexamined || !slices.Equal(r.names(Problem), []string{"tls-untrusted"}) || !strings.Contains(r.text("tls-untrusted"), "--ca") {
		t.Errorf("an unknown authority: %+v", r.Findings)
	}
	r = examine(t, address, func(o *Options) { o.URL, o.Roots = "https://"+address, roots })
	if got := r.names(Warning); r.Exit() != ExitWell || !slices.Equal(got, []string{"tls-expires", "http-version"}) {
		t.Errorf("two days left, HTTP/1.1: %q", got)
	}
}

func TestAnAddressWithoutAGatewayIsSaid(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	if r := examine(t, closed.Addr().String(), nil); r.Exit() != ExitUnexamined || r.text("unreachable") == "" {
		t.Errorf("nobody listens: %+v", r.Findings)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer other.Close()
	if r := examine(t, other.Listener.Addr().String(), nil); r.Exit() != ExitUnexamined || !strings.Contains(r.text("path"), "no gateway") {
		t.Errorf("somebody else: %+v", r.Findings)
	}
	for _, text := range []string{"app.example.com", "ftp://app.example.com", "https://", "http://a b"} {
		if _, err := Examine(t.Context(), Options{URL: text, Channel: "a", Watch: time.Second}); err == nil {
			t.Errorf("%q is taken for a URL", text)
		}
	}
}
