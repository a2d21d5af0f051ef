//! A limit to waiting.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::scope;
use crate::sleep::Timer;

/// Waits for a future for at most some time, in an async workflow, and gives it up then.
///
/// The requests that the future has under way are withdrawn first. One that has not begun never does, and
/// one that is idempotent is abandoned: the result is [`Elapsed`]. One that has begun and is not idempotent
/// may take effect at any moment, so its outcome is waited for, however long that takes. It is given to the
/// future, and if the future ends with it, its result is the result. So `Elapsed` always means that the
/// request may be made again.
///
/// A request that is made while the future runs takes no longer than the time that is left: that becomes its
/// own [`crate::http::Request::timeout`], if it is shorter. So when the time has passed, the outcome of one
/// that has begun and is not idempotent is unknown: the run waits for a person, or is told. A request that was
/// made before, as in `timeout(most, request.send())`, has its own time-out: write `async { request.send().await }`.
/// A step of a saga is not cut short, nor is what a [`crate::shield()`] protects.
///
/// A future that is borrowed (`&mut`) is not given up: what it waits for goes on, and it may be awaited again.
/// What a [`crate::shield()`] protects comes to its end before, and a [`crate::saga()`] is undone: its waits
/// end with [`crate::Error::GivenUp`].
///
/// ```
/// # use std::time::Duration;
/// # async fn work() -> Result<(), flawless::Error> {
/// let page = async { flawless::http::get("https://slow.example/").send().await };
/// match flawless::timeout(Duration::from_secs(5), page).await {
///     Ok(response) => println!("{}", response?.status),
///     Err(flawless::Elapsed) => println!("too slow"),
/// }
/// # Ok(())
/// # }
/// ```
pub async fn timeout<F: IntoFuture>(most: Duration, future: F) -> Result<F::Output, Elapsed> {
    let timer = Timer::after(most);
    let future = future.into_future();
    // What needs no drop is a borrowed future, which is not given up, and has to stay one for `select!`.
    if !std::mem::needs_drop::<F::IntoFuture>() {
        return crate::select! {
            result = future => Ok(result),
            () = timer => Err(Elapsed),
        };
    }
    let future = scope::within(timer.moment(), future);
    crate::select! {
        result = future => Ok(result),
        () = timer => Err(Elapsed),
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
    use crate::host::scripted::Run;
    use crate::{http, shield};
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

    #[test]
    fn the_time_that_is_left_is_that_of_the_requests_in_it() {
        let run = Run::begin();
        let second = Duration::from_secs(1);
        let made = |inner: Option<Duration>| {
            let request = http::post("u");
            match inner {
                Some(most) => request.timeout(most).send(),
                None => request.send(),
            }
        };
        for (most, inner, want) in [
            (5, None, r#","timeout_ms":5000"#),
            (5, Some(second * 9), r#","timeout_ms":5000"#),
            (5, Some(second), r#","timeout_ms":1000"#),
            (121, None, ""),
            (121, Some(second * 500), r#","timeout_ms":121000"#),
        ] {
            run.log();
            run.task(timeout(
                second * most,
                async move { drop(made(inner).await) },
            ));
            let head = format!(r#"http {{"method":"POST","url":"u"{want}}}"#);
            assert!(run.log()[0].ends_with(&head), "{most} {inner:?}");
        }
        run.task(timeout(second, async move {
            let two = timeout(second * 9, async { drop(http::get("two").send().await) });
            let kept = shield(async { drop(http::get("kept").send().await) });
            let _ = crate::join!(two, kept);
        }));
        let log = run.log();
        assert!(
            log[0].ends_with(r#""url":"two","timeout_ms":1000}"#),
            "{log:?}"
        );
        assert!(log[1].ends_with(r#""url":"kept"}"#), "{log:?}");
        let mut open = std::pin::pin!(Box::pin(async { drop(http::get("lent").send().await) }));
        let waker = std::task::Waker::noop();
        let mut lent = std::pin::pin!(timeout(second, open.as_mut()));
        let _ = lent
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
        assert!(run.log()[0].ends_with(r#""url":"lent"}"#));
    }

    #[test]
    fn a_request_that_was_too_slow_is_what_the_time_is_for() {
        let run = Run::begin();
        let second = Duration::from_secs(1);
        run.task(timeout(second, async move {
            http::get("u").send().await.is_ok()
        }));
        run.hand_over(
            1,
            r#"{"error":{"kind":"unknown","reason":"timeout","message":"m"}}"#,
        );
        run.pass(1);
        assert_eq!(run.log()[1..], ["end: Err(Elapsed)"]);
        // It is the code's own time-out where the time has not passed.
        run.task(timeout(second * 9, async {
            http::get("u").send().await.is_ok()
        }));
        run.log();
        run.answer(
            2,
            r#"{"error":{"kind":"unknown","reason":"timeout","message":"m"}}"#,
        );
        assert_eq!(run.log(), ["end: Ok(false)"]);
    }
}
