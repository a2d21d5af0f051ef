//! Protection from cancellation.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::scope::{self, Busy};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether the current code is behind a shield.
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

/// Runs a future that is not affected by a cancellation of the run, nor by a [`crate::timeout`] or
/// [`crate::select!`] around it: its calls and sleeps complete, and the code around it waits. Use it to undo
/// things.
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
        busy: None,
    }
}

/// The future returned by [`shield()`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Shield<F> {
    future: Pin<Box<F>>,
    busy: Option<Busy>, // from the first poll to the result
}

impl<F: Future> Future for Shield<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.busy.get_or_insert_with(scope::busy);
        let _raised = Raised::new();
        let polled = scope::sheltered(|| this.future.as_mut().poll(cx));
        if polled.is_ready() {
            this.busy = None;
        }
        polled
    }
}

/// Runs a function that is not affected by a cancellation of the run. It is [`shield()`] for plain functions.
pub fn shielded<T>(f: impl FnOnce() -> T) -> T {
    let _raised = Raised::new();
    scope::sheltered(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shield_applies_only_inside() {
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
