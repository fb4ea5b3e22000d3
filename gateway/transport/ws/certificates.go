package ws

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Certificates hold the certificate a TLS listener shows, and can exchange it while the listener runs: give
// GetCertificate to its tls.Config. The zero value is ready to be loaded.
type Certificates struct {
	pair atomic.Pointer[tls.Certificate]
}

// Load reads a certificate chain and its key, both PEM, and shows them from the next handshake on; open connections do
// not notice. If the files cannot be read or do not fit each other, what was loaded before stays.
func (c *Certificates) Load(certFile, keyFile string) error {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("loading the certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	c.pair.Store(&pair)
	return nil
}

var errNoCertificate = errors.New("no certificate is loaded")

// GetCertificate is for tls.Config.
func (c *Certificates) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := c.pair.Load(); pair != nil {
		return pair, nil
	}
	return nil, errNoCertificate
}

// Expires tells when the certificate shown ends to be valid; the zero time if none is loaded.
func (c *Certificates) Expires() time.Time {
	pair := c.pair.Load()
	if pair == nil || pair.Leaf == nil {
		return time.Time{}
	}
	return pair.Leaf.NotAfter
}
