//! The functions of the guest interface, version 1, and those of WASI preview 1 that the SDK needs. Nothing
//! else in the SDK knows how guest and engine communicate.

#[cfg(not(any(target_family = "wasm", test)))]
mod outside;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(any(target_family = "wasm", test)))]
pub(crate) use outside::*;
#[cfg(test)]
pub(crate) use scripted::{answered, call, forget, now, part, random, wait};
#[cfg(target_family = "wasm")]
pub(crate) use wasm::*;

/// Part of an answer: its head, a JSON object.
pub(crate) const HEAD: i32 = 0;
/// Part of an answer: its body, bytes.
pub(crate) const BODY: i32 = 1;

/// Makes a note, which has no answer and changes nothing for the guest.
#[cfg(target_family = "wasm")]
pub(crate) fn note(kind: &str, head: &[u8]) {
    call(kind, head, b"");
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn note(_kind: &str, _head: &[u8]) {}
