module github.com/flawless-engine/flawless/sdk/go

go 1.25
