//! A limit to waiting.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::sleep::Timer;

/// Waits for a future for at most some time, in an async workflow, and gives it up then.
///
/// The requests that the future has under way are withdrawn first. One that has not begun never does, and
/// one that is idempotent is abandoned: the result is [`Elapsed`]. One that has begun and is not idempotent
/// may take effect at any moment, so its outcome is waited for, however long that takes. It is given to the
/// future, and if the future ends with it, its result is the result. So `Elapsed` always means that the
/// request may be made again. How long a request may take is said by [`crate::http::Request::timeout`].
///
/// A future that is borrowed (`&mut`) is not given up: what it waits for goes on, and it may be awaited again.
/// What a [`crate::shield()`] protects comes to its end before, and a [`crate::saga()`] is undone: its waits
/// end with [`crate::Error::GivenUp`].
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
