//! The randomness of the run: drawn once when the run began, and part of its log, so that every replay sees
//! the same.
//!
//! The crates `rand` and `getrandom` use the same randomness. On `wasm32-wasip1` they need nothing else. On
//! `wasm32-unknown-unknown` they need the feature `getrandom` of this crate and the compiler option `--cfg
//! getrandom_backend="custom"`.

use crate::host;

/// Fills a buffer with random bytes.
pub fn fill(bytes: &mut [u8]) {
    host::random(bytes);
}

/// Returns a random number.
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Returns a random number in the range 0 (inclusive) to 1 (exclusive).
pub fn f64() -> f64 {
    (u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Returns a random number in the range 0 (inclusive) to `n` (exclusive), uniformly distributed.
///
/// # Panics
/// If `n` is 0.
pub fn below(n: u64) -> u64 {
    assert!(n > 0, "there is no number below 0");
    let uneven = (u64::MAX % n + 1) % n; // so many of the highest would favour low results
    loop {
        let r = u64();
        if r <= u64::MAX - uneven {
            return r % n;
        }
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown", feature = "getrandom"))]
mod backend {
    /// What the crate getrandom calls where it was told to use a backend of somebody else's.
    ///
    /// # Safety
    /// `dest` must be valid for writes of `len` bytes.
    #[unsafe(no_mangle)]
    unsafe extern "Rust" fn __getrandom_v03_custom(
        dest: *mut u8,
        len: usize,
    ) -> Result<(), getrandom::Error> {
        // SAFETY: the caller says so; they are made bytes that were written before.
        let bytes = unsafe {
            core::ptr::write_bytes(dest, 0, len);
            core::slice::from_raw_parts_mut(dest, len)
        };
        super::fill(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_their_range() {
        let mut seen = [false; 3];
        for _ in 0..1000 {
            seen[below(3) as usize] = true;
            assert!((0.0..1.0).contains(&f64()));
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(below(1), 0);
        let mut bytes = [0; 37];
        fill(&mut bytes);
        assert!(bytes.iter().any(|b| *b != 0));
    }
}
