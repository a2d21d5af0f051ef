//! Code that a cancellation does not reach.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Tells whether code runs behind a shield.
pub(crate) fn raised() -> bool {
    DEPTH.get() > 0
}

struct Raised;

impl Raised {
    fn new() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Raised
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Carries out a future that a cancellation of the run does not reach: calls and sleeps that begin in
/// it go on to their end. It is the place to undo what was done.
///
/// ```
/// # async fn refund() -> Result<(), flawless::Error> { Ok(()) }
/// # async fn work() -> Result<(), flawless::Error> {
/// if let Err(e @ flawless::Error::Cancelled(_)) = flawless::sleep(std::time::Duration::from_secs(60)).await {
///     flawless::shield(refund()).await?;
///     return Err(e);
/// }
/// # Ok(())
/// # }
/// ```
pub fn shield<F: Future>(future: F) -> Shield<F> {
    Shield {
        future: Box::pin(future),
    }
}

/// The future of [`shield()`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Shield<F> {
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Shield<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _raised = Raised::new();
        self.future.as_mut().poll(cx)
    }
}

/// Carries out a function that a cancellation of the run does not reach. It is [`shield()`] for plain
/// functions.
pub fn shielded<T>(f: impl FnOnce() -> T) -> T {
    let _raised = Raised::new();
    f()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shield_is_up_inside_only() {
        assert!(!raised());
        shielded(|| {
            assert!(raised());
            shielded(|| assert!(raised()));
            assert!(raised());
        });
        assert!(!raised());
        let inside = crate::executor::finish(shield(async { raised() }));
        assert_eq!((inside, raised()), (Some(true), false));
    }
}
