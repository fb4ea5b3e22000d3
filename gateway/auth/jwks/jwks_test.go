package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"carillon/gateway/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type object = map[string]any

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

type signer struct {
	alg     auth.Alg
	private any
	jwk     object
}

func newSigner(t testing.TB, kid string, alg auth.Alg) signer {
	t.Helper()
	s := signer{alg: alg, jwk: object{"kid": kid, "use": "sig", "alg": alg}}
	switch alg {
	case auth.EdDSA:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s.private, s.jwk["kty"], s.jwk["crv"], s.jwk["x"] = private, "OKP", "Ed25519", b64(public)
	case auth.ES256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		s.private, s.jwk["kty"], s.jwk["crv"], s.jwk["x"], s.jwk["y"] = private, "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case auth.RS256:
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		s.private, s.jwk["kty"], s.jwk["n"], s.jwk["e"] = private, "RSA", b64(private.N.Bytes()), b64(big.NewInt(int64(private.E)).Bytes())
	}
	return s
}

func (s signer) token(t testing.TB, header object) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.GetSigningMethod(string(s.alg)), jwt.MapClaims{
		"iss": "idp", "aud": "here", "sub": "ann", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	tok.Header["kid"] = s.jwk["kid"]
	for k, v := range header {
		tok.Header[k] = v
	}
	text, err := tok.SignedString(s.private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func setOf(keys ...object) string {
	b, _ := json.Marshal(object{"keys": keys})
	return string(b)
}

// provider is a key server whose answer can be changed; it counts what it is asked.
type provider struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Value // http.HandlerFunc
}

func newProvider(t testing.TB, body string) *provider {
	p := &provider{}
	p.say(body)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		p.answer.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(p.Server.Close)
	return p
}

func (p *provider) say(body string) {
	p.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
}

func (p *provider) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.Certificate())
	return pool
}

func follow(t testing.TB, o Options, url string) (*Follower, *auth.Keys, error) {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	issuers := []auth.Issuer{{Name: "idp", Audience: "here", JWKS: url}}
	keys, err := auth.New(issuers, auth.Options{Unknown: f.Hint})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Follow(keys, issuers); err != nil {
		return f, keys, err
	}
	return f, keys, f.Wait(t.Context())
}

// TestJWKS verifies tokens of every algorithm by keys from a real https server.
func TestJWKS(t *testing.T) {
	ed, es, rs := newSigner(t, "ed", auth.EdDSA), newSigner(t, "es", auth.ES256), newSigner(t, "rs", auth.RS256)
	delete(rs.jwk, "alg") // the kind of a key alone decides
	p := newProvider(t, setOf(ed.jwk, es.jwk, rs.jwk, object{"kty": "oct", "kid": "o", "k": b64(make([]byte, 32))}))
	f, keys, err := follow(t, Options{AllowPrivate: true, Roots: p.roots()}, p.URL+"/keys")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []signer{ed, es, rs} {
		id, err := keys.Verify(s.token(t, nil))
		if err != nil || id.User != "ann" || id.Issuer != "idp" || !keys.Holds(id) {
			t.Errorf("%s: %v", s.alg, err)
		}
	}
	if s := f.States(); len(s) != 1 || s[0].Keys != 3 || s[0].Skipped != 1 || s[0].Problem != "" || s[0].Fetches != 1 {
		t.Errorf("%+v", s)
	}
}

