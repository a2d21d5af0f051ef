package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// outside is how a server reaches what runs call.
type outside struct {
	proxy  string
	direct string
	trust  []string
}

func (o *outside) flags(f *pflag.FlagSet) {
	f.StringVar(&o.proxy, "proxy", "", "HTTP proxy for outgoing calls, such as http://proxy.example:3128; env uses HTTPS_PROXY, HTTP_PROXY and NO_PROXY")
	f.StringVar(&o.direct, "no-proxy", "", "hosts to reach without the proxy, separated by commas (domains, addresses, CIDR ranges); needs --proxy")
	f.StringArrayVar(&o.trust, "ca", nil, "file with additional certificate authorities (PEM) to trust for calls (repeatable)")
}

// options returns what the flags say, or an error of code invalid.
func (o *outside) options() (effect.ClientOptions, error) {
	proxy, err := o.through()
	if err != nil {
		return effect.ClientOptions{}, err
	}
	cfg, err := o.trusted()
	return effect.ClientOptions{Proxy: proxy, TLS: cfg}, err
}

func (o *outside) through() (effect.Proxy, error) {
	p := effect.Proxy{URL: o.proxy, PlainURL: o.proxy, Except: o.direct}
	switch {
	case o.proxy == "env":
		p = effect.ProxyFromEnvironment()
		if p.None() {
			return p, fmt.Errorf("--proxy env needs HTTPS_PROXY or HTTP_PROXY, and neither is set: %w", flawless.Invalid)
		}
		if o.direct != "" {
			p.Except = o.direct
		}
	case o.proxy == "" && o.direct != "":
		return p, fmt.Errorf("--no-proxy needs --proxy: %w", flawless.Invalid)
	}
	return p, p.Check()
}

// forgotten tells whether the environment names a proxy and no flag says to use it.
func (o *outside) forgotten() bool { return o.proxy == "" && !effect.ProxyFromEnvironment().None() }

// trusted returns the machine's certificate authorities and those of the files; nil is the machine's alone.
func (o *outside) trusted() (*tls.Config, error) {
	if len(o.trust) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the machine's certificate authorities: %w", err)
	}
	for _, name := range o.trust {
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
