//! Tests of workflows under `cargo test`: a world answers the calls of a workflow.
//!
//! ```
//! use std::time::Duration;
//! use flawless::mock::{Response, World};
//! use flawless::{Error, http};
//!
//! async fn charge(cents: u64) -> Result<u16, Error> {
//!     flawless::sleep(Duration::from_secs(24 * 60 * 60)).await?;
//!     Ok(http::post("https://pay.example/charges").json(&cents).send().await?.success()?.status)
//! }
//!
//! let world = World::new().on_http(|request| match request.url.as_str() {
//!     "https://pay.example/charges" => Response::json(&"paid"),
//!     _ => Response::status(404),
//! });
//! assert_eq!(world.run(|| charge(995)), Ok(200));
//! assert_eq!(world.requests()[0].body, b"995");
//! assert_eq!(world.elapsed(), Duration::from_secs(24 * 60 * 60)); // and nobody waited for it
//! ```
//!
//! Time is virtual: it jumps to the next timer when the workflow has nothing else to wait for. A call that
//! nothing answers fails the test with an explanation. A world does not do what the engine does: it does not
//! retry, crash or check policies. Use `flawless test` for that, with the compiled module.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::run::{self, Mode};
use crate::{block_on, message};

/// A request that a workflow made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The URL, as the workflow wrote it.
    pub url: String,
    /// The header fields, without the engine's `Idempotency-Key`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns the value of a header field; its name is case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Decodes the body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body of the request is not JSON")
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Response {
    head: Value,
    body: Vec<u8>,
    takes: Duration,
}

impl Response {
    /// A response with a status and no body.
    pub fn status(status: u16) -> Self {
        Response {
            head: json!({"status": status, "headers": [], "url": ""}),
            body: Vec::new(),
            takes: Duration::ZERO,
        }
    }

    /// A response with status 200 and a JSON body.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        let body = serde_json::to_vec(value).expect("the response has no form in JSON");
        Response::status(200)
            .header("Content-Type", "application/json")
            .body(body)
    }

    /// The request was not sent: [`crate::Error::NotSent`], with a reason such as `dial`.
    pub fn not_sent(reason: &str) -> Self {
        Response::error("not_sent", reason, "not sent: the mock says so")
    }

    /// The request was sent, and its outcome is unknown: [`crate::Error::Interrupted`].
    pub fn interrupted() -> Self {
        Response::error("interrupted", "", "sent, and no complete response came")
    }

    fn error(kind: &str, reason: &str, message: &str) -> Self {
        Response {
            head: error(kind, reason, message),
            body: Vec::new(),
            takes: Duration::ZERO,
        }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Some(all) = self.head["headers"].as_array_mut() {
            all.push(json!([name, value]));
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets how long the answer takes.
    pub fn after(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }
}

fn error(kind: &str, reason: &str, message: &str) -> Value {
    json!({"error": {"kind": kind, "reason": reason, "message": message}})
}

/// A message that a workflow sent to another run.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The receiving run.
    pub to: String,
    /// The type of the message.
    pub kind: String,
    /// The value of the message.
    pub value: Value,
}

type OnHttp = Box<dyn FnMut(&Request) -> Response>;
type OnSpawn = Box<dyn FnMut(&str, Value) -> Result<Value, String>>;

#[derive(Default)]
struct Inside {
    now: i64,
    on_http: Option<OnHttp>,
    on_spawn: Option<OnSpawn>,
    inbox: BTreeMap<String, VecDeque<Value>>,
    promises: BTreeMap<String, Value>,
    states: BTreeMap<String, Vec<u8>>,
    open: BTreeMap<i32, Open>, // calls without an answer
    answers: BTreeMap<i32, (Vec<u8>, Vec<u8>)>,
    outputs: BTreeMap<String, Result<Value, String>>, // of children
    requests: Vec<Request>,
    sent: Vec<Sent>,
    data: Option<Value>,
}

