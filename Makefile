# make demo   watch a card being charged once while the server is killed
# make demo-cluster  watch three nodes on one PostgreSQL being killed for a minute, and every card being charged once
# make demo-console  fills a server with runs in every state, and prints the address of its console
# make screenshots  takes the pictures of the console in docs/images. ONLY=run,inbox takes these only
# make test   all tests; SHORT=1 crashes engines at fewer points
# make check  format, vet, staticcheck, the table of imports, and tests under the race detector
# make bench  the figures of docs/internals/performance.md, measured here. SECTIONS=http,freeze measures these only,
#             BENCH='-quick' or BENCH='-most 10000' less of them, BENCH=-draw only writes and draws again
# make api    the HTTP API against its description: random requests, and generated clients in TypeScript and
#             Python (needs Python 3.11 and Node.js 18, and installs the rest into bin/api)
# make chaos  attacks three nodes on one PostgreSQL for four minutes, again behind PgBouncer, and again with each node in a
#             network namespace (as root), and checks that every promise held. CHAOS=1h is longer
# make packages  builds and runs the packages of docs/guide/libraries.md in workflows (some minutes the first time)
# make arm64  runs on an emulated ARM processor: their memory is that of runs here (needs qemu-user-static)
# make release VERSION=1.2.0  archives, packages, an image and a formula of a version, in dist
# make try-release  makes them of the version that is next, and installs, starts and compares them
# make nightly  what is too long for every change: fuzz targets, many crashes, everything under the race detector,
#             known vulnerabilities. STEPS='fuzz race' runs these only, FUZZTIME=10m fuzzes longer
# make setup  gets what all of these need, as far as it may; each target does so for itself
# make docs   the documentation as a site with search, in bin/docs
# make reference  writes docs/reference and the types of client/ts from the commands and the API; tests fail while they are
#             not current
# make build  the command, bin/flawless

GO ?= go
# Any Go from 1.21 on fetches the version that go.mod names.
export GOTOOLCHAIN ?= auto
# Tests build guests with the go command, which the test cache does not see: always run them.
TEST = $(GO) test -count=1 -timeout 20m$(if $(SHORT), -short)
# Modules beside the product's, so that the product does not require what only they need.
MODULES = sdk/go bench tools tools/console docs/site
# Programs for working on this repository, with the versions of tools/go.mod.
TOOL = $(GO) tool -modfile=$(CURDIR)/tools/go.mod
GUESTS = examples/hello examples/checkout examples/crawl examples/reminder examples/travel examples/wizard/booking demo/console/shop internal/web/testdata/guest

.PHONY: build setup demo demo-cluster demo-console screenshots test check api chaos packages bench docs reference release try-release nightly arm64 fmt vet platforms lint race rust crates

build:
	$(GO) build -trimpath -o bin/flawless ./cmd/flawless

# The settings are for what lies beside the usual path, and for tests that are left out.
SETUP = @settings=$$(tools/setup/setup.sh $@) && eval "$$settings" &&

setup:
	@tools/setup/setup.sh all

demo:
	$(SETUP) $(GO) run ./demo

demo-cluster:
	$(SETUP) $(GO) run ./demo/cluster

demo-console:
	$(SETUP) $(GO) run ./demo/console

screenshots:
	$(SETUP) $(GO) build -C tools -o $(CURDIR)/bin/screens ./screens && bin/screens $(if $(ONLY),-only $(ONLY))

test:
	$(SETUP) $(TEST) ./... && for d in $(MODULES); do (cd $$d && $(TEST) ./...) || exit 1; done

check:
	$(SETUP) $(MAKE) --no-print-directory fmt vet platforms lint race rust

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not formatted:"; echo "$$out"; exit 1; }

vet:
	$(GO) vet ./...
	$(GO) mod tidy -diff
	@for d in $(MODULES); do (cd $$d && $(GO) vet ./... && $(GO) mod tidy -diff) || exit 1; done
	cd sdk/go && GOOS=wasip1 GOARCH=wasm $(GO) vet ./...
	@for d in $(GUESTS); do (cd $$d && GOOS=wasip1 GOARCH=wasm $(GO) vet ./...) || exit 1; done

# The systems that a release is built for: each is vetted once, and built for both processors. The flags are those of
# a release, which finds the rest in the cache.
platforms:
	@for p in linux/arm64 darwin/arm64 windows/amd64; do \
		echo "vetting for $$p"; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet -trimpath ./... || exit 1; \
	done
	@for p in linux/amd64 darwin/amd64 windows/arm64; do \
		echo "building for $$p"; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -o /dev/null ./cmd/flawless || exit 1; \
	done

lint:
	$(TOOL) staticcheck ./...
	cd bench && $(TOOL) staticcheck ./...
	cd tools && $(TOOL) staticcheck ./...
	cd docs/site && $(TOOL) staticcheck ./...
	$(TEST) ./internal/arch

