# make demo   watch a card being charged once while the server is killed
# make test   all tests
# make check  format, vet, staticcheck, the table of imports, and tests under the race detector
# make bench  the figures of docs/internals/performance.md, measured here. SECTIONS=http,freeze measures these only,
#             BENCH='-quick' or BENCH='-most 10000' less of them, BENCH=-draw only writes and draws again
# make api    the HTTP API against its description: random requests, and generated clients in TypeScript and
#             Python (needs Python 3.11 and Node.js 18, and installs the rest into bin/api)
# make packages  builds and runs the packages of docs/guide/libraries.md in workflows (some minutes the first time)
# make arm64  runs on an emulated ARM processor: their memory is that of runs here (needs qemu-user-static)
# make docs   the documentation as a site with search, in bin/docs; it needs no network but for Go modules
# make reference  writes docs/reference from the commands and the API; tests fail while it is not current
# make build  the command, bin/flawless

GO ?= go
# Tests build guests with the go command, which the test cache does not see: always run them.
TEST = $(GO) test -count=1 -timeout 20m
GUESTS = examples/hello examples/checkout examples/crawl examples/reminder examples/travel

.PHONY: build demo test check api packages bench docs reference arm64 fmt vet lint race rust

build:
	$(GO) build -trimpath -o bin/flawless ./cmd/flawless

demo:
	$(GO) run ./demo

test:
	$(TEST) ./...
	cd sdk/go && $(TEST) ./...

check: fmt vet lint race rust

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not formatted:"; echo "$$out"; exit 1; }

vet:
	$(GO) vet ./...
	cd sdk/go && $(GO) vet ./... && GOOS=wasip1 GOARCH=wasm $(GO) vet ./...
	@for d in $(GUESTS); do (cd $$d && GOOS=wasip1 GOARCH=wasm $(GO) vet ./...) || exit 1; done

lint:
	$(GO) tool staticcheck ./...
	$(TEST) ./internal/arch

# Compiling guests is many times slower under the race detector: what needs other guests than the
# engine's own, and what is long, runs without it in "make test".
SLOW = Rust|Published|Crate|Conform|Trace|Upgrade|Fork|Bundle|Diff|Inspect|Replay|Random|Overlaps|Schedule|TenThousand|Death|Deadlock|Copy|Steps|ATimeout|Body|Hostile|Stream|Image|OrdinaryGo|UnderAKey|Undo|CutLog|Steps
race:
	$(TEST) -race -short -skip 'NoDamage|CrashAtFile' . ./client ./internal/effect ./internal/store/...
	$(TEST) -race -short -skip '$(SLOW)' ./internal/engine

# Clippy and rustfmt come with rustup; where the compiler is Debian's, it checks alone.
rust:
	@! command -v cargo-fmt >/dev/null || (cd sdk/rust && cargo fmt --check && cd guests && cargo fmt --check && cd ../client && cargo fmt --check)
	@lint="check --all-targets"; ! command -v cargo-clippy >/dev/null || lint="clippy --all-targets -- -D warnings"; \
	for d in sdk/rust sdk/rust/guests sdk/rust/client examples/hello-rust; do (cd $$d && cargo --quiet --locked $$lint) || exit 1; done
	cd sdk/rust && cargo test --quiet --locked --all-features
	cd sdk/rust/client && cargo test --quiet --locked
	cd sdk/rust && RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --all-features

api: build
	.ci/api/run

packages: build
	cd testdata/packages && FLAWLESS=$(CURDIR)/bin/flawless $(TEST) .

bench:
	$(GO) run ./bench $(if $(SECTIONS),-sections $(SECTIONS)) $(BENCH)

reference:
	$(GO) test -count=1 -run TestCommandReferenceIsCurrent ./cmd/flawless -write-reference
	$(GO) test -count=1 -run TestHTTPReferenceIsCurrent ./internal/server -write-reference

docs: reference
	cd docs/site && $(GO) vet . && $(TEST) . && $(GO) run . ../.. ../../bin/docs

arm64:
	$(TEST) -run TestAnotherProcessGivesTheSameBits -v ./internal/guest -processor arm64
