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
use crate::schema::{Wanted, wanted_shape};
use crate::{Error, host, json, reactor};

/// Sends a message to another run. The future is ready when the message is durable there. It is delivered
/// exactly once; messages from one run to another arrive in the order in which they were sent, and stay in
/// the inbox of that run until it receives them.
///
/// The error is [`Error::Call`], of [`crate::Kind::NotFound`] if there is no such run, of
/// [`crate::Kind::Conflict`] if the run has ended, and of [`crate::Kind::Invalid`] if the run is waiting for
/// messages of that type and the value does not fit; nothing is stored then.
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

/// A message that the run received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<T> {
    /// `<run>-<call>` of the sender, or chosen by a client.
    pub id: String,
    /// The run that sent it, `""` if it came from outside.
    pub from: String,
    /// The type of the message.
    pub kind: String,
    /// The value of the message.
    pub value: T,
}

impl<T> Message<T> {
    /// Answers the message. A sender outside that waits for the reply gets the value once the turn is
    /// durable. The call does not wait.
    #[track_caller]
    pub fn reply(&self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let body = json::encode(&format!("the reply to {}", self.id), value)?;
        let mut head = Head::new();
        head.str("message", &self.id);
        Call::make("reply", head, &body, Location::caller()).map(drop)
    }
}

/// Waits for the next message of the given type and returns its value. Messages that arrived earlier are
/// received in order of arrival. If the future is dropped, no message is lost.
///
/// While `receive` waits, the engine rejects a message that serde cannot read as `T`: the sender gets the
/// error, and nothing is stored. A message that arrived earlier and does not fit stays in the inbox for a
/// `receive` with another type; `flawless workflow show` lists it, and a `receive` as `serde_json::Value`
/// gets it.
///
/// Serde does not reveal what it reads in enums that are untagged or have a tag, and in structs with
/// flattened members, and it knows nothing of conversions such as `#[serde(try_from)]`. A message that fails
/// only there is received, and the error is [`Error::Json`] with its id and type. For such a type, derive
/// `schemars::JsonSchema` and use [`crate::message`], which also checks messages against that schema.
#[track_caller]
pub fn receive<T: DeserializeOwned>(kind: &str) -> impl Future<Output = Result<T, Error>> + use<T> {
    let next = receive_message(kind);
    async move { next.await.map(|m| m.value) }
}

/// Waits for the next message like [`receive`], for code that needs to know the sender or to
/// [reply](Message::reply).
#[track_caller]
pub fn receive_message<T: DeserializeOwned>(kind: &str) -> Receiving<T> {
    receive_as(kind, wanted_shape::<T>())
}

/// Waits for the next message of a type that fits a schema.
#[track_caller]
pub fn receive_as<T>(kind: &str, schema: Wanted) -> Receiving<T> {
    let left = INBOXES.with_borrow_mut(|all| {
        let mailbox = all.entry(kind.to_owned()).or_default();
        mailbox.take_back_others(&schema);
        mailbox.inbox(&schema).left.pop_front()
    });
    let call = left.map(Call::taken_over).unwrap_or_else(|| {
        let mut head = Head::new();
        head.str("type", kind);
        if let Some(schema) = &schema {
            head.raw("schema", schema);
        }
        Call::make("receive", head, b"", Location::caller())
    });
    let asked = Rc::new(RefCell::new(Asked::of("receive", kind, call)));
    if asked.borrow().made() {
        INBOXES.with_borrow_mut(|all| {
            let mailbox = all.entry(kind.to_owned()).or_default();
            mailbox.inbox(&schema).waiting.push(asked.clone());
        });
    }
    Receiving {
        asked,
        kind: kind.to_owned(),
        schema,
        value: PhantomData,
    }
}

/// The receivers of messages of one type.
#[derive(Default)]
struct Mailbox {
    inboxes: Vec<Inbox>,
    /// Calls that were withdrawn when code began to receive the same messages as another Rust type, because
    /// they would take its messages. If one of them already has a message, that goes to a receiver that can
    /// read it.
    taken_back: Vec<Call>,
}

