//! HTTP requests.
//!
//! ```
//! use flawless::http;
//!
//! # #[derive(serde::Serialize)] struct Charge { cents: u64 }
//! # #[derive(serde::Deserialize)] struct Receipt { id: String }
//! # async fn work() -> Result<(), flawless::Error> {
//! let receipt: Receipt = http::post("https://pay.example/charges")
//!     .json(&Charge { cents: 995 })
//!     .send()
//!     .await?
//!     .success()?
//!     .json()?;
//! # Ok(())
//! # }
//! ```
//!
//! A request that is not idempotent (POST and PATCH, unless you say otherwise) is never sent again if the
//! engine cannot know whether it took effect. The run then waits for a person to decide, or the call returns
//! an error, see [`Request::tell_interrupted`].

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::call::{Answer, Call, wait_any as wait_any_call};
use crate::error::{About, AnswerError, CallError, Kind, StatusError};
use crate::head::Head;
use crate::{Error, host, json, scope};

pub use crate::header::Header;
pub use crate::retry::Retry;
use crate::retry::milliseconds;
pub use crate::stream::{Stream, Streaming};

/// The engine's default timeout of a request.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Starts building a GET request.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// Starts building a HEAD request.
pub fn head(url: impl Into<String>) -> Request {
    request("HEAD", url)
}

/// Starts building a POST request. It is not idempotent by default.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// Starts building a PUT request.
pub fn put(url: impl Into<String>) -> Request {
    request("PUT", url)
}

/// Starts building a PATCH request. It is not idempotent by default.
pub fn patch(url: impl Into<String>) -> Request {
    request("PATCH", url)
}

/// Starts building a DELETE request.
pub fn delete(url: impl Into<String>) -> Request {
    request("DELETE", url)
}

/// Starts building a request with any method, to an absolute URL (http or https).
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request {
        method: method.into(),
        url: url.into(),
        header: Header::default(),
        body: Ok(Vec::new()),
        idempotent: None,
        timeout: None,
        limit: None,
        tell: false,
        redirects: None,
        retry: Retry::default(),
        retry_for: None,
        within: None,
        streams: false,
    }
}

/// A request that has not been sent yet.
#[derive(Debug, Clone)]
#[must_use = "a request is made by `send`"]
pub struct Request {
    method: String,
    url: String,
    header: Header,
    body: Result<Vec<u8>, Error>,
    idempotent: Option<bool>,
    timeout: Option<Duration>,
    limit: Option<u64>,
    tell: bool,
    redirects: Option<u32>,
    retry: Retry,
    retry_for: Option<Duration>,
    within: Option<Duration>,
    pub(crate) streams: bool,
}

