//! Replaces the host functions in a program that is not a guest, by a [`crate::mock::World`] if a test has
//! one. Other calls are rejected before they get here, so only functions that work without a run do anything.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::SystemTime;

use crate::mock;

pub(crate) fn call(kind: &str, head: &[u8], body: &[u8]) -> i32 {
    mock::call(kind, head, body).unwrap_or(-1)
}

pub(crate) fn answered(call: i32) -> bool {
    mock::answered(call)
}

pub(crate) fn part(call: i32, part: i32) -> Vec<u8> {
    mock::part(call, part).unwrap_or_default()
}

pub(crate) fn wait(calls: &[i32]) {
    mock::wait(calls);
}

pub(crate) fn forget(call: i32) {
    mock::forget(call);
}

pub(crate) fn now() -> i64 {
    if let Some(now) = mock::now() {
        return now;
    }
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

pub(crate) fn random(bytes: &mut [u8]) {
    for piece in bytes.chunks_mut(8) {
        // Every RandomState has other keys, which come from the operating system.
        let word = RandomState::new().build_hasher().finish().to_le_bytes();
        piece.copy_from_slice(&word[..piece.len()]);
    }
}
