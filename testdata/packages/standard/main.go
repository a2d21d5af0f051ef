// Standard uses packages of the standard library.
package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/csv"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"html/template"
	"image"
	"image/png"
	"io"
	"log"
	"log/slog"
	"math/big"
	randv2 "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	text "text/template"
	"time"
	"unicode/utf8"

	"packages/table"
)

func main() { table.Try(all) }

//go:embed main.go
var files embed.FS

type item struct {
	Name  string `json:"name" xml:"name"`
	Count int    `json:"count" xml:"count"`
}

var apples = item{"apples", 3}

var all = map[string]func(context.Context) error{
	"encoding/json": func(context.Context) error {
		b, err := json.Marshal(apples)
		return table.First(err, table.Check(string(b) == `{"name":"apples","count":3}`))
	},
	"encoding/xml": func(context.Context) error {
		b, err := xml.Marshal(apples)
		return table.First(err, table.Check(string(b) == "<item><name>apples</name><count>3</count></item>"))
	},
	"encoding/csv": func(context.Context) error {
		rows, err := csv.NewReader(strings.NewReader("apples,3\n")).ReadAll()
		return table.First(err, table.Check(len(rows) == 1 && rows[0][1] == "3"))
	},
	"encoding/gob": func(context.Context) error {
		var b bytes.Buffer
		var got item
		return table.First(gob.NewEncoder(&b).Encode(apples), gob.NewDecoder(&b).Decode(&got), table.Check(got == apples))
	},
	"text/template": func(context.Context) error {
		var b strings.Builder
		err := text.Must(text.New("").Parse("{{.Count}} {{.Name}}")).Execute(&b, apples)
		return table.First(err, table.Check(b.String() == "3 apples"))
	},
	"html/template": func(context.Context) error {
		var b strings.Builder
		err := template.Must(template.New("").Parse("<p>{{.}}")).Execute(&b, "<b>")
		return table.First(err, table.Check(b.String() == "<p>&lt;b&gt;"))
	},
	"regexp": func(context.Context) error {
		return table.Check(regexp.MustCompile(`(\d+)`).ReplaceAllString("3 apples", "<$1>") == "<3> apples")
	},
	"math/big": func(context.Context) error {
		return table.Check(new(big.Int).Exp(big.NewInt(2), big.NewInt(100), nil).String() == "1267650600228229401496703205376")
	},
	"math/rand/v2": func(context.Context) error { return table.Check(randv2.IntN(10) < 10) },
	"crypto/rand": func(context.Context) error {
		b := make([]byte, 32)
		n, err := rand.Read(b)
		return table.First(err, table.Check(n == 32))
	},
	"crypto/sha256": func(context.Context) error {
		h := hmac.New(sha256.New, []byte("key"))
		h.Write([]byte("apples"))
		return table.Check(len(h.Sum(nil)) == 32)
	},
	"crypto/aes": func(context.Context) error {
		block, err := aes.NewCipher(make([]byte, 32))
		if err != nil {
			return err
		}
		seal, err := cipher.NewGCM(block)
		if err != nil {
			return err
		}
		nonce := make([]byte, seal.NonceSize())
		opened, err := seal.Open(nil, nonce, seal.Seal(nil, nonce, []byte("apples"), nil), nil)
		return table.First(err, table.Check(string(opened) == "apples"))
	},
	"crypto/ed25519": func(context.Context) error {
		public, private, err := ed25519.GenerateKey(nil)
		return table.First(err, table.Check(ed25519.Verify(public, []byte("apples"), ed25519.Sign(private, []byte("apples")))))
	},
	"crypto/ecdsa": func(context.Context) error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		sum := sha256.Sum256([]byte("apples"))
		signed, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		return table.First(err, table.Check(ecdsa.VerifyASN1(&key.PublicKey, sum[:], signed)))
	},
	"crypto/x509": func(context.Context) error {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		got, err := x509.ParsePKCS8PrivateKey(der)
		return table.First(err, table.Check(key.Equal(got)))
	},
	"compress/gzip": func(context.Context) error {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write([]byte("apples"))
		if err = table.First(err, w.Close()); err != nil {
			return err
		}
		r, err := gzip.NewReader(&b)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		return table.First(err, table.Check(string(got) == "apples"))
	},
	"archive/zip": func(context.Context) error {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		_, err := w.Create("apples")
		if err = table.First(err, w.Close()); err != nil {
			return err
		}
		r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		return table.First(err, table.Check(len(r.File) == 1))
	},
	"image/png": func(context.Context) error {
		var b bytes.Buffer
		err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 9, 9)))
		if err != nil {
			return err
		}
		got, err := png.Decode(&b)
		return table.First(err, table.Check(got.Bounds().Dx() == 9))
	},
	"time": func(context.Context) error {
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			return err
		}
		before := time.Now()
		time.Sleep(time.Hour)
		return table.Check(time.Since(before) >= time.Hour && time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC).In(berlin).Hour() == 14)
	},
	"sync": func(context.Context) error {
		var wait sync.WaitGroup
		var lock sync.Mutex
		n := 0
		for range 10 {
			wait.Go(func() { lock.Lock(); n++; lock.Unlock() })
		}
		wait.Wait()
		return table.Check(n == 10)
	},
	"embed": func(context.Context) error {
		b, err := files.ReadFile("main.go")
		return table.First(err, table.Check(utf8.Valid(b) && len(b) > 100))
	},
	"log/slog": func(context.Context) error { slog.Info("counted", "item", apples.Name); return nil },
	"log":      func(context.Context) error { log.Print("counted"); return nil },
	"reflect":  func(context.Context) error { return table.Check(reflect.DeepEqual(apples, item{"apples", 3})) },
	"net/http": func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://echo.example/", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return table.First(resp.Body.Close(), table.Check(resp.StatusCode == 200))
	},
	"net/http/httptest": func(context.Context) error {
		w := httptest.NewRecorder()
		http.NotFoundHandler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		return table.Check(w.Code == 404)
	},
	"runtime/debug": func(context.Context) error { return table.Check(len(debug.Stack()) > 0) },
	"os":            func(context.Context) error { return table.Check(len(os.Args) == 1 && os.Getenv("HOME") == "") },
}
