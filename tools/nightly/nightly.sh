#!/bin/sh
# Runs what is too long for every change, step by step, and says at the end which failed. Any scheduler can call it.
#
#   tools/nightly/nightly.sh [vulnerabilities] [fuzz] [crash] [versions] [chaos] [race] [packages] [release]     all without arguments
#
# GOVULNDB is the database of vulnerabilities, if not that of Go (a folder is a URL that begins with file://).
# FUZZTIME is the time for each fuzz target (3m), KILLS how often the server is killed (300).
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
settings=$(tools/setup/setup.sh test) || exit 2
eval "$settings"
go=${GO:-go}
modules=". sdk/go bench tools"
test="$go test -count=1 -timeout 6h"

# Known vulnerabilities in code that the command calls. Without its database it knows nothing, and fails.
vulnerabilities() {
	database=${GOVULNDB:-https://vuln.go.dev}
	"$go" tool -modfile="$root/tools/go.mod" govulncheck -db "$database" ./cmd/flawless && return
	echo "nightly: a vulnerability was found, or $database could not be read (GOVULNDB names another copy of it)" >&2
	return 1
}

fuzz() {
	bad=
	for module in $modules; do
		(
			cd "$module" || exit 1
			bad=
			for file in $(git grep -l '^func Fuzz' -- '*_test.go'); do
				for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
					folder=$(dirname "$file")
					[ "$module" != . ] || case $folder/ in sdk/go/* | bench/* | tools/*) continue ;; esac
					echo "--- $module: $folder $target"
					$test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-3m}" "./$folder" || bad=yes
				done
			done
			[ -z "$bad" ]
		) || bad=yes
	done
	[ -z "$bad" ]
}

crash() {
	$test -run 'TestKill9' ./cmd/flawless -kills "${KILLS:-300}" &&
		$test -run 'TestCrashAtFileOperations' ./internal/store/pebble -crash-every 1 &&
		$test -run 'Crash|Death|PowerLoss' ./internal/...
}

# The store on every version of PostgreSQL that works, from npm.
versions() {
	bad=
	for version in 13 14 15 16 17 18; do
		echo "--- PostgreSQL $version"
		(
			settings=$(POSTGRES=$version tools/setup/setup.sh demo-cluster) || exit 1
			eval "$settings"
			$test ./internal/store/postgres
		) || bad=yes
	done
	[ -z "$bad" ]
}

# All packages and tests, also those that make check leaves out because they take long.
race() {
	bad=
	for module in $modules; do (cd "$module" && $test -race ./...) || bad=yes; done
	[ -z "$bad" ]
}

chaos() { make chaos; }
packages() { make packages; }
release() { make try-release; }

failed=
for step in ${*:-vulnerabilities fuzz crash versions chaos race packages release}; do
	case $step in
	vulnerabilities | fuzz | crash | versions | chaos | race | packages | release) ;;
	*)
		echo "nightly: there is no step $step" >&2
		exit 2
		;;
	esac
	echo "=== $step"
	began=$(date +%s)
	if "$step"; then result=passed; else result=FAILED failed="$failed $step"; fi
	echo "=== $step $result after $(($(date +%s) - began)) s"
done
if [ -n "$failed" ]; then
	echo "nightly: failed:$failed"
	exit 1
fi
