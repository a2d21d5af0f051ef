//go:build !wasip1

package flawless

import "embed"

// Source holds the source files of this SDK without its tests: with it, a program can lay a copy of
// the SDK beside a workflow. It is not there in guests.
//
//go:embed absent.go key.go go.mod caller_other.go caller_wasip1.go child.go confirm.go doc.go error.go exchange_other.go exchange_wasip1.go field.go fresh.go gate.go guest_wasip1.go
//go:embed head.go header.go http.go idle_next_wasip1.go idle_wasip1.go json.go label.go log.go main_wasip1.s message.go option.go promise.go reader.go run.go saga.go
//go:embed schema.go secret.go site.go size.go source.go stack.go state.go stream.go wait_wasip1.go withdraw.go word.go word_other.go word_wasip1.go workflow.go zone_wasip1.go nethttp/hook_wasip1.go nethttp/nethttp.go flawlesstest/flawlesstest.go
var Source embed.FS
