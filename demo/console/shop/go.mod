module github.com/flawless-engine/flawless/demo/console/shop

go 1.25

require github.com/flawless-engine/flawless/sdk/go v0.0.0

replace github.com/flawless-engine/flawless/sdk/go => ../../../sdk/go