/// A call that waits.
struct Open {
    what: String,
    due: Option<i64>,
    once: bool, // a request that is not idempotent: its outcome is waited for
    answer: (Vec<u8>, Vec<u8>),
}

const START: i64 = 946_684_800_000_000_000; // 2000-01-01

thread_local! {
    static WORLD: RefCell<Option<Rc<RefCell<Inside>>>> = const { RefCell::new(None) };
    static MADE: Cell<i32> = const { Cell::new(0) };
}

/// A world that answers the calls of a workflow. One at a time runs in a thread.
pub struct World(Rc<RefCell<Inside>>);

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

impl World {
    /// Returns a world that answers nothing. Its time is 2000-01-01.
    pub fn new() -> Self {
        let inside = Inside {
            now: START,
            ..Inside::default()
        };
        World(Rc::new(RefCell::new(inside)))
    }

    /// Answers requests.
    pub fn on_http(self, answer: impl FnMut(&Request) -> Response + 'static) -> Self {
        self.0.borrow_mut().on_http = Some(Box::new(answer));
        self
    }

    /// Gives children their output, or the reason why they fail. They are identified by `module/workflow`, or
    /// just the name of a workflow of the run's own module.
    pub fn on_spawn(self, end: impl FnMut(&str, Value) -> Result<Value, String> + 'static) -> Self {
        self.0.borrow_mut().on_spawn = Some(Box::new(end));
        self
    }

    /// Adds a message that the workflow can receive.
    pub fn message(self, kind: &str, value: &impl Serialize) -> Self {
        let mut inside = self.0.borrow_mut();
        let inbox = inside.inbox.entry(kind.to_owned()).or_default();
        inbox.push_back(value_of(value));
        drop(inside);
        self
    }

    /// Settles the promise with that name as soon as it is made.
    pub fn promise(self, name: &str, value: &impl Serialize) -> Self {
        let mut inside = self.0.borrow_mut();
        inside.promises.insert(name.to_owned(), value_of(value));
        drop(inside);
        self
    }

    /// Sets a shared state.
    pub fn state(self, name: &str, value: &impl Serialize) -> Self {
        let text = serde_json::to_vec(value).expect("the state has no form in JSON");
        self.0.borrow_mut().states.insert(name.to_owned(), text);
        self
    }

    /// Runs an async workflow: `world.run(|| charge(995))`.
    ///
    /// # Panics
    /// If it waits for something that the world does not provide.
    pub fn run<F: IntoFuture>(&self, work: impl FnOnce() -> F) -> F::Output {
        self.call(|| block_on(work()))
    }

    /// Runs a plain workflow: `world.call(|| charge(995))`.
    ///
    /// # Panics
    /// If it waits for something that the world does not provide, or if a workflow is already running in this
    /// thread.
    pub fn call<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                message::forget_all(); // of this run, while there is a world to be told of it
                run::set(Mode::Outside);
                WORLD.take();
            }
        }
        let before = WORLD.replace(Some(self.0.clone()));
        assert!(before.is_none(), "a workflow runs in this thread already");
        let _leave = Leave;
        run::set_secrets("mock".to_owned());
        run::set(Mode::Plain);
        work()
    }

    /// Returns the requests that were made, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.0.borrow().requests.clone()
    }

    /// Returns the messages that were sent to other runs, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        self.0.borrow().sent.clone()
    }

    /// Returns the data that was set last.
    pub fn data(&self) -> Option<Value> {
        self.0.borrow().data.clone()
    }

    /// Returns the value of a shared state, `null` if there is none.
    pub fn state_of(&self, name: &str) -> Value {
        let inside = self.0.borrow();
        let text = inside.states.get(name);
        text.map_or(Value::Null, |t| {
            serde_json::from_slice(t).expect("a state is JSON")
        })
    }

    /// Returns how much virtual time has passed.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos((self.0.borrow().now - START).unsigned_abs())
    }
}

fn value_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("the value has no form in JSON")
}

