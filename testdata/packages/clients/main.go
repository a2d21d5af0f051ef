// Clients uses clients of services. docs/guide/libraries.md shows parts of it.
package main

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/go-resty/resty/v2"
	"github.com/google/go-github/v74/github"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/machinebox/graphql"
	"github.com/openai/openai-go"
	"github.com/openai/openai-go/option"
	"github.com/slack-go/slack"
	"github.com/stripe/stripe-go/v82"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	flawless "github.com/flawless-engine/flawless/sdk/go"
	"github.com/flawless-engine/flawless/sdk/go/nethttp"
	"packages/stock"
	"packages/table"
)

func main() { table.Try(all) }

var all = map[string]func(context.Context) error{
	"github.com/stripe/stripe-go/v82": func(ctx context.Context) error {
		id, err := pay(ctx)
		return table.First(err, table.Check(id == "pi_1"))
	},
	"github.com/slack-go/slack":    announce,
	"github.com/aws/aws-sdk-go-v2": enqueue,
	"github.com/google/go-github/v74": func(ctx context.Context) error {
		url, err := file(ctx)
		return table.First(err, table.Check(url == "https://github.com/ann/shop/issues/1"))
	},
	"github.com/oapi-codegen/runtime": func(ctx context.Context) error {
		n, err := reserve(ctx)
		return table.First(err, table.Check(n == 3))
	},
	"github.com/hashicorp/go-retryablehttp": notify,
	"github.com/openai/openai-go": func(ctx context.Context) error {
		c := openai.NewClient(option.WithAPIKey(flawless.Secret("OPENAI_KEY")))
		got, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: openai.ChatModelGPT4o,
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("How many apples?")}})
		if err != nil {
			return err
		}
		return table.Check(len(got.Choices) == 1 && got.Choices[0].Message.Content == "three")
	},
	"github.com/go-resty/resty/v2": func(ctx context.Context) error {
		resp, err := resty.New().R().SetContext(ctx).Get("http://echo.example/")
		return table.First(err, table.Check(resp.StatusCode() == 200))
	},
	"github.com/machinebox/graphql": func(ctx context.Context) error {
		var got struct{ Apples int }
		return table.First(graphql.NewClient("http://graphql.example/").Run(ctx, graphql.NewRequest("{apples}"), &got), table.Check(got.Apples == 3))
	},
	"golang.org/x/oauth2": func(ctx context.Context) error {
		ctx = context.WithValue(ctx, oauth2.HTTPClient, nethttp.Client())
		c := clientcredentials.Config{ClientID: "shop", ClientSecret: flawless.Secret("OAUTH_SECRET"), TokenURL: "http://oauth.example/token"}
		token, err := c.Token(ctx)
		return table.First(err, table.Check(token.AccessToken == "t1"))
	},
}

// pay charges a customer.
func pay(ctx context.Context) (string, error) {
	ctx = flawless.With(ctx, flawless.Idempotent(flawless.Within(24*time.Hour)))
	intent, err := stripe.NewClient(flawless.Secret("STRIPE_KEY")).V1PaymentIntents.Create(ctx, &stripe.PaymentIntentCreateParams{
		Amount:   stripe.Int64(995),
		Currency: stripe.String("eur"),
	})
	if err != nil {
		return "", err
	}
	return intent.ID, nil
}

// announce posts a message.
func announce(ctx context.Context) error {
	ctx = flawless.With(ctx, flawless.Idempotent()) // better twice than a run that waits for a person
	_, _, err := slack.New(flawless.Secret("SLACK_TOKEN")).PostMessageContext(ctx, "#orders", slack.MsgOptionText("Order 4711 is paid.", false))
	return err
}

// enqueue sends a message to a queue. A FIFO queue takes a message in once per deduplication id.
func enqueue(ctx context.Context) error {
	ctx = flawless.With(ctx, flawless.Idempotent(flawless.Within(5*time.Minute)), flawless.RetryFor(10*time.Minute))
	client := sqs.New(sqs.Options{
		Region:      "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "sesame", ""),
		Retryer:     aws.NopRetryer{}, // the engine retries
	})
	_, err := client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl:               aws.String("https://sqs.eu-central-1.amazonaws.com/4711/orders.fifo"),
		MessageBody:            aws.String("paid"),
		MessageGroupId:         aws.String("orders"),
		MessageDeduplicationId: aws.String("4711"),
	})
	return err
}

// file opens an issue.
func file(ctx context.Context) (string, error) {
	client := github.NewClient(nil).WithAuthToken(flawless.Secret("GITHUB_TOKEN"))
	issue, _, err := client.Issues.Create(ctx, "ann", "shop", &github.IssueRequest{Title: github.Ptr("Order 4711 failed")})
	if err != nil {
		return "", err
	}
	return issue.GetHTMLURL(), nil
}

// reserve calls a client that oapi-codegen has generated.
func reserve(ctx context.Context) (int, error) {
	client, err := stock.NewClientWithResponses("https://stock.example")
	if err != nil {
		return 0, err
	}
	got, err := client.ReserveWithResponse(ctx, stock.Item{Id: "apples", Count: 3})
	if err != nil {
		return 0, err
	}
	return got.JSON201.Count, nil
}

// notify has a client that retries by itself. The engine does so already: RetryMax is 0.
func notify(ctx context.Context) error {
	client := retryablehttp.NewClient()
	client.RetryMax, client.Logger = 0, nil
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPut, "https://crm.example/orders/4711", bytes.NewReader([]byte(`{"paid":true}`)))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
