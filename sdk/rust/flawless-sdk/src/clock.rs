//! The time of the run.

use std::time::{Duration, SystemTime};

use crate::host;

/// Returns the time of the run, which is the same in every replay. It stands still while code computes and
/// advances while the run waits.
///
/// On `wasm32-wasip1`, `SystemTime::now` and `Instant::now` use the same clock. On `wasm32-unknown-unknown`
/// the standard library has no clock, and this function is the only one.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(host::now()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_outside_a_run_is_the_system_time() {
        assert!(super::now().elapsed().is_ok_and(|d| d.as_secs() < 60));
    }
}