impl Request {
    /// Appends a header field. The engine adds an `Idempotency-Key` unless there is one.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.header.add(name, value);
        self
    }

    /// Sets the body, at most 64 MiB.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(body.into());
        self
    }

    /// Sets the body to a value as JSON, and `Content-Type` to `application/json`. If the value cannot be
    /// written as JSON, the call returns [`Error::Json`].
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        self.header.set("Content-Type", "application/json");
        self.body = json::encode("the body of the request", value);
        self
    }

    /// Declares that the request may safely reach the server twice: if the outcome is unknown, the engine
    /// sends it again under the same `Idempotency-Key`. This is the default for GET, HEAD, OPTIONS, PUT,
    /// DELETE and TRACE.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = Some(true);
        self.within = None;
        self
    }

    /// Declares that the server honours the `Idempotency-Key` of the request for that time, as Stripe does
    /// for 24 hours: if it gets the request again, it does not carry it out a second time. If the outcome is
    /// unknown, the engine sends the request again within that time, counted from the first attempt that may
    /// have reached the server, and never after it: then the run waits for a person to decide, or the call
    /// returns [`Error::Interrupted`] with [`tell_interrupted`](Self::tell_interrupted). In all other
    /// respects the request is treated as not idempotent. It has no effect on methods that are idempotent by
    /// default. With zero, the call returns an error of [`Kind::Invalid`].
    pub fn idempotent_within(mut self, time: Duration) -> Self {
        self.idempotent = None;
        self.within = Some(time);
        self
    }

    /// Declares that the request must never reach the server twice: if the outcome is unknown, the run waits
    /// for a person to decide, or the call returns [`Error::Interrupted`] with
    /// [`tell_interrupted`](Self::tell_interrupted). This is the default for POST and PATCH.
    pub fn not_idempotent(mut self) -> Self {
        self.idempotent = Some(false);
        self.within = None;
        self
    }

    /// Makes the call return [`Error::Interrupted`] if the outcome of a request that is not idempotent is
    /// unknown, instead of making the run wait for a person.
    pub fn tell_interrupted(mut self) -> Self {
        self.tell = true;
        self
    }

    /// Whether the code asked for [`Error::Interrupted`].
    pub(crate) fn tells(&self) -> bool {
        self.tell
    }

    /// Limits each attempt, from its start to the last byte of the response. It is rounded up to
    /// milliseconds; the default is 120 seconds. With zero, the call returns an error of [`Kind::Invalid`].
    ///
    /// When it passes, the outcome of a request that is not idempotent is unknown: the run waits for a
    /// person, or the call returns [`Error::Interrupted`]. [`crate::timeout`], in contrast, withdraws the
    /// request.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Sets the maximum length of the response body in bytes; the default is 10 MiB. A longer body is not
    /// cut: the call returns an error of [`Kind::TooLarge`]. With zero, it returns an error of
    /// [`Kind::Invalid`].
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = Some(bytes);
        self
    }

    /// Limits how many redirects are followed; the default is 10. With 0, and for requests that are not
    /// idempotent, a 3xx response is the answer.
    pub fn redirects(mut self, max: u32) -> Self {
        self.redirects = Some(max);
        self
    }

    /// Replaces the engine's own retry policy.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Limits how long the engine retries the call, counted from the start of the first attempt. Without it,
    /// the operator's setting for the host, the module or the server applies: 24 hours by default. With zero,
    /// a failed call is not retried. Together with a [`Retry`], both limits apply.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = Some(time);
        self
    }

    /// Sends the request. The engine starts it at once, concurrently with other calls. Get the response with
    /// `.await` in an async workflow, and with [`Sending::wait`] in a plain function.
    #[track_caller]
    pub fn send(self) -> Sending {
        let mut about = About {
            call: 0,
            method: self.method.clone(),
            url: self.url.clone(),
        };
        let call = self.make(&about, Location::caller());
        if let Ok(call) = &call {
            about.call = call.number();
        }
        Sending {
            call: call.map_err(Some),
            about,
        }
    }

    fn make(self, about: &About, site: &Location<'_>) -> Result<Call, Error> {
        if let Some(message) = self.problem() {
            return Err(Error::from(CallError {
                request: about.clone(),
                kind: Kind::Invalid,
                reason: String::new(),
                status: None,
                message: message.to_owned(),
            }));
        }
        let head = self.call_head();
        Call::make("http", head, &self.body?, site)
    }

    /// The `Idempotency-Key` that was set, or `""`.
    pub(crate) fn idempotency_key(&self) -> String {
        let key = self.header.get("Idempotency-Key");
        key.unwrap_or_default().to_owned()
    }

    /// The timeout: what is left of a [`crate::timeout()`] around it, if that is less. It does not shorten a
    /// step of a saga, whose undo could otherwise overtake it.
    fn time(&self) -> Option<Duration> {
        let left = scope::deadline().filter(|_| !scope::in_step()).map(|at| {
            let left = at.saturating_sub(host::now()).max(1);
            Duration::from_nanos(left.unsigned_abs())
        });
        match (self.timeout, left) {
            (None, Some(left)) => Some(left).filter(|left| *left < DEFAULT_TIMEOUT),
            (Some(own), Some(left)) => Some(own.min(left)),
            (own, None) => own,
        }
    }

    /// How long an attempt may take that begins now.
    pub(crate) fn attempt_time(&self) -> Duration {
        self.time().unwrap_or(DEFAULT_TIMEOUT)
    }

    fn problem(&self) -> Option<&'static str> {
        if self.timeout.is_some_and(|t| t.is_zero()) {
            return Some("the timeout is zero; set a positive one, or none for the default");
        }
        if self.limit == Some(0) {
            return Some(
                "the limit of the response is zero; set a number of bytes, or none for the default",
            );
        }
        let longest = Duration::from_secs(366 * 24 * 60 * 60);
        if self.within.is_some_and(|t| t.is_zero() || t > longest) {
            return Some(
                "the time within which the server honours the key is not between 1 ms and 366 days",
            );
        }
        if self.retry_for.is_some_and(|t| t > longest) {
            return Some("the time for retries is more than 366 days");
        }
        self.retry.problem()
    }

    fn call_head(&self) -> Head {
        let mut head = Head::new();
        head.str("method", &self.method);
        head.str("url", &self.url);
        if !self.header.is_empty() {
            head.raw("headers", &self.header.text());
        }
        if let Some(idempotent) = self.idempotent {
            head.bool("idempotent", idempotent);
        }
        if let Some(within) = self.within {
            head.int("key_within_ms", milliseconds(within));
        }
        if let Some(timeout) = self.time() {
            head.int("timeout_ms", milliseconds(timeout));
        }
        if let Some(limit) = self.limit {
            head.int("limit", i64::try_from(limit).unwrap_or(i64::MAX));
        }
        if self.tell {
            head.str("on_unknown", "tell");
        }
        if let Some(redirects) = self.redirects {
            head.int("redirects", redirects);
        }
        if self.streams {
            head.bool("stream", true);
        }
        if let Some(time) = self.retry_for {
            head.int("retry_for_ms", milliseconds(time));
        }
        if self.retry.attempts > 0 {
            head.raw("retry", &self.retry.text());
        }
        head
    }
}

