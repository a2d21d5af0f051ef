module github.com/flawless-engine/flawless/examples/wizard/booking

go 1.25

require github.com/flawless-engine/flawless/sdk/go v0.0.0

replace github.com/flawless-engine/flawless/sdk/go => ../../../sdk/go
