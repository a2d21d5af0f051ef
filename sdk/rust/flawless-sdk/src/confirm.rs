//! Finding out what became of a request.

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
        loop {
            let run = run_id();
            let cut = match request.clone().send().await {
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
            match crate::shield(ask(&key)).await {
                Ok(Outcome::Happened(response)) => return Ok(response),
                Ok(Outcome::DidNotHappen) => continue,
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
