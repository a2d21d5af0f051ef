//! Confirming the outcome of a request.

use std::time::{Duration, SystemTime};

use crate::http::{Request, Response};
use crate::saga::{Word, doubt};
use crate::scope::{self, GivenUp};
use crate::{Error, Interrupted, run_id};

/// The result of a confirmation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The request took effect, and this is its response.
    Happened(Response),
    /// The request did not take effect. It is sent again.
    DidNotHappen,
    /// The outcome could not be found out.
    CannotTell,
}

impl Request {
    /// Sends the request, and calls `ask` to find out whether it took effect if its outcome is unknown. `ask`
    /// gets the `Idempotency-Key` of the request, and makes calls of its own, which are in the log. It is
    /// called only if the outcome is unknown. If it returns an error or [`Outcome::CannotTell`], the run
    /// becomes unresolved with the error as the reason. If a person then says that the request happened, this
    /// returns [`Error::Interrupted`], since there is no response. With [`Request::tell_interrupted`], it
    /// returns that error at once, with the reason.
    ///
    /// A request that did not happen is sent again under its key. A server that honours keys may contradict
    /// `ask`: it answers 409 while it still carries out the first request. Then `ask` is called again, after
    /// waits that grow from one second to five minutes, and the request is sent right after `ask` returns.
    /// This ends when the lifetime of the key ends, or the time for retries of the call (see
    /// [`Request::retry_for`]), whichever is earlier; then the outcome is unknown, whatever `ask` says. It
    /// ends at once if the server answers 422, which means that it knows the key, while `ask` says that
    /// nothing happened.
    ///
    /// If that time has ended before `ask` is called for the first time, as it always has with a
    /// [`Request::retry_for`] of zero, nothing protects the request any more while the server may still be
    /// working on it. So `ask` is called only after a durable wait as long as the [`Request::timeout`] (120
    /// seconds unless it is set, less if a [`crate::timeout()`] left less), and the request is sent again if
    /// `ask` then says that it did not happen. A cancellation or a [`crate::timeout()`] ends the wait.
    /// [`Outcome::DidNotHappen`] is not believed then, nor if the last response of the server was 409, also to
    /// an attempt before a restart of the engine: the outcome is unknown.
    ///
    /// If the server does not honour keys, [`Outcome::DidNotHappen`] must also mean that the request cannot
    /// take effect any more. While the server may still be working on it, return [`Outcome::CannotTell`], or
    /// wait in `ask`.
    ///
    /// ```
    /// use flawless::{Outcome, http};
    ///
    /// # async fn work() -> Result<(), flawless::Error> {
    /// http::post("https://pay.example/charges").body("995").send_confirmed(async |key| {
    ///     let found = http::get(format!("https://pay.example/charges?key={key}")).send().await?;
    ///     Ok(if found.status == 404 { Outcome::DidNotHappen } else { Outcome::Happened(found) })
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_confirmed(
        self,
        mut ask: impl AsyncFnMut(&str) -> Result<Outcome, Error>,
    ) -> Result<Response, Error> {
        let tell = self.tells();
        let mut request = self.tell_interrupted();
        let mut key = request.idempotency_key();
        let mut round = 0;
        let mut known = false; // to the server: code must not be told that its time is over
        let mut limit = None;
        loop {
            round += 1;
            let run = run_id();
            let time = request.attempt_time();
            let sent = request.clone().send();
            let answer = if known {
                crate::shield(sent).await
            } else {
                sent.await
            };
            let mut cut = match answer {
                Err(Error::Interrupted(cut)) => cut,
                other => return other,
            };
            if key.is_empty() {
                key = match cut.key.as_str() {
                    "" => format!("{run}-{}", cut.request.call), // an older engine logged the answer
                    key => key.to_owned(),
                };
                request = request.header("Idempotency-Key", &key);
            }
            limit = limit.into_iter().chain(cut.repeat_until()).min();
            let mut reason = format!(
                "{}; nobody could find out whether it took effect",
                cut.message
            );
            // It waits before it asks: what it learns must not be old when the request is sent again.
            let mut waited = true;
            if round > 1 {
                let _ = crate::sleep(pause_after(round)).await; // a cancellation ends the request
            } else if limit.is_some_and(|limit| crate::now() >= limit) {
                waited = outlast(time).await;
            }
            let asked = crate::now();
            match crate::shield(ask(&key)).await {
                Ok(Outcome::Happened(response)) => return Ok(response),
                Ok(Outcome::DidNotHappen) => {
                    match contradicted(round, &cut, limit, asked, waited) {
                        None => {
                            known = known || cut.status.is_some();
                            continue;
                        }
                        Some(over) => {
                            reason = format!(
                                "{}; the confirmation says that the request did not happen, {over}",
                                cut.message
                            );
                        }
                    }
                }
                Ok(Outcome::CannotTell) => {}
                Err(e) => reason = format!("{reason}: {e}"),
            }
            if tell {
                cut.message = reason;
                return Err(Error::Interrupted(cut));
            }
            let what = format!("{} {}", cut.request.method, cut.request.url);
            match doubt(&what, &reason).await? {
                Word::Retry => limit = None, // a person may know more, and the engine knows the key's time
                Word::Done => return Err(Error::Interrupted(cut)),
            }
        }
    }
}

