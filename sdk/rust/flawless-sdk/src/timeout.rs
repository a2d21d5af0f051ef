//! A limit to waiting.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::sleep::Timer;

/// Waits for a future for at most some time, in an async workflow. Only the waiting ends: a call that
/// was made is carried out all the same.
///
/// ```
/// # use std::time::Duration;
/// # async fn work() -> Result<(), flawless::Error> {
/// match flawless::timeout(Duration::from_secs(5), flawless::http::get("https://slow.example/").send()).await {
///     Ok(response) => println!("{}", response?.status),
///     Err(flawless::Elapsed) => println!("too slow"),
/// }
/// # Ok(())
/// # }
/// ```
pub async fn timeout<F: IntoFuture>(most: Duration, future: F) -> Result<F::Output, Elapsed> {
    crate::select! {
        result = future => Ok(result),
        () = Timer::after(most) => Err(Elapsed),
    }
}

/// The error of [`timeout`]: the time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took too long")
    }
}

impl StdError for Elapsed {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;
    use std::future::{pending, ready};

    #[test]
    fn what_is_ready_counts_more_than_the_time() {
        assert_eq!(finish(timeout(Duration::ZERO, ready(7))), Some(Ok(7)));
        assert_eq!(
            finish(timeout(Duration::ZERO, pending::<()>())),
            Some(Err(Elapsed))
        );
        assert_eq!(
            finish(timeout(Duration::from_secs(900), pending::<()>())),
            None
        );
    }
}
