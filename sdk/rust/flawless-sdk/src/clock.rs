//! The run's time.

use std::time::{Duration, SystemTime};

use crate::host;

/// Returns the run's time, the same in every replay. It stands still while code computes and moves
/// while the run waits.
///
/// On `wasm32-wasip1`, `SystemTime::now` and `Instant::now` are of the same clock; on
/// `wasm32-unknown-unknown` the standard library has none, and this function is the only one.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(host::now()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_is_that_of_the_machine_outside() {
        assert!(super::now().elapsed().is_ok_and(|d| d.as_secs() < 60));
    }
}
