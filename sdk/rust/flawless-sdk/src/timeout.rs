//! Timeouts.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::scope;
use crate::sleep::Timer;

/// Limits the wait for a future in an async workflow, and gives the future up when the time has passed.
///
/// First, the open requests of the future are withdrawn. A request that has not begun is never sent, and an
/// idempotent one is abandoned: the result is [`Elapsed`]. One that is in flight and not idempotent may take
/// effect, so its outcome is awaited, however long that takes, and passed to the future; if the future then
/// ends, its result is returned. So `Elapsed` always means that you can safely make the request again.
///
/// A request that is made while the future runs gets at most the remaining time as its own
/// [`crate::http::Request::timeout`]. So when the time has passed, the outcome of a request that is in flight
/// and not idempotent is unknown: the run waits for a person, or the call returns
/// [`crate::Error::Interrupted`]. A request that was made before, as in `timeout(limit, request.send())`,
/// keeps its own timeout: write `async { request.send().await }`. The time does not shorten steps of sagas,
/// nor code behind a [`crate::shield()`].
///
/// A borrowed future (`&mut`) is not given up: what it waits for continues, and you can await it again. Code
/// behind a [`crate::shield()`] completes first, and a [`crate::saga()`] is undone: its waits end with
/// [`crate::Error::GivenUp`].
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
pub async fn timeout<F: IntoFuture>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let timer = Timer::after(limit);
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
    fn ready_future_beats_the_timeout() {
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
    fn remaining_time_limits_requests() {
        let run = Run::begin();
        let second = Duration::from_secs(1);
        let made = |inner: Option<Duration>| {
            let request = http::post("u");
            match inner {
                Some(limit) => request.timeout(limit).send(),
                None => request.send(),
            }
        };
        for (limit, inner, want) in [
            (5, None, r#","timeout_ms":5000"#),
            (5, Some(second * 9), r#","timeout_ms":5000"#),
            (5, Some(second), r#","timeout_ms":1000"#),
            (121, None, ""),
            (121, Some(second * 500), r#","timeout_ms":121000"#),
        ] {
            run.log();
            run.task(timeout(
                second * limit,
                async move { drop(made(inner).await) },
            ));
            let head = format!(r#"http {{"method":"POST","url":"u"{want}}}"#);
            assert!(run.log()[0].ends_with(&head), "{limit} {inner:?}");
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
    fn slow_request_elapses() {
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
