#!/bin/sh
# Builds the engine of TypeScript modules, internal/tsbuild/engine.wasm or the file given, from sources that cargo fetches
# and checks. Needs cargo, and on Debian: clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32. The same compiler gives the
# same bytes.
set -eu
cd "$(dirname "$0")"
out=${1:-../../../internal/tsbuild/engine.wasm}
clang=${CLANG:-clang-19} lld=${WASM_LD:-wasm-ld-19}
crate=$(cargo metadata --locked --format-version 1 | grep -o "[^\"]*/rquickjs-sys-[^\"/]*/Cargo.toml" | head -1)
crate=${crate%/Cargo.toml}
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
# The libc is that of the crate: Debian's takes all initial memory for its heap, but the bundle is behind __heap_end.
flags="-I$tmp --target=wasm32-wasi -Os -std=gnu11 -w -D_GNU_SOURCE -DEMSCRIPTEN -DFE_DOWNWARD=0 -DFE_UPWARD=0 -I$crate/quickjs -ffile-prefix-map=$crate=/ -ffile-prefix-map=$tmp=/"
# One line more: tell engine.c when an async function is freed while it awaits.
sed '/^static void js_async_function_free0(/{n;s/{/{ flawless_lost(rt, \&s->func_state, s->is_active);/;}' "$crate/quickjs/quickjs.c" >"$tmp/quickjs.c"
[ "$(grep -c 'flawless_lost(rt' "$tmp/quickjs.c")" = 1 ] || { echo "build.sh: quickjs.c has changed" >&2; exit 1; }
for f in libregexp libunicode dtoa; do $clang $flags -c "$crate/quickjs/$f.c" -o "$tmp/$f.o"; done
for f in engine guest; do $clang $flags -c "$f.c" -o "$tmp/$f.o"; done
$lld "$tmp"/*.o "$crate/vendor/wasi-libc/lib/libc.a" "$($clang --target=wasm32-wasi --print-libgcc-file-name)" -o "$out" \
	--no-entry -zstack-size=1048576 --stack-first --export=flawless_bundle --gc-sections --strip-all
