//! Starting other runs and waiting for them.

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::asking::Asked;
use crate::error::{CallError, Kind};
use crate::head::Head;
use crate::{Error, json, run_id, shield};

/// Starts a child run of `"module/workflow"`, or of a workflow of this run's own module in the same version
/// if the name has no slash. The child is started exactly once, when the turn that calls this is durable.
/// Await the returned [`Child`] to get its output.
///
/// A child is cancelled when this run is cancelled or terminated. If this run ends in any other way, its
/// children continue. Cancelling this run does not cancel a child that is started behind a
/// [`crate::shield()`], for instance in an undo of a saga, so an undo can use children. Terminating this run
/// still ends those children.
///
/// ```
/// # async fn work() -> Result<(), flawless::Error> {
/// let parcel: String = flawless::spawn("store/pack", &["book"]).await?;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn spawn<Out>(name: &str, input: &(impl Serialize + ?Sized)) -> Child<Out> {
    begin(name, input, false, Location::caller())
}

/// Starts a run like [`spawn`], but independent of this run: it is not cancelled when this run is cancelled
/// or terminated.
#[track_caller]
pub fn spawn_detached<Out>(name: &str, input: &(impl Serialize + ?Sized)) -> Child<Out> {
    begin(name, input, true, Location::caller())
}

/// Returns a handle on the run with the given id, to wait for its end.
#[track_caller]
pub fn await_run<Out>(id: &str) -> Child<Out> {
    let site = Location::caller();
    Child {
        id: id.to_owned(),
        asked: awaited(id, site),
        detached: false,
        site,
        out: PhantomData,
    }
}

fn begin<Out>(
    name: &str,
    input: &(impl Serialize + ?Sized),
    detached: bool,
    site: &'static Location<'static>,
) -> Child<Out> {
    let mut head = Head::new();
    match name.split_once('/') {
        Some((module, workflow)) => {
            head.str("module", module);
            head.str("workflow", workflow);
        }
        None => head.str("workflow", name),
    }
    if detached {
        head.bool("detached", true);
    } else if shield::raised() {
        head.bool("shielded", true);
    }
    let body = json::encode(&format!("the input of {name}"), input);
    let mut asked = Asked::make("spawn", name, head, body, site);
    if detached {
        asked = asked.errand();
    }
    let id = match asked.about.call {
        0 => String::new(),
        call => format!("{}.{call}", run_id()),
    };
    Child {
        id,
        asked,
        detached,
        site,
        out: PhantomData,
    }
}

fn awaited(id: &str, site: &Location<'_>) -> Asked {
    let mut head = Head::new();
    head.str("run", id);
    Asked::make("await", &format!("run {id}"), head, Ok(Vec::new()), site)
}

/// A handle on another run, and a future of its output.
///
/// The error is [`Error::Child`] if the run ended without output, [`Error::Call`] if it could not be started,
/// or [`Error::Cancelled`]. Dropping this does not affect the run.
#[must_use = "the output comes by `.await`, or by `.wait()` in a plain function"]
pub struct Child<Out> {
    id: String,
    asked: Asked,
    detached: bool, // the answer tells that it was started
    site: &'static Location<'static>,
    out: PhantomData<fn() -> Out>,
}

impl<Out> Child<Out> {
    /// Returns the id of the run, or `""` if it could not be started.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn failed(&self, error: Error) -> Error {
        let Error::Call(e) = &error else { return error };
        match &e.kind {
            Kind::Other(status) if ["failed", "cancelled", "terminated"].contains(&&**status) => {
                Error::Child(Box::new(ChildError {
                    id: self.id.clone(),
                    name: self.asked.about.url.clone(),
                    status: status.clone(),
                    kind: e.reason.clone(),
                    message: e.message.clone(),
                }))
            }
            _ => error,
        }
    }
}

impl<Out: DeserializeOwned> Future for Child<Out> {
    type Output = Result<Out, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let answer = match this.asked.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(this.failed(e))),
                Poll::Ready(Ok(answer)) => answer,
            };
            if std::mem::take(&mut this.detached) {
                this.asked = awaited(&this.id, this.site);
                continue;
            }
            let body = match &answer.body[..] {
                b"" => b"null",
                body => body,
            };
            let what = format!("{}: the output of run {}", this.asked.about.url, this.id);
            return Poll::Ready(json::decode(&what, body));
        }
    }
}

/// The error of a run that ended without output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildError {
    /// Id of the run.
    pub id: String,
    /// `module/workflow` as passed to [`spawn`].
    pub name: String,
    /// `failed`, `cancelled` or `terminated`.
    pub status: String,
    /// Kind of the failure: `error`, `panic`, `trap` and so on.
    pub kind: String,
    /// What happened.
    pub message: String,
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChildError {
            id,
            name,
            status,
            message,
            ..
        } = self;
        write!(f, "{name} (run {id}) {status}: {message}")
    }
}

impl StdError for ChildError {}

impl From<CallError> for Error {
    fn from(e: CallError) -> Self {
        Error::Call(Box::new(e))
    }
}
