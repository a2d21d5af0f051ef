package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Key is the key pair of a node. It is made at each start and never leaves the memory of the process.
type Key struct {
	cert        tls.Certificate
	fingerprint string
}

// NewKey makes a key pair with a certificate.
func NewKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// Nobody looks at the times: what counts is whether the node lives.
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "flawless"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &private.PublicKey, private)
	if err != nil {
		return nil, err
	}
	return &Key{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, fingerprint(der)}, nil
}

// Fingerprint returns what the row of the node says of the key, see flawless.Node.
func (k *Key) Fingerprint() string { return k.fingerprint }

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// config returns the settings of both sides of a connection. trusts decides about the fingerprint of the other side.
func (k *Key) config(trusts func(fingerprint string) error) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{k.cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		InsecureSkipVerify: true, // there is no authority that signs certificates: VerifyConnection decides
		ClientAuth:         tls.RequireAnyClientCert, SessionTicketsDisabled: true,
		VerifyConnection: func(c tls.ConnectionState) error {
			if len(c.PeerCertificates) == 0 {
				return errors.New("the other side has no certificate")
			}
			if err := trusts(fingerprint(c.PeerCertificates[0].Raw)); err != nil {
				return fmt.Errorf("refusing the certificate of the other side: %w", err)
			}
			return nil
		},
	}
}