/// A request that was sent. It is a future of the response; in a plain function, [`wait`](Sending::wait) for
/// it.
///
/// Every status is an answer, including 404 and 503. Errors are [`Error::NotSent`], [`Error::Interrupted`],
/// [`Error::Call`], [`Error::Cancelled`], [`Error::GivenUp`], [`Error::Outside`] and, if the body cannot be
/// written as JSON, [`Error::Json`].
///
/// If the run is cancelled while the code waits, or if this is dropped before the response has arrived, the
/// request is withdrawn:
///
/// - If it has not begun, because it was just made or waits for a rate limit or another attempt, it is never
///   sent.
/// - If it is in flight and idempotent, it is abandoned: there are no more attempts.
/// - If it is in flight and not idempotent, it may take effect. After a cancellation, the code waits for the
///   outcome and gets it. If this was dropped, nobody gets the outcome, but it is in the log, and until it is
///   known the code makes no other request and no async task continues. So code that makes the request again
///   knows that the first one has an outcome. To see the outcome, do not drop this: wait with `&mut`, or let
///   [`crate::timeout`] or [`crate::select!`] return it.
#[derive(Debug)]
#[must_use = "the response comes by `.await`, or by `.wait()` in a plain function"]
pub struct Sending {
    call: Result<Call, Option<Error>>, // the error is taken once
    about: About,
}

impl Sending {
    /// Blocks until the response has arrived, in a plain function.
    ///
    /// # Panics
    /// In an async workflow; use `.await` there.
    #[track_caller]
    pub fn wait(mut self) -> Result<Response, Error> {
        let answer = match &self.call {
            Ok(call) => call.wait()?,
            Err(_) => return Err(self.refusal()),
        };
        Response::read(&self.about, answer)
    }

    /// Blocks until the response has arrived or some time has passed, in a plain function. It returns `None`
    /// in the latter case; the request continues, and you can wait for it again. If the run is cancelled, the
    /// request is withdrawn, and this returns its outcome.
    ///
    /// # Panics
    /// In an async workflow; use [`crate::timeout`] there.
    #[track_caller]
    pub fn wait_for(&mut self, limit: Duration) -> Result<Option<Response>, Error> {
        let answer = match &self.call {
            Ok(call) => call.wait_for(limit)?,
            Err(_) => return Err(self.refusal()),
        };
        answer.map(|a| Response::read(&self.about, a)).transpose()
    }

