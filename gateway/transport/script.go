package transport

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"
)

// Script is the handler of GET /client.js: one file, which changes with the
// gateway's version only. Pages ask again after some minutes, and as a rule get
// 304.
type Script struct {
	plain, packed []byte
	tag           string
}

// NewScript packs a file, once for all who ask.
func NewScript(plain []byte) (*Script, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compressing the browser client: %w", err)
	}
	sum := sha256.Sum256(plain)
	return &Script{plain, packed.Bytes(), base64.RawURLEncoding.EncodeToString(sum[:12])}, nil
}

// ServeHTTP answers with the file, or a part of it, or that it has not changed.
func (s *Script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=300")
	h.Add("Vary", "Accept-Encoding")
	body, tag := s.plain, s.tag
	if takesGzip(r.Header) {
		body, tag = s.packed, s.tag+".gz"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