# Compiling guests is many times slower under the race detector: what needs other guests than the
# engine's own, and what is long, runs without it in "make test".
SLOW = Rust|Published|Crate|Conform|Trace|Upgrade|Fork|Bundle|Diff|Inspect|Replay|Random|Overlaps|Schedule|TenThousand|Death|Deadlock|Copy|Steps|ATimeout|Body|Hostile|Stream|Image|OrdinaryGo|UnderAKey|Undo|CutLog|Diverging|WhenThereIsSpace|RunsAreRemoved|KeyLimitsRuns|RequestedVersion|SleepersWake|RetentionIsPer|UseUpConcurrency|Engines|Engine(Has|Is)|Servers|Everywhere|BetweenNodes|StopsWaiting|NobodyAsks|MovesAndCrashes|HasNoRuns|ConcurrencyCapHolds|RollingRestart|OutlivesItsRun|Minutes|LearnedLate|AfterRunEnded|CrashNever|SleepingRunLeaves|NodeWithoutDatabase|DamagedModule|FollowTheirTargets
# Of the rest, those in which several runs, servers or requests meet.
SHARED = Concurren|Load|TakeOver|Claim|Errand|Follow|Watch|Queue|Limit|Message|Cancel|Shard|Move|Close|Stop
# What the engine is made of, beside itself.
ROOMS = admit clock cluster core errand fork hub library lifecycle listen live peer policy ratelimit replay residency retention ring rpc schedule scrub statelock task upgrade value workdir
# Not the databases, which "make nightly" runs under the race detector: their own time is most of it.
STORES = codec damage key mem
race:
	$(TEST) -race -short -skip 'NoDamage|CrashAtFile' . ./client ./internal/effect ./internal/store $(STORES:%=./internal/store/%) $(ROOMS:%=./internal/%)
	$(TEST) -race -short -run '$(SHARED)' -skip '$(SLOW)' ./internal/engine

# Clippy and rustfmt come with rustup; where the compiler is Debian's, it checks alone.
rust:
	@case "$$FLAWLESS_TEST_WITHOUT" in *rust*) ;; *) $(MAKE) --no-print-directory crates ;; esac

# What is published as crates builds from the package alone; the client finds the SDK beside it.
BESIDE = --config 'patch.crates-io.flawless-sdk.path="../flawless-sdk"' --config 'patch.crates-io.flawless-sdk-macros.path="../flawless-sdk-macros"'
crates:
	@! command -v cargo-fmt >/dev/null || (cd sdk/rust && cargo fmt --check && cd guests && cargo fmt --check && cd ../client && cargo fmt --check)
	@lint="check --all-targets"; ! command -v cargo-clippy >/dev/null || lint="clippy --all-targets -- -D warnings"; \
	for d in sdk/rust sdk/rust/guests sdk/rust/client examples/hello-rust; do (cd $$d && cargo --quiet --locked $$lint) || exit 1; done
	cd sdk/rust && cargo test --quiet --locked --all-features
	cd sdk/rust/client && cargo test --quiet --locked
	cd sdk/rust && RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --all-features
	cd sdk/rust && cargo package --quiet --locked --allow-dirty --workspace
	cd sdk/rust/client && cargo package --quiet --allow-dirty $(BESIDE)

api: build
	$(SETUP) .ci/api/run

CHAOS = 4m
chaos:
	$(SETUP) run="$(GO) run ./chaos -for $(CHAOS) -keep bin/chaos" && $$run && \
	case " $$FLAWLESS_TEST_WITHOUT " in *" pgbouncer "*) echo "chaos: PgBouncer is left out" ;; *) $$run -pooler ;; esac && \
	case " $$FLAWLESS_TEST_WITHOUT " in *" namespaces "*) echo "chaos: no packets are dropped, which needs Linux, root, ip and iptables" ;; *) $$run -namespaces ;; esac

packages: build
	cd testdata/packages && FLAWLESS_BIN=$(CURDIR)/bin/flawless $(TEST) .

bench:
	cd bench && $(GO) build -o ../bin/bench .
	bin/bench $(if $(SECTIONS),-sections $(SECTIONS)) $(BENCH)

reference:
	$(GO) test -count=1 -run TestCommandReferenceIsCurrent ./cmd/flawless -write-reference
	$(GO) test -count=1 -run 'TestHTTPReferenceIsCurrent|TestTypeScriptTypesAreCurrent' ./internal/server -write-reference

docs: reference
	cd docs/site && $(GO) run . ../.. ../../bin/docs

nightly:
	FUZZTIME=$(FUZZTIME) KILLS=$(KILLS) tools/nightly/nightly.sh $(STEPS)

# What a release is made of, from the commit that is checked out.
release:
	@test -n "$(VERSION)" || { echo "name the version: make release VERSION=1.2.0"; exit 2; }
	cd tools && $(GO) build -o ../bin/release ./release
	bin/release -version $(VERSION)

# Makes the release that the SDKs name, and uses it.
try-release:
	cd tools && $(GO) build -o ../bin/release ./release
	bin/release -version $$(sed -n 's/^const Version = "\(.*\)"/\1/p' sdk/go/workflow.go) -out bin/try-release -try

arm64:
	$(TEST) -run TestAnotherProcessGivesTheSameBits -v ./internal/guest -processor arm64
