//! Finding out what became of a request.

use std::time::Duration;

use crate::http::{Request, Response};
use crate::saga::{Word, doubt};
use crate::{Error, run_id};

/// What was found out about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, and this was its response.
    Happened(Response),
    /// It did not take effect. It is sent again.
    DidNotHappen,
    /// Nobody could find out.
    CannotTell,
}

impl Request {
    /// Makes the call, and asks what became of it when the engine cannot know: `ask` is given the
    /// request's `Idempotency-Key` and makes calls of its own, which are in the log. It is called only
    /// where the outcome is unknown; where it returns an error or [`Outcome::CannotTell`], the run
    /// becomes unresolved, with the error as the reason. A person who then says that it happened makes
    /// this end with [`Error::Interrupted`], since there is no response.
    ///
    /// A request that did not happen is sent again under its key. A server that honours keys may
    /// contradict: it answers 409 while it still carries out the first request. Then `ask` is called
    /// again, after waits that grow from a second to five minutes. If the server says with a 422 that it
    /// knows the key, and `ask` that nothing happened, the run becomes unresolved.
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
        let mut request = self.tell_interrupted();
        let mut key = request.idempotency_key();
        let mut round = 0;
        let mut known = false; // to the server: code must not be told that its time is over
        loop {
            round += 1;
            let run = run_id();
            let sent = request.clone().send();
            let answer = if known {
                crate::shield(sent).await
            } else {
                sent.await
            };
            let cut = match answer {
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
            let mut reason = format!(
                "{}; nobody could find out whether it took effect",
                cut.message
            );
            if round > 1 {
                // Before it asks: what it learns must not be old when the request is sent again.
                let _ = crate::sleep(pause_after(round)).await; // a cancellation ends the request
            }
            match crate::shield(ask(&key)).await {
                Ok(Outcome::Happened(response)) => return Ok(response),
                // Asking a server once more that says that it knows the key tells nothing new.
                Ok(Outcome::DidNotHappen) if round > 1 && cut.status == Some(422) => {
                    reason = format!(
                        "{}; the confirmation says that the request did not happen, and the server that it knows its key",
                        cut.message
                    );
                }
                Ok(Outcome::DidNotHappen) => {
                    known = known || cut.status.is_some();
                    continue;
                }
                Ok(Outcome::CannotTell) => {}
                Err(e) => reason = format!("{reason}: {e}"),
            }
            let what = format!("{} {}", cut.request.method, cut.request.url);
            match doubt(&what, &reason).await? {
                Word::Retry => {}
                Word::Done => return Err(Error::Interrupted(cut)),
            }
        }
    }
}

/// How long to wait before it asks, from the second time on.
fn pause_after(round: u32) -> Duration {
    Duration::from_secs(300).min(Duration::from_secs(1 << (round - 2).min(9)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scripted::Run;
    use std::time::Duration;

    #[test]
    fn it_asks_with_the_key_that_was_sent() {
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
    fn it_pauses_before_it_asks_again() {
        assert_eq!(
            [2, 3, 10, 11, u32::MAX].map(|round| pause_after(round).as_secs()),
            [1, 2, 256, 300, 300]
        );
    }

    #[test]
    fn a_server_that_contradicts_twice_leaves_it_to_a_person() {
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
        assert!(asks.contains("the server that it knows its key"), "{asks}");
    }

    #[test]
    fn a_timeout_waits_until_it_is_found_out() {
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