/// The receivers of messages of one type that fit one schema. The engine delivers a message to the oldest
/// call that it fits, so calls with a waiting receiver must be older than spare ones.
struct Inbox {
    schema: Wanted,
    waiting: Vec<Rc<RefCell<Asked>>>, // in the order of their calls
    left: VecDeque<Call>,             // left over; the next receiver takes the first
}

impl Mailbox {
    fn inbox(&mut self, schema: &Wanted) -> &mut Inbox {
        let known = self.inboxes.iter().position(|i| i.schema == *schema);
        let at = known.unwrap_or_else(|| {
            self.inboxes.push(Inbox {
                schema: schema.clone(),
                waiting: Vec::new(),
                left: VecDeque::new(),
            });
            self.inboxes.len() - 1
        });
        &mut self.inboxes[at]
    }

    fn take_back_others(&mut self, schema: &Wanted) {
        for inbox in self.inboxes.iter_mut().filter(|i| i.schema != *schema) {
            for call in inbox.left.drain(..) {
                if !host::answered(call.number()) {
                    reactor::take_back(call.number());
                }
                self.taken_back.push(call);
            }
        }
    }

    /// Returns the oldest message of a withdrawn call that can be read as this type. The waker is woken when
    /// there may be one.
    fn earlier<T: DeserializeOwned>(&mut self, cx: &Context<'_>) -> Option<Message<T>> {
        let mut i = 0;
        while let Some(call) = self.taken_back.get(i) {
            let number = call.number();
            if !host::answered(number) {
                reactor::also_wake(number, cx.waker());
                i += 1;
            } else if reactor::was_withdrawn(number) {
                self.taken_back.remove(i);
            } else if let Ok(m) = read(
                &host::part(number, host::HEAD),
                &host::part(number, host::BODY),
            ) {
                self.taken_back.remove(i);
                return Some(m);
            } else {
                i += 1;
            }
        }
        None
    }
}

thread_local! {
    static INBOXES: RefCell<BTreeMap<String, Mailbox>> = RefCell::default();
}

/// Forgets the spare calls of a run that has ended.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn forget_all() {
    drop(INBOXES.take());
}

/// The future returned by [`receive_message`].
#[must_use = "the message comes by `.await`, or by `.wait()` in a plain function"]
pub struct Receiving<T> {
    asked: Rc<RefCell<Asked>>,
    kind: String,
    schema: Wanted,
    value: PhantomData<fn() -> T>,
}