/// Runs code with the world of this thread, if there is one.
fn with<T>(f: impl FnOnce(&Rc<RefCell<Inside>>) -> T) -> Option<T> {
    // It may be asked late, when a thread ends and its tasks are dropped.
    let world = WORLD.try_with(|w| w.borrow().clone()).ok().flatten();
    world.as_ref().map(f)
}

pub(crate) fn call(kind: &str, head: &[u8], body: &[u8]) -> Option<i32> {
    with(|world| {
        let number = MADE.get() + 1;
        MADE.set(number);
        let head: Head = serde_json::from_slice(head).expect("a head is JSON");
        take(world, number, kind, head, body.to_vec());
        number
    })
}

pub(crate) fn answered(call: i32) -> bool {
    with(|w| w.borrow().answers.contains_key(&call)).unwrap_or(false)
}

pub(crate) fn part(call: i32, part: i32) -> Option<Vec<u8>> {
    with(|w| {
        if call == 0 {
            return br#"{"run":"mock","workflow":"mock","url":"http://mock.invalid","secrets":"mock"}"#.to_vec();
        }
        let inside = w.borrow();
        let answer = inside.answers.get(&call).cloned().unwrap_or_default();
        if part == crate::host::HEAD {
            answer.0
        } else {
            answer.1
        }
    })
}

pub(crate) fn forget(call: i32) {
    with(|w| {
        let mut inside = w.borrow_mut();
        inside.answers.remove(&call);
        inside.open.remove(&call);
    });
}

pub(crate) fn now() -> Option<i64> {
    with(|w| w.borrow().now)
}

/// Advances time until something is answered.
pub(crate) fn wait(calls: &[i32]) {
    with(|w| {
        let mut inside = w.borrow_mut();
        while !calls.iter().any(|c| inside.answers.contains_key(c)) {
            let next = inside
                .open
                .iter()
                .filter_map(|(n, o)| Some((o.due?, *n)))
                .min();
            let Some((at, number)) = next else {
                let waits: Vec<String> = calls
                    .iter()
                    .filter_map(|c| Some(inside.open.get(c)?.what.clone()))
                    .collect();
                drop(inside);
                panic!(
                    "the workflow waits forever, because the mock does not answer: {}",
                    waits.join("; ")
                );
            };
            inside.now = inside.now.max(at);
            let open = inside.open.remove(&number).expect("it is there");
            inside.answers.insert(number, open.answer);
        }
    });
}

/// Members that the head of a call may have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    idempotent: Option<bool>,
    until: i64,
    #[serde(rename = "for")]
    span: i64,
    module: String,
    workflow: String,
    detached: bool,
    run: String,
    to: String,
    #[serde(rename = "type")]
    kind: String,
    types: Vec<String>,
    name: String,
    expires: i64,
    op: String,
    call: i32,
}

