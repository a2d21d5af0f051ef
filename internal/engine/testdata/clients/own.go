package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/hashicorp/go-retryablehttp"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Own says which client is to call what.
type Own struct{ URL, Client string }

// own has clients that bring a transport of their own, as they do when nobody tells them otherwise. They call
// through the engine in a module that flawless build has built.
func own(ctx context.Context, in Own) (string, error) {
	switch in.Client {
	case "http.Transport":
		req, err := http.NewRequestWithContext(ctx, "GET", in.URL, nil)
		if err != nil {
			return "", err
		}
		return read((&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req))
	case "http.Get":
		return read(http.Get(in.URL))
	case "retryablehttp":
		c := retryablehttp.NewClient()
		c.Logger = nil
		return read(c.Get(in.URL))
	case "aws":
		c := sts.New(sts.Options{Region: "eu-central-1", BaseEndpoint: &in.URL,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "sesame"}, nil
			})})
		out, err := c.GetCallerIdentity(ctx, nil)
		if err != nil {
			return "", err
		}
		return "200 " + aws.ToString(out.Account), nil
	case "net.Dial":
		c, err := net.Dial("tcp", in.URL)
		if err != nil {
			return "", err
		}
		return "connected", c.Close()
	case "net.Listen":
		_, err := net.Listen("tcp", in.URL)
		return "listens", err
	case "net.ListenPacket":
		_, err := net.ListenPacket("udp", in.URL)
		return "listens", err
	case "exec.Command":
		return "done", exec.CommandContext(ctx, in.URL).Run()
	case "os.ReadFile":
		_, err := os.ReadFile(in.URL)
		return "read", err
	case "os.WriteFile":
		return "written", os.WriteFile(in.URL, nil, 0o600)
	case "os.Open":
		_, err := os.Open(in.URL)
		return "open", err
	case "time.LoadLocation":
		zone, err := time.LoadLocation(in.URL)
		if err != nil {
			return "", err
		}
		return time.Date(2026, 7, 1, 12, 0, 0, 0, zone).Format("15:04 MST -0700"), nil
	case "signal.Notify":
		c, stop := signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
		return "no signal", flawless.Sleep(c, time.Second)
	case "os.Args":
		return strings.Join(os.Args, " "), nil
	case "os.Pipe":
		_, _, err := os.Pipe()
		return "open", err
	}
	return "", fmt.Errorf("no client %q", in.Client)
}

func read(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, b), err
}