/// Returns why a request is not repeated although its confirmation says that it did not happen.
///
/// - A server that answers a repetition with 422 knows the key from another request. Asking again would not
///   help.
/// - After `limit`, the server may have forgotten the key and still carry out the request. Only the first
///   confirmation is trusted then, if it was asked after `limit` and after the whole wait for work that goes
///   on (`waited`), and unless the server contradicts it with a 409.
fn contradicted(
    round: u32,
    cut: &Interrupted,
    limit: Option<SystemTime>,
    asked: SystemTime,
    waited: bool,
) -> Option<&'static str> {
    let over = limit.is_some_and(|limit| crate::now() >= limit);
    match cut.status {
        Some(422) if round > 1 => Some("but the server says that it knows the key"),
        Some(409) if over => {
            Some("but the server was still carrying it out when the time for repeating it ended")
        }
        _ if over && (round > 1 || limit.is_some_and(|limit| asked < limit)) => {
            Some("and the time for repeating it has ended")
        }
        _ if over && !waited => Some(
            "but it was asked before a time-out had passed, because the wait was cut short, and the time for repeating it has ended",
        ),
        _ => None,
    }
}

/// Gives a server that may still be working on a request some time to finish, since the key does not protect
/// the request any more. It returns whether the time has passed. A cancellation or a timeout around the code
/// ends the wait, but does not drop the code: the outcome of the request is still unknown.
async fn outlast(time: Duration) -> bool {
    if scope::given_up() != GivenUp::No {
        return false;
    }
    let end = crate::sleep::after(time);
    let until = scope::deadline().unwrap_or(i64::MAX).min(end);
    let left = until.saturating_sub(crate::host::now()).max(0);
    let sleep = crate::sleep(Duration::from_nanos(left.unsigned_abs())); // made outside the shield: cancellable
    crate::shield(sleep).await.is_ok() && until == end
}

