//! Cancellation of the run.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Deserialize;

use crate::{Error, reactor};

/// The run was cancelled.
///
/// Every wait that begins or continues after that ends with [`Error::Cancelled`], except behind a
/// [`crate::shield()`]. An open request is withdrawn: if it has not begun or is idempotent, its wait ends
/// like the others; if it is in flight and not idempotent, the code waits for its outcome and gets that. A
/// workflow that returns this error, or one that has it as a source, is cancelled; one that returns anything
/// else has completed or failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cancelled {
    /// Who cancelled the run; may be empty.
    #[serde(default)]
    pub by: String,
    /// The reason; may be empty.
    #[serde(default)]
    pub note: String,
}

impl Cancelled {
    pub(crate) fn read(head: &[u8]) -> Self {
        serde_json::from_slice(head).unwrap_or_else(|e| Cancelled {
            by: String::new(),
            note: format!("the cancellation cannot be read: {e}"),
        })
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run was cancelled")?;
        if !self.by.is_empty() {
            write!(f, " by {}", self.by)?;
        }
        if !self.note.is_empty() {
            write!(f, ": {}", self.note)?;
        }
        Ok(())
    }
}

impl StdError for Cancelled {}

/// Returns the cancellation of the run, if it was cancelled, without waiting. The result changes only while
/// the run waits for something.
pub fn cancellation() -> Option<Cancelled> {
    reactor::cancelled()
}

/// Waits until the run is cancelled, in an async workflow. Use it as a branch of [`crate::select!`].
pub fn cancelled() -> UntilCancelled {
    UntilCancelled(())
}

/// The future returned by [`cancelled`].
#[derive(Debug)]
#[must_use = "nothing waits unless you `.await` it"]
pub struct UntilCancelled(());

impl Future for UntilCancelled {
    type Output = Cancelled;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cancelled> {
        match reactor::cancelled() {
            Some(why) => Poll::Ready(why),
            None => {
                reactor::wait_for_cancellation(cx.waker());
                Poll::Pending
            }
        }
    }
}

/// Whether an error is the cancellation of the run, or has it as a source.
pub(crate) fn is_cancellation(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(e) = next {
        if e.is::<Cancelled>() || matches!(e.downcast_ref::<Error>(), Some(Error::Cancelled(_))) {
            return true;
        }
        next = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancellation_names_person_and_reason() {
        for (head, want) in [
            ("{}", "the run was cancelled"),
            (
                r#"{"by":"ann","note":"too late"}"#,
                "the run was cancelled by ann: too late",
            ),
            (r#"{"note":"too late"}"#, "the run was cancelled: too late"),
        ] {
            assert_eq!(Cancelled::read(head.as_bytes()).to_string(), want);
        }
        assert!(Cancelled::read(b"7").note.contains("cannot be read"));
    }

    #[test]
    fn cancellation_is_found_among_sources() {
        #[derive(Debug)]
        struct Outer(Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let why = Cancelled::read(b"{}");
        assert!(is_cancellation(&why));
        assert!(is_cancellation(&Outer(why.into())));
        assert!(!is_cancellation(&Outer(Error::Outside)));
    }
}