/// Processes a call.
fn take(world: &Rc<RefCell<Inside>>, number: i32, kind: &str, h: Head, body: Vec<u8>) {
    let now = world.borrow().now;
    let mut open = Open {
        what: format!("call {number} of kind {kind}"),
        due: Some(now),
        once: false,
        answer: (b"{}".to_vec(), Vec::new()),
    };
    match kind {
        "http" => {
            let request = Request {
                method: h.method,
                url: h.url,
                headers: h.headers,
                body,
            };
            open.what = format!("{} {}", request.method, request.url);
            open.once = !h
                .idempotent
                .unwrap_or(!["POST", "PATCH"].contains(&&*request.method));
            world.borrow_mut().requests.push(request.clone());
            let handler = world.borrow_mut().on_http.take();
            let Some(mut handler) = handler else {
                panic!("nothing answers {}: give World::on_http", open.what);
            };
            let mut response = handler(&request);
            world.borrow_mut().on_http = Some(handler);
            if response.head["url"] == "" {
                response.head["url"] = request.url.into();
            }
            open.due = Some(
                now.saturating_add(i64::try_from(response.takes.as_nanos()).unwrap_or(i64::MAX)),
            );
            open.answer = (response.head.to_string().into_bytes(), response.body);
        }
        "sleep" => {
            open.due = Some(if h.until > 0 {
                h.until
            } else {
                now.saturating_add(h.span)
            })
        }
        "spawn" => {
            let name = match h.module.as_str() {
                "" => h.workflow,
                module => format!("{module}/{}", h.workflow),
            };
            let input = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let handler = world.borrow_mut().on_spawn.take();
            let Some(mut handler) = handler else {
                panic!("nothing stands for the workflow {name:?}: give World::on_spawn");
            };
            let end = handler(&name, input);
            let mut inside = world.borrow_mut();
            inside.on_spawn = Some(handler);
            let run = format!("mock.{number}");
            if !h.detached {
                open.answer = ended(&run, &end);
            }
            inside.outputs.insert(run, end);
        }
        "await" => match world.borrow().outputs.get(&h.run) {
            Some(end) => open.answer = ended(&h.run, end),
            None => {
                open.answer.0 = error("not_found", "", "there is no such run")
                    .to_string()
                    .into_bytes()
            }
        },
        "send" => world.borrow_mut().sent.push(Sent {
            to: h.to,
            kind: h.kind,
            value: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }),
        "receive" => {
            let kinds = if h.types.is_empty() {
                vec![h.kind]
            } else {
                h.types
            };
            open.what = format!("a message of type {}", kinds.join(" or "));
            let mut inside = world.borrow_mut();
            let next = kinds
                .iter()
                .find_map(|k| Some((k.clone(), inside.inbox.get_mut(k)?.pop_front()?)));
            open.due = match &next {
                Some(_) => Some(now),
                None => (h.until > 0).then_some(h.until),
            };
            open.answer = match next {
                Some((kind, value)) => (
                    json!({"id": format!("mock-{number}"), "from": "", "type": kind})
                        .to_string()
                        .into_bytes(),
                    value.to_string().into_bytes(),
                ),
                None => (
                    error("expired", "", "no message came")
                        .to_string()
                        .into_bytes(),
                    Vec::new(),
                ),
            };
        }
        "promise" => {
            open.what = format!("the promise {:?}", h.name);
            match world.borrow_mut().promises.remove(&h.name) {
                Some(value) => open.answer.1 = value.to_string().into_bytes(),
                None => {
                    open.due = (h.expires > 0).then_some(h.expires);
                    open.answer.0 = error("expired", "", "nobody settled it")
                        .to_string()
                        .into_bytes();
                }
            }
        }
        "state" => {
            let mut inside = world.borrow_mut();
            if h.op == "put" {
                inside.states.insert(h.name, body);
            } else {
                open.answer.1 = inside.states.get(&h.name).cloned().unwrap_or_default();
            }
        }
        "data" => {
            world.borrow_mut().data = serde_json::from_slice(&body).ok();
            return;
        }
        "withdraw" => {
            let mut inside = world.borrow_mut();
            if let Some(open) = inside.open.get_mut(&h.call)
                && !open.once
            {
                open.answer = (
                    error("withdrawn", "abandoned", "withdrawn")
                        .to_string()
                        .into_bytes(),
                    Vec::new(),
                );
                open.due = Some(now);
            }
            return;
        }
        "log" | "label" | "reply" => return,
        _ => panic!("a mock has no answer to a call of kind {kind:?}; try it with: flawless test"),
    }
    let mut inside = world.borrow_mut();
    if open.due == Some(now) && kind != "http" && kind != "sleep" {
        inside.answers.insert(number, open.answer);
    } else {
        inside.open.insert(number, open);
    }
}

fn ended(run: &str, end: &Result<Value, String>) -> (Vec<u8>, Vec<u8>) {
    match end {
        Ok(output) => (
            json!({"run": run}).to_string().into_bytes(),
            output.to_string().into_bytes(),
        ),
        Err(message) => (
            error("failed", "error", message).to_string().into_bytes(),
            Vec::new(),
        ),
    }
}