    fn refusal(&mut self) -> Error {
        match &mut self.call {
            Err(error) => error.take().unwrap_or(Error::Outside),
            Ok(_) => Error::Outside,
        }
    }
}

/// Whether a request has no outcome because the time of the [`crate::timeout()`] around it has passed. Its
/// timer is then due and reports that.
fn was_too_slow(e: &Error) -> bool {
    let slow = match e {
        Error::NotSent(e) => e.reason == "timeout",
        Error::Call(e) => e.kind == Kind::Unknown && e.reason == "timeout",
        _ => false,
    };
    slow && scope::deadline().is_some_and(|at| at <= host::now())
}

impl Future for Sending {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match &this.call {
            Ok(call) => {
                let result = call.poll(cx).map(|answer| {
                    this.about.call = call.number(); // it may have been made later
                    Response::read(&this.about, answer?)
                });
                match &result {
                    Poll::Ready(Err(e)) if was_too_slow(e) => Poll::Pending,
                    _ => result,
                }
            }
            Err(_) => Poll::Ready(Err(this.refusal())),
        }
    }
}

/// Blocks until one of several requests has its response, in a plain function, and returns its index; `wait`
/// then returns at once. A request that could not be made counts as answered. If the run is cancelled, all of
/// them are withdrawn, and each then has its outcome or [`Error::Cancelled`].
///
/// ```
/// # use flawless::http;
/// # fn work() -> Result<(), flawless::Error> {
/// let mut open = vec![http::get("https://a.example/").send(), http::get("https://b.example/").send()];
/// while !open.is_empty() {
///     let next = http::wait_any(&open)?;
///     println!("{}", open.swap_remove(next).wait()?.status);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// With an empty list, and in an async workflow.
#[track_caller]
pub fn wait_any(requests: &[Sending]) -> Result<usize, Error> {
    assert!(!requests.is_empty(), "there is no request to wait for");
    let mut calls = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        match &request.call {
            Ok(call) => calls.push(call),
            Err(_) => return Ok(index),
        }
    }
    Ok(wait_any_call(&calls, None)?.unwrap_or(0))
}

/// The whole response to a request, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub header: Header,
    /// The body.
    pub body: Vec<u8>,
    /// The URL of the last request, after redirects.
    pub url: String,
    pub(crate) about: About,
    pub(crate) stream: bool, // the body is still to come
}

#[derive(Deserialize)]
struct AnswerHead {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    headers: Option<Header>,
    #[serde(default)]
    url: String,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    error: Option<AnswerError>,
}

impl Response {
    fn read(about: &About, answer: Answer) -> Result<Response, Error> {
        let what = format!("the engine's answer to call {}", about.call);
        let head: AnswerHead = json::decode(&what, &answer.head)?;
        if let Some(error) = head.error {
            return Err(error.of(about.clone()));
        }
        Ok(Response {
            status: head.status,
            header: head.headers.unwrap_or_default(),
            body: answer.body,
            url: head.url,
            about: about.clone(),
            stream: head.stream,
        })
    }

    /// Whether the status is 2xx.
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the response, or [`Error::Status`] if its status is not 2xx.
    pub fn success(self) -> Result<Response, Error> {
        if self.ok() {
            return Ok(self);
        }
        Err(Error::Status(StatusError {
            request: self.about,
            status: self.status,
            body: self.body,
        }))
    }

