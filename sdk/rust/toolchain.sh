#!/bin/sh
# Makes it possible to build workflows in Rust: finds or makes the standard library for WebAssembly.
#
#   eval "$(./toolchain.sh [TARGET] [CACHE])"
#   cargo build --release --target wasm32-wasip1
#
# Where rustup has the target or can add it, or a package has it, that is all, and nothing is printed. Where it cannot (no
# way to its host), the standard library is built once from Debian's sources into CACHE, and what is
# printed makes cargo use it together with Debian's compiler. ROOT is where Debian's packages lie.
set -eu

target=${1:-wasm32-wasip1}
cache=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/flawless-rust}
root=${ROOT:-}

# One at a time: rustup damages what it installs twice at once.
if mkdir -p "$cache" 2>/dev/null && command -v flock >/dev/null; then
	exec 9>"$cache/lock"
	flock 9
fi

has() { rustup target list --installed 2>/dev/null | grep -qx "$target"; }
if command -v rustup >/dev/null; then
	if has || { timeout 60 rustup target add "$target" >/dev/null 2>&1 && has; }; then
		exit 0
	fi
fi
# A distribution may have the standard library as a package, as Fedora does.
if command -v rustc >/dev/null; then
	there=$(rustc --print target-libdir --target "$target" 2>/dev/null) || there=
	if [ -n "$there" ] && ls "$there"/libstd-*.rlib >/dev/null 2>&1; then
		exit 0
	fi
fi

rustc=$root/usr/bin/rustc
cargo=$root/usr/bin/cargo
source=$root/usr/lib/rustlib/src/rust/library
wasi=$root/usr/lib/wasm32-wasi
linker=$(command -v wasm-ld || ls "$root"/usr/bin/wasm-ld "$root"/usr/bin/wasm-ld-[0-9]* 2>/dev/null | head -n 1) || true
for needed in "$rustc" "$cargo" "$source/vendor" "$wasi/libc.a" "$linker"; do
	if [ ! -e "$needed" ]; then
		echo "the target $target is not there, rustup cannot add it, and Debian's compiler is not there to build it; get it with:" >&2
		echo "  apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld wasi-libc" >&2
		exit 1
	fi
done
libraries=
if [ -n "$root" ]; then
	libraries=$root/usr/lib/x86_64-linux-gnu
	export LD_LIBRARY_PATH="$libraries"
fi

host=$("$rustc" -vV | sed -n 's/^host: //p')
sysroot=$cache/$("$rustc" -vV | sed -n 's/^release: //p')
library=$sysroot/lib/rustlib/$target/lib

build() {
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$work/src" "$work/.cargo"
	: >"$work/src/lib.rs"
	printf '[package]\nname = "nothing"\nversion = "0.0.0"\nedition = "2024"\n[profile.release]\npanic = "abort"\n' >"$work/Cargo.toml"
	printf '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "%s"\n[net]\noffline = true\n' "$source/vendor" >"$work/.cargo/config.toml"
	(cd "$work" && env -u RUSTUP_TOOLCHAIN RUSTFLAGS=-Cembed-bitcode=yes RUSTC_BOOTSTRAP=1 RUSTC="$rustc" \
		"$cargo" build --quiet --release --target "$target" -Zbuild-std=std,panic_abort) >&2
	mkdir -p "$library.new/self-contained"
	cp "$work/target/$target/release/deps/"*.rlib "$library.new/"
	rm -f "$library.new/"libnothing-*.rlib
	cp "$wasi/libc.a" "$library.new/self-contained/"
	ln -sfn "$root/usr/lib/rustlib/$host" "$sysroot/lib/rustlib/$host"
	mv "$library.new" "$library"
}
[ -d "$library" ] || build

variable=CARGO_TARGET_$(printf %s "$target" | tr 'a-z-' 'A-Z_')
echo "export PATH='$root/usr/bin':\"\$PATH\" RUSTC='$rustc' ${variable}_LINKER='$linker' ${variable}_RUSTFLAGS='--sysroot=$sysroot'"
if [ -n "$libraries" ]; then
	echo "export LD_LIBRARY_PATH='$libraries'"
fi