impl<T> Receiving<T> {
    /// Removes the receiver. If it gives up, its call goes to the next receiver, whose call goes to the one
    /// after it, and so on: the newest call becomes the spare one, so that no message goes to a spare call
    /// while a receiver waits. This may be called late, when a thread ends and its tasks are dropped.
    fn quit(&self, gives_up: bool) {
        let _ = INBOXES.try_with(|all| {
            let mut all = all.borrow_mut();
            let Some(mailbox) = all.get_mut(&self.kind) else {
                return;
            };
            let inbox = mailbox.inbox(&self.schema);
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

fn read<T: DeserializeOwned>(head: &[u8], body: &[u8]) -> Result<Message<T>, Error> {
    let head: MessageHead = json::decode("the head of a message", head)?;
    let what = format!("message {} of type {}", head.id, head.kind);
    Ok(Message {
        value: json::decode(&what, body)?,
        id: head.id,
        from: head.from,
        kind: head.kind,
    })
}

impl<T: DeserializeOwned> Future for Receiving<T> {
    type Output = Result<Message<T>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let earlier = INBOXES.with_borrow_mut(|all| match self.asked.borrow().made() {
            true => all.get_mut(&self.kind)?.earlier(cx),
            false => None,
        });
        if let Some(message) = earlier {
            self.quit(true);
            return Poll::Ready(Ok(message));
        }
        let answer = self.asked.borrow_mut().poll(cx);
        answer.map(|answer| {
            let answer = match answer {
                Err(e @ (Error::Cancelled(_) | Error::GivenUp)) => return Err(e), // the call stays for the next
                other => {
                    self.quit(false);
                    other?
                }
            };
            read(&answer.head, &answer.body)
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
    fn messages_outside_a_run_fail() {
        assert_eq!(finish(send("r", "k", &1)), Some(Err(Error::Outside)));
        assert_eq!(finish(receive::<u8>("k")), Some(Err(Error::Outside)));
    }

    #[test]
    fn message_that_does_not_fit_is_reported_by_name() {
        let run = Run::begin();
        run.task(async { receive::<u8>("k").await.unwrap_err().to_string() });
        run.answer(1, r#"{"id":"m1","type":"k"}"#);
        let said = &run.log()[1];
        for part in ["message m1 of type k does not fit u8", "null"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn abandoned_wait_takes_no_message() {
        let run = Run::begin();
        let work = crate::saga(async |_| receive::<()>("k").await);
        run.task(crate::timeout(Duration::from_secs(1), work));
        run.pass(2);
        assert_eq!(run.log()[1..], ["end: Ok(Err(GivenUp))"]);
        run.answer(1, r#"{"id":"m1","type":"k"}"#);
        run.task(async { receive_message::<()>("k").await.unwrap().id });
        assert_eq!(run.log(), [r#"end: "m1""#]);
    }

    #[test]
    fn call_has_the_schema_of_its_type() {
        let run = Run::begin();
        run.task(receive::<u8>("k"));
        let schema = r#"{"format":"uint8","type":"integer"}"#;
        assert_eq!(
            run.log(),
            [format!(r#"1 receive {{"type":"k","schema":{schema}}}"#)]
        );
        run.task(receive::<serde_json::Value>("k"));
        assert_eq!(run.log(), [r#"2 receive {"type":"k"}"#]);
    }

    fn give_up<T: DeserializeOwned + std::fmt::Debug + 'static>(run: &Run) {
        let second = Duration::from_secs(1);
        run.task(async move { crate::timeout(second, receive::<T>("k")).await.is_err() });
        run.pass(2);
        assert_eq!(run.log()[1..], ["end: true"]);
    }

    #[test]
    fn abandoned_wait_takes_no_message_of_another_type() {
        let run = Run::begin();
        give_up::<u8>(&run);
        run.task(receive::<()>("k"));
        assert_eq!(
            run.log(),
            [
                r#"2 withdraw {"call":1,"why":"dropped"}"#,
                r#"3 receive {"type":"k","schema":{"type":"null"}}"#
            ]
        );
        run.withdrawn(1);
        assert!(run.log().is_empty());
        run.answer(3, r#"{"id":"m1","type":"k"}"#);
        assert_eq!(run.log(), ["end: Ok(())"]);
    }

    #[test]
    fn early_message_goes_to_a_receiver_that_can_read_it() {
        let run = Run::begin();
        give_up::<()>(&run);
        run.task(receive::<u8>("k")); // calls 2 and 3
        run.task(receive::<Option<u8>>("k")); // call 4
        run.log();
        run.answer(1, r#"{"id":"m1","type":"k"}"#);
        assert_eq!(run.log(), ["end: Ok(None)"], "u8 is not null");
        run.task(receive::<Option<u8>>("k"));
        assert!(run.log().is_empty(), "call 4 is left over for it");
        run.answer(4, r#"{"id":"m2","type":"k"}"#);
        assert_eq!(run.log(), ["end: Ok(None)"]);
    }

    #[test]
    fn message_stays_for_the_type_that_can_read_it() {
        let run = Run::begin();
        give_up::<()>(&run);
        run.hand_over(1, r#"{"id":"m1","type":"k"}"#);
        run.task(receive::<u8>("k"));
        assert_eq!(run.log().len(), 1, "there is nothing to withdraw");
        run.task(receive::<()>("k"));
        assert_eq!(run.log()[1..], ["end: Ok(())"]);
    }
}
