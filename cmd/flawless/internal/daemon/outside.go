package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Outside configures the outgoing connections of a server.
type Outside struct {
	Proxy   string
	NoProxy string
	CA      []string
}

// options returns the options of the HTTP client, or [flawless.Invalid].
func (o *Outside) options() (effect.ClientOptions, error) {
	proxy, err := o.proxy()
	if err != nil {
		return effect.ClientOptions{}, err
	}
	cfg, err := o.tlsConfig()
	return effect.ClientOptions{Proxy: proxy, TLS: cfg}, err
}

// proxy returns the proxy.
func (o *Outside) proxy() (effect.Proxy, error) {
	p := effect.Proxy{URL: o.Proxy, PlainURL: o.Proxy, Except: o.NoProxy}
	switch {
	case o.Proxy == "env":
		p = effect.ProxyFromEnvironment()
		if p.None() {
			return p, fmt.Errorf("--proxy env needs HTTPS_PROXY or HTTP_PROXY, and neither is set: %w", flawless.Invalid)
		}
		if o.NoProxy != "" {
			p.Except = o.NoProxy
		}
	case o.Proxy == "" && o.NoProxy != "":
		return p, fmt.Errorf("--no-proxy needs --proxy: %w", flawless.Invalid)
	}
	return p, p.Check()
}

// ignoresEnvironment reports whether the environment names a proxy, but no flag uses it.
func (o *Outside) ignoresEnvironment() bool {
	return o.Proxy == "" && !effect.ProxyFromEnvironment().None()
}

// tlsConfig returns the certificate authorities of the machine and of the CA files; nil if there are no files.
func (o *Outside) tlsConfig() (*tls.Config, error) {
	if len(o.CA) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the machine's certificate authorities: %w", err)
	}
	for _, name := range o.CA {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--ca: %v: %w", err, flawless.Invalid)
		}
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("--ca %s contains no certificate; use PEM, which begins with -----BEGIN CERTIFICATE-----: %w", name, flawless.Invalid)
		}
	}
	return &tls.Config{RootCAs: pool}, nil
}
