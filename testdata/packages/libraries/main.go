// Libraries uses packages that compute.
package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/PuerkitoBio/goquery"
	"github.com/cenkalti/backoff/v5"
	"github.com/go-pdf/fpdf"
	"github.com/go-playground/validator/v10"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/samber/lo"
	"github.com/shopspring/decimal"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/viper"
	"github.com/tidwall/gjson"
	"github.com/yuin/goldmark"
	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/errgroup"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"gopkg.in/yaml.v3"

	"packages/table"
)

func main() { table.Try(all) }

type item struct {
	Name  string `yaml:"name" toml:"name" validate:"required"`
	Count int    `yaml:"count" toml:"count" validate:"gte=1"`
}

var apples = item{"apples", 3}

var all = map[string]func(context.Context) error{
	"github.com/google/uuid": func(context.Context) error {
		a, b := uuid.New(), uuid.Must(uuid.NewV7())
		return table.Check(a != b && a.Version() == 4 && b.Version() == 7)
	},
	"github.com/shopspring/decimal": func(context.Context) error {
		return table.Check(decimal.RequireFromString("0.1").Add(decimal.RequireFromString("0.2")).String() == "0.3")
	},
	"go.uber.org/zap": func(context.Context) error {
		l, err := zap.NewProduction()
		if err != nil {
			return err
		}
		l.Info("counted", zap.String("item", "apples"))
		return nil
	},
	"github.com/rs/zerolog": func(context.Context) error {
		var b bytes.Buffer
		l := zerolog.New(&b).With().Timestamp().Logger()
		l.Info().Str("item", "apples").Msg("counted")
		return table.Check(strings.Contains(b.String(), "apples"))
	},
	"github.com/sirupsen/logrus": func(context.Context) error { logrus.WithField("item", "apples").Info("counted"); return nil },
	"github.com/spf13/viper": func(context.Context) error {
		v := viper.New()
		v.SetConfigType("yaml")
		return table.First(v.ReadConfig(strings.NewReader("name: apples")), table.Check(v.GetString("name") == "apples"))
	},
	"github.com/spf13/cobra": func(context.Context) error {
		ran := false
		c := &cobra.Command{Use: "count", Run: func(*cobra.Command, []string) { ran = true }}
		c.SetArgs([]string{})
		return table.First(c.Execute(), table.Check(ran))
	},
	"github.com/go-playground/validator/v10": func(context.Context) error {
		v := validator.New()
		return table.First(v.Struct(apples), table.Check(v.Struct(item{}) != nil))
	},
	"google.golang.org/protobuf": func(context.Context) error {
		b, err := proto.Marshal(timestamppb.New(time.Unix(1e9, 0)))
		if err != nil {
			return err
		}
		var got timestamppb.Timestamp
		return table.First(proto.Unmarshal(b, &got), table.Check(got.Seconds == 1e9))
	},
	"github.com/go-pdf/fpdf": func(context.Context) error {
		var b bytes.Buffer
		pdf := fpdf.New("P", "mm", "A4", "")
		pdf.AddPage()
		pdf.SetFont("Helvetica", "", 12)
		pdf.Cell(40, 10, "apples")
		return table.First(pdf.Output(&b), table.Check(bytes.HasPrefix(b.Bytes(), []byte("%PDF"))))
	},
	"github.com/golang-jwt/jwt/v5": func(context.Context) error {
		s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "ann"}).SignedString([]byte("key"))
		if err != nil {
			return err
		}
		got, err := jwt.Parse(s, func(*jwt.Token) (any, error) { return []byte("key"), nil })
		return table.First(err, table.Check(got.Valid))
	},
	"gopkg.in/yaml.v3": func(context.Context) error {
		var got item
		return table.First(yaml.Unmarshal([]byte("name: apples\ncount: 3"), &got), table.Check(got == apples))
	},
	"github.com/BurntSushi/toml": func(context.Context) error {
		var got item
		return table.First(toml.Unmarshal([]byte("name = 'apples'\ncount = 3"), &got), table.Check(got == apples))
	},
	"golang.org/x/crypto": func(context.Context) error {
		hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
		return table.First(err, bcrypt.CompareHashAndPassword(hash, []byte("sesame")))
	},
	"golang.org/x/text": func(context.Context) error {
		return table.Check(message.NewPrinter(language.German).Sprint(12345) == "12.345")
	},
	"golang.org/x/sync": func(ctx context.Context) error {
		g, _ := errgroup.WithContext(ctx)
		for range 3 {
			g.Go(func() error { return nil })
		}
		return g.Wait()
	},
	"golang.org/x/time": func(ctx context.Context) error {
		l, began := rate.NewLimiter(rate.Every(time.Minute), 1), time.Now()
		return table.First(l.Wait(ctx), l.Wait(ctx), table.Check(time.Since(began) >= time.Minute))
	},
	"github.com/cenkalti/backoff/v5": func(ctx context.Context) error {
		tries := 0
		got, err := backoff.Retry(ctx, func() (int, error) {
			if tries++; tries < 3 {
				return 0, io.ErrUnexpectedEOF
			}
			return tries, nil
		})
		return table.First(err, table.Check(got == 3))
	},
	"github.com/samber/lo": func(context.Context) error {
		return table.Check(lo.Sum(lo.Map([]int{1, 2}, func(i, _ int) int { return 2 * i })) == 6)
	},
	"github.com/yuin/goldmark": func(context.Context) error {
		var b bytes.Buffer
		return table.First(goldmark.Convert([]byte("*apples*"), &b), table.Check(b.String() == "<p><em>apples</em></p>\n"))
	},
	"github.com/PuerkitoBio/goquery": func(context.Context) error {
		d, err := goquery.NewDocumentFromReader(strings.NewReader("<p class=a>apples</p>"))
		if err != nil {
			return err
		}
		return table.Check(d.Find("p.a").Text() == "apples")
	},
	"github.com/tidwall/gjson": func(context.Context) error { return table.Check(gjson.Get(`{"a":{"b":3}}`, "a.b").Int() == 3) },
}
