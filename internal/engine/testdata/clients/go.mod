module clients

go 1.25

require (
	github.com/flawless-engine/flawless/sdk/go v0.0.0
	github.com/hashicorp/go-retryablehttp v0.7.8
	github.com/stripe/stripe-go/v82 v82.5.1
)

require github.com/hashicorp/go-cleanhttp v0.5.2 // indirect

replace github.com/flawless-engine/flawless/sdk/go => ../../../../sdk/go
