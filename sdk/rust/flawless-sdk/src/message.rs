//! Messages between runs, and from outside.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::asking::{Asked, Asking};
use crate::call::Call;
use crate::head::Head;
use crate::{Error, json};

/// Sends a message to another run, and ends when it is durable there. It reaches the run exactly once;
/// messages of one run to another arrive in the order they were sent, and wait there until the run
/// receives them.
///
/// The error is [`Error::Call`], of kind [`crate::Kind::NotFound`] where there is no such run and of kind
/// [`crate::Kind::Conflict`] where it has ended.
///
/// ```
/// # async fn work(run: &str) -> Result<(), flawless::Error> {
/// flawless::send(run, "paid", &995).await?;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn send(run: &str, kind: &str, value: &(impl Serialize + ?Sized)) -> Asking<()> {
    let mut head = Head::new();
    head.str("to", run);
    head.str("type", kind);
    let what = format!("{kind} to {run}");
    let body = json::encode(&format!("the message {what}"), value);
    let asked = Asked::make("send", &what, head, body, Location::caller());
    Asking::new(asked.errand(), |_, _| Ok(()))
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<T> {
    /// The sender's name for it.
    pub id: String,
    /// The run that sent it, `""` where it came from outside.
    pub from: String,
    /// Its type.
    pub kind: String,
    /// What it says.
    pub value: T,
}

impl<T> Message<T> {
    /// Answers the message: who sent it from outside and waits gets the value, once the turn is
    /// durable. It does not wait.
    #[track_caller]
    pub fn reply(&self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let body = json::encode(&format!("the reply to {}", self.id), value)?;
        let mut head = Head::new();
        head.str("message", &self.id);
        Call::make("reply", head, &body, Location::caller()).map(drop)
    }
}

/// Waits for the next message of a type, and returns what it says. Messages that came before wait in
/// the order they came. Where it is dropped, no message is lost.
///
/// The engine does not know `T`. A message that does not fit it is received all the same, and the error is
/// [`Error::Json`] with the message's id and type and what did not fit. To look at such a message, receive a
/// `serde_json::Value` and convert it.
#[track_caller]
pub fn receive<T: DeserializeOwned>(kind: &str) -> impl Future<Output = Result<T, Error>> + use<T> {
    let next = receive_message(kind);
    async move { next.await.map(|m| m.value) }
}

/// Waits for the next message of a type like [`receive`], and tells who sent it.
#[track_caller]
pub fn receive_message<T>(kind: &str) -> Receiving<T> {
    let left = INBOXES.with_borrow_mut(|all| all.get_mut(kind).and_then(|i| i.left.pop_front()));
    let call = left.map(Call::taken_over).unwrap_or_else(|| {
        let mut head = Head::new();
        head.str("type", kind);
        Call::make("receive", head, b"", Location::caller())
    });
    let asked = Rc::new(RefCell::new(Asked::of("receive", kind, call)));
    if asked.borrow().made() {
        INBOXES.with_borrow_mut(|all| {
            let inbox = all.entry(kind.to_owned()).or_default();
            inbox.waiting.push(asked.clone());
        });
    }
    Receiving {
        asked,
        kind: kind.to_owned(),
        value: PhantomData,
    }
}

/// Where messages of one type come in. The engine hands a message to the oldest call for it, so the calls
/// that somebody waits for are older than those that are left over.
#[derive(Default)]
struct Inbox {
    waiting: Vec<Rc<RefCell<Asked>>>, // in the order of their calls
    left: VecDeque<Call>,             // whoever receives next takes the first
}

thread_local! {
    static INBOXES: RefCell<BTreeMap<String, Inbox>> = RefCell::default();
}

/// Forgets the calls that are left over from a run that has ended.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn forget_all() {
    drop(INBOXES.take());
}

/// What [`receive_message`] returns: a future of the message.
#[must_use = "the message comes by `.await`, or by `.wait()` in a plain function"]
pub struct Receiving<T> {
    asked: Rc<RefCell<Asked>>,
    kind: String,
    value: PhantomData<fn() -> T>,
}

impl<T> Receiving<T> {
    /// Takes it out of those that wait. Where it gives up, its call is the next one's, and so on: what is
    /// left over is the newest, so that no message goes to nobody while somebody waits. It may come late,
    /// when a thread ends and its tasks are dropped.
    fn quit(&self, gives_up: bool) {
        let _ = INBOXES.try_with(|all| {
            let mut all = all.borrow_mut();
            let Some(inbox) = all.get_mut(&self.kind) else {
                return;
            };
            let Some(at) = inbox
                .waiting
                .iter()
                .position(|a| Rc::ptr_eq(a, &self.asked))
            else {
                return;
            };
            inbox.waiting.remove(at);
            if !gives_up {
                return;
            }
            if let Some(mut call) = self.asked.borrow_mut().take() {
                for next in &inbox.waiting[at..] {
                    call = next.borrow_mut().exchange(call);
                }
                inbox.left.push_front(call);
            }
        });
    }
}

#[derive(Deserialize)]
struct MessageHead {
    #[serde(default)]
    id: String,
    #[serde(default)]
    from: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl<T: DeserializeOwned> Future for Receiving<T> {
    type Output = Result<Message<T>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.asked.borrow_mut().poll(cx);
        answer.map(|answer| {
            let answer = match answer {
                Err(e @ (Error::Cancelled(_) | Error::GivenUp)) => return Err(e), // the call stays for the next
                other => {
                    self.quit(false);
                    other?
                }
            };
            let head: MessageHead = json::decode("the head of a message", &answer.head)?;
            let what = format!("message {} of type {}", head.id, head.kind);
            let value = json::decode(&what, &answer.body)?;
            Ok(Message {
                id: head.id,
                from: head.from,
                kind: head.kind,
                value,
            })
        })
    }
}

impl<T> Drop for Receiving<T> {
    fn drop(&mut self) {
        self.quit(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;
    use crate::host::scripted::Run;
    use std::time::Duration;

    #[test]
    fn outside_there_are_no_messages() {
        assert_eq!(finish(send("r", "k", &1)), Some(Err(Error::Outside)));
        assert_eq!(finish(receive::<u8>("k")), Some(Err(Error::Outside)));
    }

    #[test]
    fn a_message_of_another_type_is_an_error_that_names_it() {
        let run = Run::begin();
        run.task(async { receive::<u8>("k").await.unwrap_err().to_string() });
        run.answer(1, r#"{"id":"m1","type":"k"}"#);
        let said = &run.log()[1];
        for part in ["message m1 of type k does not fit u8", "null"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_wait_that_is_given_up_takes_no_message() {
        let run = Run::begin();
        let work = crate::saga(async |_| receive::<()>("k").await);
        run.task(crate::timeout(Duration::from_secs(1), work));
        run.pass(2);
        assert_eq!(run.log()[1..], ["end: Ok(Err(GivenUp))"]);
        run.answer(1, r#"{"id":"m1","type":"k"}"#);
        run.task(async { receive_message::<()>("k").await.unwrap().id });
        assert_eq!(run.log(), [r#"end: "m1""#]);
    }
}
