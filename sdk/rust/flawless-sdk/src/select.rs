//! Waiting for the first of several futures.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for the first of several futures and goes on with its branch; the others are dropped. Of
/// those that are ready at once, the first in the list counts, in every replay.
///
/// ```
/// # use std::time::Duration;
/// # async fn work() -> Result<(), flawless::Error> {
/// let answer = flawless::select! {
///     response = flawless::http::get("https://slow.example/").send() => Some(response?),
///     slept = flawless::sleep(Duration::from_secs(5)) => { slept?; None },
/// };
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! select {
    ($($result:pat = $future:expr => $branch:expr),+ $(,)?) => {{
        let chosen = $crate::__private::first($crate::__branches!($($future,)+)).await;
        $crate::__chosen!(chosen, $($result => $branch,)+)
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __branches {
    () => { () };
    ($future:expr, $($rest:expr,)*) => {
        ($crate::__private::branch($future), $crate::__branches!($($rest,)*))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __chosen {
    ($chosen:expr,) => { match $chosen {} };
    ($chosen:expr, $result:pat => $branch:expr, $($more:tt)*) => {
        match $chosen {
            $crate::__private::Chosen::This($result) => $branch,
            $crate::__private::Chosen::Other(other) => $crate::__chosen!(other, $($more)*),
        }
    };
}

/// The result of the first of some futures that was ready.
pub enum Chosen<A, B> {
    /// It is that of the first in the list.
    This(A),
    /// It is that of another.
    Other(B),
}

/// A list of futures: nothing, or a future and a list.
pub trait Branches {
    /// The result of the first that is ready.
    type Chosen;

    /// Polls them in their order.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Chosen>;
}

impl Branches for () {
    type Chosen = Infallible;

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Infallible> {
        Poll::Pending
    }
}

impl<F: Future, B: Branches> Branches for (Pin<Box<F>>, B) {
    type Chosen = Chosen<F::Output, B::Chosen>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Chosen> {
        match self.0.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Chosen::This(result)),
            Poll::Pending => self.1.poll(cx).map(Chosen::Other),
        }
    }
}

/// Makes a branch of a [`select!`].
pub fn branch<F: IntoFuture>(future: F) -> Pin<Box<F::IntoFuture>> {
    Box::pin(future.into_future())
}

/// Waits for the first of some futures.
pub async fn first<B: Branches>(mut branches: B) -> B::Chosen {
    poll_fn(|cx| branches.poll(cx)).await
}

#[cfg(test)]
mod tests {
    use crate::executor::finish;
    use std::future::{pending, ready};

    #[test]
    fn the_first_that_is_ready_is_chosen() {
        let got = finish(async {
            crate::select! {
                () = pending() => "never",
                n = ready(2) => if n == 2 { "second" } else { "other" },
                () = ready(()) => "third",
            }
        });
        assert_eq!(got, Some("second"));
    }

    #[test]
    fn a_branch_may_leave_what_is_around_it() {
        let got = finish(async {
            let mut n = 0;
            loop {
                crate::select! {
                    () = ready(()) => { n += 1; if n == 3 { break n } },
                    () = pending() => return -1,
                }
            }
        });
        assert_eq!(got, Some(3));
    }
}