/// Returns how long to wait before the confirmation is asked again.
fn pause_after(round: u32) -> Duration {
    Duration::from_secs(300).min(Duration::from_secs(1 << (round - 2).min(9)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scripted::Run;
    use std::time::Duration;

    #[test]
    fn confirmation_gets_the_key_that_was_sent() {
        let run = Run::begin();
        run.task(async {
            let sent = crate::http::post("u").send_confirmed(async |key| {
                assert_eq!(key, "fork-1");
                Ok(Outcome::DidNotHappen)
            });
            sent.await.map(|response| response.status)
        });
        run.log();
        run.answer(
            1,
            r#"{"error":{"kind":"interrupted","message":"m","key":"fork-1"}}"#,
        );
        let again = run.log().join(" ");
        assert!(
            again.contains(r#"[["Idempotency-Key","fork-1"]]"#),
            "{again}"
        );
        run.answer(2, r#"{"status":200}"#);
        assert_eq!(run.log(), ["end: Ok(200)"]);
    }

    #[test]
    fn confirmation_pauses_before_asking_again() {
        assert_eq!(
            [2, 3, 10, 11, u32::MAX].map(|round| pause_after(round).as_secs()),
            [1, 2, 256, 300, 300]
        );
    }

    #[test]
    fn repeated_contradiction_makes_the_run_unresolved() {
        let run = Run::begin();
        run.task(async {
            let sent = crate::http::post("u").send_confirmed(async |_| Ok(Outcome::DidNotHappen));
            sent.await.map(|response| response.status)
        });
        run.log();
        run.answer(1, r#"{"error":{"kind":"interrupted","message":"m"}}"#);
        run.log();
        run.answer(
            2,
            r#"{"error":{"kind":"interrupted","message":"m","status":422}}"#,
        );
        assert_eq!(run.log(), [""; 0], "it pauses before it asks");
        run.pass(1);
        let asks = run.log().join(" ");
        assert!(
            asks.contains("the server says that it knows the key"),
            "{asks}"
        );
    }

    /// A server that is busy forever: each answer but the first is a 409.
    fn busy(run: &Run, call: i32, until: i64) {
        let head = r#"{"error":{"kind":"interrupted","message":"m""#;
        let status = if call > 1 { r#","status":409"# } else { "" };
        run.answer(
            call,
            &format!(r#"{head}{status},"repeat_until":{until}000000001}}}}"#),
        );
    }

    #[test]
    fn confirmation_repeats_until_the_time_ends() {
        let run = Run::begin();
        run.task(async {
            let sent = crate::http::post("u").send_confirmed(async |_| {
                crate::http::get("ask").send().await?;
                Ok(Outcome::DidNotHappen)
            });
            sent.await.map(|response| response.status)
        });
        run.log();
        let sent = |log: Vec<String>, n: i32| {
            assert!(
                log.len() == 1 && log[0].starts_with(&format!("{n} http {{\"method\":\"POST\"")),
                "{log:?}"
            );
        };
        busy(&run, 1, 3);
        for (n, pause) in [(2, 0), (4, 1), (6, 2)] {
            if pause > 0 {
                assert_eq!(run.log(), [""; 0], "it pauses before it asks");
                run.pass(pause);
            }
            assert_eq!(
                run.log(),
                [format!("{n} http {{\"method\":\"GET\",\"url\":\"ask\"}}")]
            );
            run.answer(n, r#"{"status":404}"#);
            if n < 6 {
                sent(run.log(), n + 1); // in the turn that learned of it
                busy(&run, n + 1, 3 + i64::from(n)); // that of the first try counts
            }
        }
        let asks = run.log().join(" ");
        assert!(
            asks.contains("doubt") && asks.contains("the server was still carrying it out"),
            "{asks}"
        );
    }

    #[test]
    fn late_confirmation_is_trusted_once() {
        let run = Run::begin();
        run.task(async {
            let sent = crate::http::post("u")
                .tell_interrupted()
                .send_confirmed(async |_| Ok(Outcome::DidNotHappen));
            sent.await.map(|response| response.status)
        });
        run.log();
        run.pass(60); // the server was down
        run.answer(
            1,
            r#"{"error":{"kind":"interrupted","message":"m","repeat_until":1000000000}}"#,
        );
        assert_eq!(run.log(), [""; 0], "the server may still be working on it");
        run.pass(119);
        assert_eq!(run.log(), [""; 0]);
        run.pass(1);
        assert!(run.log().join(" ").starts_with("2 http"));
        run.answer(
            2,
            r#"{"error":{"kind":"interrupted","message":"m","repeat_until":900000000000}}"#,
        );
        run.pass(1);
        let end = run.log().join(" ");
        assert!(
            end.contains("Interrupted") && end.contains("the time for repeating it has ended"),
            "{end}"
        );
    }

    /// A confirmation that is asked before the time ends, and answered after it.
    #[test]
    fn confirmation_that_spans_the_limit_is_not_trusted() {
        let run = Run::begin();
        run.task(async {
            let sent = crate::http::post("u")
                .tell_interrupted()
                .send_confirmed(async |_| {
                    crate::http::get("ask").send().await?;
                    Ok(Outcome::DidNotHappen)
                });
            sent.await.map(|response| response.status)
        });
        run.log();
        run.answer(
            1,
            r#"{"error":{"kind":"interrupted","message":"m","repeat_until":3000000000}}"#,
        );
        assert!(run.log().join(" ").starts_with("2 http"));
        run.pass(10);
        run.log();
        run.answer(2, r#"{"status":404}"#);
        let end = run.log().join(" ");
        assert!(
            end.contains("Interrupted") && end.contains("the time for repeating it has ended"),
            "{end}"
        );
    }

    /// A charge that the server makes soon after the request was given up.
    #[test]
    fn late_charge_is_found() {
        let run = Run::begin();
        run.task(async {
            let charge = crate::http::post("u").timeout(Duration::from_secs(21));
            let sent = charge.send_confirmed(async |_| {
                let found = crate::http::get("ask").send().await?;
                Ok(Outcome::Happened(found))
            });
            sent.await.map(|response| response.status)
        });
        run.log();
        run.pass(21);
        late(&run);
        run.pass(20);
        assert_eq!(run.log(), [""; 0], "it waits as long as an attempt");
        run.pass(1);
        assert_eq!(run.log(), [r#"2 http {"method":"GET","url":"ask"}"#]);
        run.answer(2, r#"{"status":200}"#);
        assert_eq!(run.log(), ["end: Ok(200)"]);
    }

    /// Ends call 1 after the time for repeating it.
    fn late(run: &Run) {
        run.answer(
            1,
            r#"{"error":{"kind":"interrupted","message":"m","repeat_until":1}}"#,
        );
    }

    async fn unfound() -> Result<u16, Error> {
        let charge = crate::http::post("u").tell_interrupted();
        let sent = charge.send_confirmed(async |_| Ok(Outcome::DidNotHappen));
        sent.await.map(|response| response.status)
    }

    #[test]
    fn cancelled_wait_is_not_trusted() {
        let run = Run::begin();
        run.task(unfound());
        run.log();
        late(&run);
        assert_eq!(run.log(), [""; 0], "it waits");
        run.cancel();
        cut_short(&run);
    }

    fn cut_short(run: &Run) {
        let end = run.log().join(" ");
        assert!(
            end.contains("Interrupted") && end.contains("the wait was cut short"),
            "{end}"
        );
    }

    #[test]
    fn wait_ends_with_the_timeout() {
        let run = Run::begin();
        run.task(crate::timeout(Duration::from_secs(9), unfound()));
        run.log();
        run.pass(5);
        late(&run);
        assert_eq!(run.log(), [""; 0], "it waits");
        run.pass(4);
        cut_short(&run);
    }

    #[test]
    fn wait_is_left_out_after_the_timeout() {
        let run = Run::begin();
        run.task(crate::timeout(Duration::from_secs(9), unfound()));
        run.pass(9);
        run.log();
        late(&run);
        cut_short(&run);
    }

    #[test]
    fn timeout_waits_for_the_confirmation() {
        let run = Run::begin();
        let sent = async {
            let sent = crate::http::post("u").send_confirmed(async |_| {
                let found = crate::http::get("ask").send().await?;
                Ok(Outcome::Happened(found))
            });
            sent.await.map(|response| response.status)
        };
        run.task(crate::timeout(Duration::from_secs(1), sent));
        run.pass(2);
        run.log();
        run.answer(1, r#"{"error":{"kind":"interrupted","message":"m"}}"#);
        assert_eq!(run.log(), [r#"3 http {"method":"GET","url":"ask"}"#]);
        run.answer(3, r#"{"status":200}"#);
        assert_eq!(run.log(), ["end: Ok(Ok(200))"]);
    }
}