// TestA03: only the configured address is ever asked, whatever a token says and wherever it points.
func TestA03OnlyFixedURLs(t *testing.T) {
	ed := newSigner(t, "ed", auth.EdDSA)
	evil := newSigner(t, "evil", auth.EdDSA)
	trap := newProvider(t, setOf(evil.jwk))
	p := newProvider(t, setOf(ed.jwk))
	_, keys, err := follow(t, Options{AllowPrivate: true, Roots: p.roots()}, p.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []object{{"jku": trap.URL}, {"x5u": trap.URL}, {"jwk": evil.jwk}, {"kid": trap.URL}, {"kid": "../" + trap.URL}} {
		if _, err := keys.Verify(evil.token(t, header)); !errors.Is(err, auth.ErrToken) {
			t.Errorf("%v: %v", header, err)
		}
	}
	if trap.asked.Load() != 0 {
		t.Error("the address in a token was asked")
	}

	p.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap.URL, http.StatusFound) }))
	for name, c := range map[string]struct {
		o    Options
		url  string
		says string
	}{
		"redirect":     {Options{AllowPrivate: true, Roots: p.roots()}, p.URL, "redirects"},
		"unknown root": {Options{AllowPrivate: true}, p.URL, "certificate"},
	} {
		f, _, err := follow(t, c.o, c.url)
		if err != nil {
			t.Fatal(name, err)
		}
		if s := f.States(); !strings.Contains(s[0].Problem, c.says) || s[0].Keys != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if trap.asked.Load() != 0 {
		t.Error("a redirect was followed")
	}
	for _, url := range []string{
		"http://id.example/keys", "https://127.0.0.1/k", "https://localhost/k", "https://a.localhost./k", "https://[::1]/k", "https://10.0.0.1/k", "https://192.168.1.1/k",
		"https://169.254.169.254/latest", "https://[fe80::1]/k", "https://[::ffff:127.0.0.1]/k", "https://0.0.0.0/k", "https://100.64.0.1/k", "https://user:pw@id.example/k",
		"https:///k", "file:///etc/passwd", "ftp://id.example", "https://id.example/k#x", "%", "https://[64:ff9b::7f00:1]/k", "https://id.example/" + strings.Repeat("k", maxURL),
	} {
		f, _, err := follow(t, Options{}, url)
		if err == nil || len(f.States()) != 0 {
			t.Errorf("%s was taken", url)
		}
	}
	for _, url := range []string{"https://169.254.169.254/latest", "https://[fe80::1]/k", "https://0.0.0.0/k"} {
		if _, _, err := follow(t, Options{AllowPrivate: true, AllowHTTP: true}, url); err == nil {
			t.Errorf("%s was taken", url)
		}
	}
}

// TestA03Guard judges the address that is dialled, whatever name led to it.
func TestA03Guard(t *testing.T) {
	for address, want := range map[string][2]bool{ // in general, with AllowPrivate
		"8.8.8.8:443": {true, true}, "[2606:4700::1111]:443": {true, true}, "10.1.2.3:443": {false, true}, "127.0.0.1:443": {false, true},
		"[::1]:443": {false, true}, "[::ffff:10.0.0.1]:443": {false, true}, "[fd00::1]:443": {false, true}, "169.254.169.254:80": {false, false},
		"[fe80::1%lo]:443": {false, false}, "0.0.0.0:443": {false, false}, "224.0.0.1:443": {false, false}, "255.255.255.255:443": {false, false},
		"100.100.100.200:80": {false, false}, "[64:ff9b::a00:1]:443": {false, false}, "[2002:a00:1::]:443": {false, false}, "x": {false, false},
	} {
		for i, private := range []bool{false, true} {
			if got := guard(private)("tcp", address, nil) == nil; got != want[i] {
				t.Errorf("%s with private %v: %v", address, private, got)
			}
		}
	}
	p := newProvider(t, "")
	if _, _, err := fetch(t.Context(), newClient(Options{Roots: p.roots()}), p.URL); !errors.Is(err, errAddress) || p.asked.Load() != 0 {
		t.Errorf("a client went to loopback: %v", err)
	}
}

// TestAnswers: whatever is no good set of keys leaves those from before.
func TestAnswers(t *testing.T) {
	ed, twin := newSigner(t, "ed", auth.EdDSA), newSigner(t, "ed", auth.ES256)
	var many []object
	for range auth.MaxKeys + 1 {
		many = append(many, ed.jwk)
	}
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "<html>", "no keys": "{}", "null": `{"keys":null}`, "empty": setOf(), "two of one id": setOf(ed.jwk, twin.jwk), "many": setOf(many...),
		"too long": setOf(ed.jwk) + strings.Repeat(" ", MaxBody),
	} {
		p := newProvider(t, body)
		keys, _, err := fetch(t.Context(), newClient(Options{AllowPrivate: true, Roots: p.roots()}), p.URL)
		if err == nil || len(keys) != 0 {
			t.Errorf("%s: %v", name, keys)
		}
	}
	p := newProvider(t, "")
	p.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if _, _, err := fetch(t.Context(), newClient(Options{AllowPrivate: true, Roots: p.roots()}), p.URL); err == nil || !strings.Contains(err.Error(), "418") {
		t.Error(err)
	}
	with := func(name string, v any) object {
		m := object{}
		for k, v := range ed.jwk {
			m[k] = v
		}
		m[name] = v
		return m
	}
	for _, bad := range []object{
		with("kid", ""), with("use", "enc"), with("alg", "HS256"), with("alg", "RS256"), with("crv", "X25519"), with("x", "AAAA"), with("x", b64(make([]byte, 32))),
		with("kty", "RSA"), with("key_ops", []string{"encrypt"}), with("kid", 7), with("kid", "a b"), with("kty", "oct"),
	} {
		if keys, skipped, err := parse([]byte(setOf(bad, ed.jwk))); err == nil && (len(keys) != 1 || skipped != 1) {
			t.Errorf("%v: %v", bad, keys)
		}
		if _, _, err := parse([]byte(setOf(bad))); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	if keys, _, err := parse([]byte(setOf(with("alg", "Ed25519")))); err != nil || keys[0].Alg() != auth.EdDSA {
		t.Error(err)
	}
}

