//! Calls of any kind. A new kind is a file of its own: it writes a head, makes a [`Call`], and reads the
//! answer.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::head::{Head, call_site};
use crate::reactor::Why;
use crate::run::{Mode, mode};
use crate::scope::{self, GivenUp};
use crate::{Error, host, reactor, shield, size};

/// An answer as the engine delivered it.
pub(crate) struct Answer {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

/// What may end the wait for a call before its answer is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nature {
    /// It leaves the engine. The wait ends only with an answer: if the code no longer wants to wait, the
    /// call is withdrawn, and the engine replies with its outcome.
    Outside,
    /// The engine carries it out at once. The wait ends only with the answer, so that no code believes that
    /// it was not carried out and makes it again.
    Errand,
    /// The engine keeps it, and the wait may end at any time.
    Inside,
}

/// A call. If it is dropped before its answer is there, it is withdrawn if it leaves the engine; other calls
/// are still carried out, and the engine forgets their answers.
#[derive(Debug)]
pub(crate) struct Call {
    made: Made,
    nature: Nature,
    shielded: bool,
}

#[derive(Debug)]
enum Made {
    Number(i32),
    /// It is made once dropped calls have their answers.
    Later(Rc<Later>),
    /// The code that would make it was given up.
    Never,
}

/// A call that has not been made yet.
#[derive(Debug)]
pub(crate) struct Later {
    head: Vec<u8>,
    body: Vec<u8>,
    what: String,
    shielded: bool,
    number: Cell<i32>,
    gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Later {
    /// Makes the call if it is still wanted.
    pub(crate) fn make(&self) {
        if self.gone.get() {
            return;
        }
        if self.shielded || reactor::cancelled().is_none() {
            let number = host::call(HTTP, &self.head, &self.body);
            reactor::open(number, self.what.clone(), Nature::Outside);
            self.number.set(number);
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The kind of calls that leave the engine.
const HTTP: &str = "http";

impl Call {
    /// Makes a call. It is not passed to the engine outside a run, nor after the run was cancelled, except
    /// behind a shield.
    pub(crate) fn make(
        kind: &str,
        mut head: Head,
        body: &[u8],
        site: &Location<'_>,
    ) -> Result<Call, Error> {
        if mode() == Mode::Outside {
            return Err(Error::Outside);
        }
        size::check(kind, body)?;
        if mode() == Mode::Plain {
            reactor::await_abandoned();
        }
        let shielded = shield::raised();
        if !shielded && let Some(why) = reactor::cancelled() {
            return Err(why.into());
        }
        let nature = match kind {
            HTTP => Nature::Outside,
            _ => Nature::Inside,
        };
        let call = |made| Call {
            made,
            nature,
            shielded,
        };
        if nature == Nature::Outside {
            match scope::given_up() {
                GivenUp::No => {}
                GivenUp::Quietly => return Ok(call(Made::Never)),
                GivenUp::Told => return Err(Error::GivenUp),
            }
        }
        head.at(site);
        let head = head.end();
        let what = format!("{kind} at {}", call_site(site.file(), site.line()));
        if nature == Nature::Outside && reactor::abandoned() {
            let later = Rc::new(Later {
                head,
                body: body.to_owned(),
                what,
                shielded,
                number: Cell::new(0),
                gone: Cell::new(false),
                waker: RefCell::default(),
            });
            reactor::put_off(later.clone());
            return Ok(call(Made::Later(later)));
        }
        let number = host::call(kind, &head, body);
        if number < 0 {
            return Err(Error::Outside); // the workflow has returned
        }
        reactor::open(number, what, nature);
        Ok(call(Made::Number(number)))
    }

    /// Makes the wait end only with the answer.
    pub(crate) fn errand(mut self) -> Call {
        self.nature = Nature::Errand;
        reactor::errand(self.number());
        self
    }

    /// Adopts a call that other code made and gave up.
    pub(crate) fn taken_over(mut self) -> Result<Call, Error> {
        self.shielded = shield::raised();
        Ok(self)
    }

    /// Replaces the call for the same waiter, and returns the previous one.
    pub(crate) fn exchange(&mut self, mut other: Call) -> Call {
        other.shielded = self.shielded;
        std::mem::replace(self, other)
    }

    /// Returns its number, or 0 while it has not been made.
    pub(crate) fn number(&self) -> i32 {
        match &self.made {
            Made::Number(number) => *number,
            Made::Later(later) => later.number.get(),
            Made::Never => 0,
        }
    }

    /// Whether waiting for it ends at once.
    fn over(&self) -> bool {
        match self.number() {
            0 => true,
            number => host::answered(number),
        }
    }

    /// Returns the answer, or why there will be none, if that is known. Code that was given up and waits for
    /// a withdrawn call does not continue.
    fn outcome(&self) -> Option<Result<Answer, Error>> {
        let number = self.number();
        if number != 0 && host::answered(number) {
            if !reactor::was_withdrawn(number) {
                return Some(Ok(Answer {
                    head: host::part(number, host::HEAD),
                    body: host::part(number, host::BODY),
                }));
            }
            return match (scope::given_up(), reactor::cancelled()) {
                (GivenUp::Quietly, _) => None,
                (_, Some(why)) if !self.shielded => Some(Err(why.into())),
                _ => Some(Err(Error::GivenUp)),
            };
        }
        if self.shielded || self.nature == Nature::Errand {
            return None;
        }
        if let Some(why) = reactor::cancelled() {
            if self.nature == Nature::Outside && number != 0 {
                reactor::withdraw(number, Why::Cancelled);
                return None;
            }
            return Some(Err(why.into()));
        }
        let ends = self.nature == Nature::Inside || number == 0;
        (ends && scope::given_up() == GivenUp::Told).then_some(Err(Error::GivenUp))
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<Answer, Error>> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        match (&self.made, self.number()) {
            (Made::Later(later), 0) => *later.waker.borrow_mut() = Some(cx.waker().clone()),
            (_, number) => reactor::wait_for(number, cx.waker()),
        }
        Poll::Pending
    }

    /// Blocks until the answer is there.
    #[track_caller]
    pub(crate) fn wait(&self) -> Result<Answer, Error> {
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            if self.over() {
                return Err(Error::GivenUp);
            }
            block(&[self.number()], self.shielded);
        }
    }

    /// Blocks until the answer is there or some time has passed, in which case it returns `None`.
    #[track_caller]
    pub(crate) fn wait_for(&self, limit: Duration) -> Result<Option<Answer>, Error> {
        match wait_any(&[self], Some(limit))? {
            Some(_) => self.wait().map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Made::Later(later) = &self.made {
            later.gone.set(true);
        }
        let number = self.number();
        if number == 0 {
            return;
        }
        if self.nature == Nature::Outside && mode() != Mode::Outside && !host::answered(number) {
            reactor::abandon(number);
            return;
        }
        reactor::close(number);
        host::forget(number);
    }
}

/// Blocks until one of the calls has an answer or the run is cancelled.
#[track_caller]
fn block(calls: &[i32], shielded: bool) {
    assert!(
        mode() != Mode::Async,
        "`wait` blocks, which an async workflow must not: use `.await`"
    );
    let mut list = calls.to_vec();
    if !shielded {
        list.extend(reactor::watched());
    }
    host::wait(&list);
}

/// Blocks until one of the calls has an answer and returns its index, or until some time has passed. If the
/// run is cancelled, the calls are withdrawn, and the time is ignored.
#[track_caller]
pub(crate) fn wait_any(calls: &[&Call], limit: Option<Duration>) -> Result<Option<usize>, Error> {
    let until = limit.map(crate::sleep::after);
    let alarm = match until.map(|at| alarm(at, Location::caller())) {
        None | Some(Err(Error::Cancelled(_))) => None,
        Some(alarm) => Some(alarm?),
    };
    let shielded = shield::raised() || calls.iter().all(|c| c.shielded);
    loop {
        if let Some(at) = calls.iter().position(|c| c.over()) {
            return Ok(Some(at));
        }
        let mut list: Vec<i32> = calls.iter().map(|c| c.number()).collect();
        if !shielded && reactor::cancelled().is_some() {
            for call in calls.iter().filter(|c| !c.shielded) {
                reactor::withdraw(call.number(), Why::Cancelled);
            }
        } else if let Some(alarm) = &alarm {
            if alarm.over() {
                return Ok(None);
            }
            list.push(alarm.number());
        }
        block(&list, shielded);
    }
}

/// Makes a call that is answered at a given time, in nanoseconds since 1970.
pub(crate) fn alarm(until: i64, site: &Location<'_>) -> Result<Call, Error> {
    let mut head = Head::new();
    head.int("until", until);
    Call::make("sleep", head, b"", site)
}

#[cfg(test)]
mod tests {
    use crate::host::scripted::Run;
    use crate::{Error, http, shield, sleep};
    use std::time::Duration;

    const SENT: &str = r#"{"status":200}"#;

    async fn post(url: &str) -> Result<u16, Error> {
        Ok(http::post(url).send().await?.status)
    }

    #[test]
    fn cancelled_run_waits_for_the_outcome_of_a_request() {
        let run = Run::begin();
        run.task(async { (post("u").await, post("v").await.is_err()) });
        run.cancel();
        assert_eq!(
            run.log()[2..],
            [r#"3 withdraw {"call":1,"why":"cancelled"}"#]
        );
        run.answer(1, SENT);
        assert_eq!(run.log(), ["end: (Ok(200), true)"]);
    }

    #[test]
    fn request_withdrawn_by_cancellation_ends() {
        let run = Run::begin();
        run.task(async { matches!(post("u").await, Err(Error::Cancelled(_))) });
        run.cancel();
        run.withdrawn(1);
        assert_eq!(run.log()[3..], ["end: true"]);
    }

    #[test]
    fn shield_keeps_a_request() {
        let run = Run::begin();
        run.task(crate::timeout(Duration::from_secs(1), shield(post("u"))));
        run.cancel();
        run.pass(2);
        assert_eq!(run.log().len(), 2, "it was withdrawn");
        run.answer(1, SENT);
        assert_eq!(run.log(), ["end: Ok(Ok(200))"]);
    }

    #[test]
    fn sent_message_is_not_reported_as_unsent() {
        let run = Run::begin();
        let sent = || crate::timeout(Duration::from_secs(1), crate::send("r", "k", &1));
        run.task(sent());
        run.pass(2);
        run.cancel();
        assert_eq!(run.log().len(), 2, "it did not wait for its answer");
        run.answer(1, "{}");
        assert_eq!(run.log(), ["end: Ok(Ok(()))"]);
    }

    #[test]
    fn nothing_is_sent_before_the_outcome_of_a_dropped_request() {
        let run = Run::begin();
        run.task(async {
            let first = http::post("u").send();
            sleep(Duration::from_secs(1)).await.unwrap();
            drop(first);
            post("v").await
        });
        run.task(async {
            sleep(Duration::from_secs(1)).await.unwrap();
            "beside"
        });
        run.pass(2);
        assert_eq!(run.log()[1..], [r#"2 withdraw {"call":1,"why":"dropped"}"#]);
        run.answer(1, SENT);
        assert_eq!(
            run.log(),
            [r#"3 http {"method":"POST","url":"v"}"#, r#"end: "beside""#]
        );
        run.answer(3, SENT);
        assert_eq!(run.log(), ["end: Ok(200)"]);
    }

    #[test]
    fn postponed_request_that_is_dropped_is_never_made() {
        let run = Run::begin();
        run.task(async {
            drop(http::post("u").send());
            drop(http::post("v").send());
            "over"
        });
        run.withdrawn(1);
        assert_eq!(run.log().len(), 3);
        run.pass(1);
        assert!(run.log().is_empty());
    }

    #[test]
    fn postponed_request_is_not_made_after_cancellation() {
        let run = Run::begin();
        run.task(async {
            drop(http::post("u").send());
            matches!(post("v").await, Err(Error::Cancelled(_)))
        });
        run.hand_over(1, SENT);
        run.cancel();
        assert_eq!(run.log()[3..], ["end: true"]);
    }
}
