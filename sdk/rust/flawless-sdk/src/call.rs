//! A call of any kind. A new kind is a file of its own beside this one: it writes a head, makes a
//! [`Call`], and reads the answer.

use std::panic::Location;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::head::{Head, place};
use crate::run::{Mode, mode};
use crate::{Error, host, reactor, shield};

/// An answer as the engine handed it over.
pub(crate) struct Answer {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

/// A call that was made. When it is dropped, the engine forgets its answer; the call itself is carried
/// out all the same.
#[derive(Debug)]
pub(crate) struct Call {
    number: i32,
    shielded: bool,
}

impl Call {
    /// Makes a call. Nothing is asked of the engine where there is no run, and after the run was
    /// cancelled outside of a shield.
    pub(crate) fn make(
        kind: &str,
        mut head: Head,
        body: &[u8],
        site: &Location<'_>,
    ) -> Result<Call, Error> {
        if mode() == Mode::Outside {
            return Err(Error::Outside);
        }
        let shielded = shield::raised();
        if !shielded && let Some(why) = reactor::cancelled() {
            return Err(why.into());
        }
        head.at(site);
        let number = host::call(kind, &head.end(), body);
        if number < 0 {
            return Err(Error::Outside); // the workflow has returned
        }
        let what = format!("{kind} at {}", place(site.file(), site.line()));
        reactor::open(number, what);
        Ok(Call { number, shielded })
    }

    /// Returns a call that somebody else had made and gave up, for who waits for its answer now.
    pub(crate) fn taken_over(mut self) -> Result<Call, Error> {
        self.shielded = shield::raised();
        Ok(self)
    }

    /// Becomes another call, for the same who waits for its answer, and returns what it was.
    pub(crate) fn exchange(&mut self, mut other: Call) -> Call {
        other.shielded = self.shielded;
        std::mem::replace(self, other)
    }

    pub(crate) fn number(&self) -> i32 {
        self.number
    }

    /// Returns the answer, or the cancellation, if one is there.
    fn outcome(&self) -> Option<Result<Answer, Error>> {
        if host::answered(self.number) {
            return Some(Ok(Answer {
                head: host::part(self.number, host::HEAD),
                body: host::part(self.number, host::BODY),
            }));
        }
        if self.shielded {
            return None;
        }
        reactor::cancelled().map(|why| Err(why.into()))
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<Answer, Error>> {
        match self.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                reactor::wait_for(self.number, cx.waker());
                Poll::Pending
            }
        }
    }

    /// Blocks until the answer is there.
    #[track_caller]
    pub(crate) fn wait(&self) -> Result<Answer, Error> {
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            block(&[self.number], self.shielded);
        }
    }

    /// Blocks until the answer is there or some time has passed. None is the latter.
    #[track_caller]
    pub(crate) fn wait_for(&self, most: Duration) -> Result<Option<Answer>, Error> {
        match wait_any(&[self], Some(most))? {
            Some(_) => self.wait().map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        reactor::close(self.number);
        host::forget(self.number);
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

/// Blocks until one of the calls has an answer and returns its place, or until some time has passed.
#[track_caller]
pub(crate) fn wait_any(calls: &[&Call], most: Option<Duration>) -> Result<Option<usize>, Error> {
    let alarm = match most {
        Some(most) => Some(alarm(crate::sleep::after(most), Location::caller())?),
        None => None,
    };
    let shielded = shield::raised() || calls.iter().all(|c| c.shielded);
    let list: Vec<i32> = calls
        .iter()
        .copied()
        .chain(&alarm)
        .map(Call::number)
        .collect();
    loop {
        if let Some(at) = list.iter().position(|n| host::answered(*n)) {
            return Ok((at < calls.len()).then_some(at));
        }
        if !shielded && let Some(why) = reactor::cancelled() {
            return Err(why.into());
        }
        block(&list, shielded);
    }
}

/// Makes a call that is answered at a moment, in nanoseconds since 1970.
pub(crate) fn alarm(until: i64, site: &Location<'_>) -> Result<Call, Error> {
    let mut head = Head::new();
    head.int("until", until);
    Call::make("sleep", head, b"", site)
}
