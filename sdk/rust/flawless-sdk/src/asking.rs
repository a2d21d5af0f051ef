//! Calls whose answer is a value.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Deserialize;

use crate::Error;
use crate::call::{Answer, Call};
use crate::error::{About, AnswerError};
use crate::head::Head;
use crate::{json, reactor};

/// A call, or the reason why it was not made.
pub(crate) struct Asked {
    call: Result<Call, Option<Error>>, // the error is taken once
    pub about: About,
}

#[derive(Deserialize)]
struct Failed {
    #[serde(default)]
    error: Option<AnswerError>,
}

impl Asked {
    /// Makes a call; `what` describes it to people.
    pub fn make(
        kind: &str,
        what: &str,
        head: Head,
        body: Result<Vec<u8>, Error>,
        site: &Location<'_>,
    ) -> Self {
        let call = body.and_then(|body| Call::make(kind, head, &body, site));
        Asked::of(kind, what, call)
    }

    pub fn of(kind: &str, what: &str, call: Result<Call, Error>) -> Self {
        let about = About {
            call: call.as_ref().map_or(0, Call::number),
            method: kind.to_owned(),
            url: what.to_owned(),
        };
        let call = call.map_err(Some);
        Asked { call, about }
    }

    /// Makes the wait end only with the answer, so that no code believes that the call was not carried out
    /// and makes it again.
    pub fn errand(mut self) -> Self {
        self.call = self.call.map(Call::errand);
        self
    }

    /// Takes the call out, if it was made and is still there.
    pub fn take(&mut self) -> Option<Call> {
        std::mem::replace(&mut self.call, Err(None)).ok()
    }

    /// Whether the call was made and is still there.
    pub fn made(&self) -> bool {
        self.call.is_ok()
    }

    /// Replaces the call to wait for, and returns the previous one.
    pub fn exchange(&mut self, call: Call) -> Call {
        let Ok(own) = &mut self.call else {
            return call;
        };
        reactor::wake(own.number());
        self.about.call = call.number();
        own.exchange(call)
    }

    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Answer, Error>> {
        let call = match &mut self.call {
            Ok(call) => call,
            Err(error) => return Poll::Ready(Err(error.take().unwrap_or(Error::Outside))),
        };
        call.poll(cx).map(|answer| {
            let answer = answer?;
            let what = format!("the engine's answer to call {}", self.about.call);
            let head: Failed = json::decode(&what, &answer.head)?;
            match head.error {
                Some(error) => Err(error.of(self.about.clone())),
                None => Ok(answer),
            }
        })
    }
}

type Read<T> = Box<dyn FnOnce(&About, Answer) -> Result<T, Error>>;

/// A call that was made, and a future of its result. In a plain function, use [`crate::Wait::wait`].
///
/// Dropping it only ends the wait. If the run is cancelled, a wait for a value that somebody else provides
/// ends; what the engine carries out at once, such as sending a message, is done and awaited.
#[must_use = "the result comes by `.await`, or by `.wait()` in a plain function"]
pub struct Asking<T> {
    asked: Asked,
    read: Option<Read<T>>,
}

impl<T> Asking<T> {
    pub(crate) fn new(
        asked: Asked,
        read: impl FnOnce(&About, Answer) -> Result<T, Error> + 'static,
    ) -> Self {
        let read: Option<Read<T>> = Some(Box::new(read));
        Asking { asked, read }
    }
}

impl<T> Future for Asking<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.asked.poll(cx).map(|answer| match this.read.take() {
            Some(read) => read(&this.asked.about, answer?),
            None => Err(Error::Outside), // it was polled after its end
        })
    }
}