    /// Decodes the body as JSON, whatever the status.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        json::decode(&format!("{}: the response", self.about), &self.body)
    }

    /// Returns the body as text. Bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;

    fn text(request: &Request) -> String {
        String::from_utf8(request.call_head().end()).unwrap()
    }

    #[test]
    fn request_head_contains_all_options() {
        let rows = [
            (
                get("https://a.example/"),
                r#"{"method":"GET","url":"https://a.example/"}"#,
            ),
            (
                post("https://a.example/\"").json(&1).idempotent(),
                r#"{"method":"POST","url":"https://a.example/\"","headers":[["Content-Type","application/json"]],"idempotent":true}"#,
            ),
            (
                put("u")
                    .not_idempotent()
                    .timeout(Duration::from_nanos(1))
                    .limit(u64::MAX)
                    .tell_interrupted()
                    .redirects(0)
                    .retry(Retry {
                        attempts: 2,
                        ..Retry::default()
                    }),
                r#"{"method":"PUT","url":"u","idempotent":false,"timeout_ms":1,"limit":9223372036854775807,"on_unknown":"tell","redirects":0,"retry":{"attempts":2}}"#,
            ),
            (
                delete("u").retry(Retry {
                    attempts: 1,
                    ..Retry::default()
                }),
                r#"{"method":"DELETE","url":"u","retry":{"attempts":1}}"#,
            ),
            (
                post("u")
                    .idempotent_within(Duration::from_secs(86_400))
                    .retry_for(Duration::ZERO),
                r#"{"method":"POST","url":"u","key_within_ms":86400000,"retry_for_ms":0}"#,
            ),
        ];
        for (request, want) in rows {
            assert_eq!(text(&request), want);
        }
    }

    #[test]
    fn requests_outside_a_workflow_fail() {
        assert_eq!(get("http://a/").send().wait(), Err(Error::Outside));
        assert_eq!(finish(get("http://a/").send()), Some(Err(Error::Outside)));
    }

    #[test]
    fn malformed_calls_are_rejected() {
        for request in [
            get("u").timeout(Duration::ZERO),
            get("u").limit(0),
            post("u").idempotent_within(Duration::ZERO),
            post("u").idempotent_within(Duration::MAX),
            get("u").retry_for(Duration::MAX),
            get("u").retry(Retry {
                jitter: -1.0,
                ..Retry::default()
            }),
        ] {
            let error = request.send().wait().unwrap_err();
            assert!(
                matches!(&error, Error::Call(e) if e.kind == Kind::Invalid),
                "{error}"
            );
        }
        let odd = std::collections::BTreeMap::from([(vec![1], 2)]);
        assert!(matches!(
            post("u").json(&odd).send().wait(),
            Err(Error::Json(_))
        ));
    }

    fn read(head: &str, body: &str) -> Result<Response, Error> {
        let about = About {
            call: 3,
            method: "GET".into(),
            url: "u".into(),
        };
        Response::read(
            &about,
            Answer {
                head: head.into(),
                body: body.into(),
            },
        )
    }

    #[test]
    fn answer_becomes_a_response() {
        let head = r#"{"status":201,"headers":[["A","1"],["a","2"]],"url":"v","more":[]}"#;
        let r = read(head, "[1,2]").unwrap();
        assert_eq!((r.status, r.ok(), r.url.as_str()), (201, true, "v"));
        assert_eq!(r.header.values("A").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(r.json::<Vec<u8>>().unwrap(), [1, 2]);
        let error = r.json::<String>().unwrap_err().to_string();
        assert!(
            error.starts_with("call 3, GET u: the response does not fit alloc::string::String"),
            "{error}"
        );
        assert_eq!(r.success().unwrap().text(), "[1,2]");
    }

    #[test]
    fn success_rejects_other_statuses() {
        let error = read(r#"{"status":404}"#, "gone")
            .unwrap()
            .success()
            .unwrap_err();
        assert_eq!(error.to_string(), "call 3, GET u: status 404: gone");
    }

    #[test]
    fn error_answer_becomes_an_error() {
        let error = read(
            r#"{"error":{"kind":"not_sent","reason":"dial","message":"m"}}"#,
            "",
        )
        .unwrap_err();
        assert!(
            matches!(&error, Error::NotSent(e) if e.reason == "dial" && e.request.call == 3),
            "{error}"
        );
        let error = read(
            r#"{"error":{"kind":"interrupted","message":"m","status":200}}"#,
            "",
        )
        .unwrap_err();
        assert!(
            matches!(&error, Error::Interrupted(e) if e.status == Some(200)),
            "{error}"
        );
        let error = read(r#"{"error":{"kind":"told","message":"m"}}"#, "").unwrap_err();
        assert!(
            matches!(&error, Error::Call(e) if e.kind == Kind::Told && e.status.is_none()),
            "{error}"
        );
        let error = read("nonsense", "").unwrap_err().to_string();
        assert!(
            error.starts_with("the engine's answer to call 3 does not fit"),
            "{error}"
        );
    }
}