// canned answers without a network, so that time can be synthetic.
type canned struct {
	asked atomic.Int64
	body  atomic.Value // string; empty: the line is down
	hang  atomic.Bool
	ended atomic.Bool // the request that hung
}

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	c.asked.Add(1)
	if c.hang.Load() {
		<-r.Context().Done()
		<-time.After(time.Second) // a transport that is slow to notice
		c.ended.Store(true)
		return nil, r.Context().Err()
	}
	body := c.body.Load().(string)
	if body == "" {
		return nil, errors.New("the line is down")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestF32JWKSRotation: an unknown kid hurries a fetch along, but a flood of them does not; a key that is gone is
// refused; keys outlive a provider that is down, but not for ever.
func TestF32JWKSRotation(t *testing.T) {
	old, next := newSigner(t, "old", auth.EdDSA), newSigner(t, "next", auth.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		c := &canned{}
		c.body.Store(setOf(old.jwk))
		f, err := New(Options{Transport: c, Stale: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		issuers := []auth.Issuer{{Name: "idp", Audience: "here", JWKS: "https://id.example/keys"}}
		keys, err := auth.New(issuers, auth.Options{Unknown: f.Hint})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Follow(keys, issuers); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ann, err := keys.Verify(old.token(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		c.body.Store(setOf(next.jwk))
		asked := c.asked.Load()
		if _, err := keys.Verify(next.token(t, nil)); !errors.Is(err, auth.ErrRetry) {
			t.Errorf("nobody asks for the new key: %v", err)
		}
		synctest.Wait()
		if _, err := keys.Verify(next.token(t, nil)); err != nil {
			t.Errorf("the new key: %v", err)
		}
		if _, err := keys.Verify(old.token(t, nil)); err == nil || errors.Is(err, auth.ErrRetry) || keys.Holds(ann) {
			t.Errorf("the old key: %v", err)
		}
		madeUp := old.token(t, object{"kid": "made-up"})
		for range 600 { // a minute of them
			for range 10 {
				_, _ = keys.Verify(madeUp)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := c.asked.Load() - asked; n > 1+7 {
			t.Errorf("%d fetches within a minute of made-up ids", n)
		}

		c.body.Store("")
		time.Sleep(50 * time.Minute)
		if _, err := keys.Verify(next.token(t, nil)); err != nil {
			t.Errorf("the provider is down for less than the keys are good: %v", err)
		}
		time.Sleep(30 * time.Minute)
		if _, err := keys.Verify(next.token(t, nil)); err == nil {
			t.Error("keys that nobody confirmed for longer than they are good")
		}
		if s := f.States()[0]; s.Keys != 0 || !strings.Contains(s.Problem, "too old") && !strings.Contains(s.Problem, "down") || s.Failures == 0 {
			t.Errorf("%+v", s)
		}
		c.body.Store(setOf(next.jwk))
		time.Sleep(11 * time.Minute)
		if _, err := keys.Verify(next.token(t, nil)); err != nil {
			t.Errorf("the provider is back: %v", err)
		}
		if err := f.Follow(keys, nil); err != nil {
			t.Fatal(err)
		}
		asked = c.asked.Load()
		time.Sleep(time.Hour)
		if c.asked.Load() != asked || f.Hint("idp") {
			t.Error("an issuer that is gone is asked for keys")
		}
	})
}

// TestClose waits for a fetch that hangs, and nothing starts afterwards.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &canned{}
		c.hang.Store(true)
		f, err := New(Options{Transport: c})
		if err != nil {
			t.Fatal(err)
		}
		issuers := []auth.Issuer{{Name: "idp", Audience: "here", JWKS: "https://id.example/keys"}}
		keys, _ := auth.New(issuers, auth.Options{})
		if err := f.Follow(keys, issuers); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		start := time.Now()
		f.Close()
		if !c.ended.Load() || time.Since(start) > 2*time.Second {
			t.Errorf("Close left a fetch behind, or waited for its answer: %v", time.Since(start))
		}
		if err := f.Follow(keys, issuers); err == nil {
			t.Error("follows after Close")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","kid":"b","x":"AA","y":"AA"}]}`))
	f.Add([]byte(`{"keys":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, _, err := parse(body)
		if (err == nil) != (len(keys) > 0) {
			t.Fatal(keys, err)
		}
		for _, k := range keys {
			if k.ID() == "" || k.Alg() == auth.HS256 || k.Signs() {
				t.Fatal(k)
			}
		}
	})
}
