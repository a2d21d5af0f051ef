//! Errors of calls.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::{Cancelled, ChildError, UndoError};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No byte of the request was sent.
    NotSent(NotSent),
    /// The request was sent, and its outcome is unknown.
    Interrupted(Interrupted),
    /// The call failed in another way.
    Call(Box<CallError>),
    /// The status of a response is not 2xx; only [`crate::http::Response::success`] returns it.
    Status(StatusError),
    /// A child or awaited run ended without output.
    Child(Box<ChildError>),
    /// Steps of a saga could not be undone.
    Undo(UndoError),
    /// The run was cancelled.
    Cancelled(Cancelled),
    /// The code no longer waits for this, because a [`crate::timeout`] has passed or another branch of a
    /// [`crate::select!`] came first, and the call had not begun or was abandoned. A saga gets this error so
    /// that it can undo its steps, and so does code that waits again for a withdrawn request.
    GivenUp,
    /// A value cannot be written as JSON, or JSON does not fit a type.
    Json(JsonError),
    /// The call was made outside a run: in a program that is not built as a guest, in a test, or after the
    /// workflow has returned.
    Outside,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotSent(e) => e.fmt(f),
            Error::Interrupted(e) => e.fmt(f),
            Error::Call(e) => e.fmt(f),
            Error::Status(e) => e.fmt(f),
            Error::Child(e) => e.fmt(f),
            Error::Undo(e) => e.fmt(f),
            Error::Cancelled(e) => e.fmt(f),
            Error::Json(e) => e.fmt(f),
            Error::GivenUp => f.write_str(
                "given up: a timeout around it was over, or another branch of a select came first",
            ),
            Error::Outside => f.write_str(
                "called outside a workflow: build for wasm32-wasip1, add the module to an engine, and make calls from the workflow's function only",
            ),
        }
    }
}

impl StdError for Error {}

impl From<Cancelled> for Error {
    fn from(e: Cancelled) -> Self {
        Error::Cancelled(e)
    }
}

/// The request that an error belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Number of the call in the run, 0 if it was not made.
    pub call: i32,
    /// Method of the request.
    pub method: String,
    /// URL of the request.
    pub url: String,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.call > 0 {
            write!(f, "call {}, ", self.call)?;
        }
        f.write_str(&self.method)?;
        match &*self.url {
            "" => Ok(()),
            url => write!(f, " {}", without_user(url)),
        }
    }
}

/// Returns a URL without user and password, for error texts, which are logged and shown. It hides everything
/// up to the last @ before the path, even in a malformed URL.
fn without_user(url: &str) -> std::borrow::Cow<'_, str> {
    let scheme = |name: &str| {
        let start = url.get(..name.len())?;
        start.eq_ignore_ascii_case(name).then_some(name.len())
    };
    let start = url
        .find("://")
        .map(|at| at + 1)
        .or_else(|| scheme("http:"))
        .or_else(|| scheme("https:"))
        .unwrap_or(0);
    let rest = url[start..].trim_start_matches(['/', '\\']);
    let before = &url[..url.len() - rest.len()];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let port = authority.split_once(':').map(|(_, port)| port);
    let odd = port.is_some_and(|p| p.is_empty() || !p.bytes().all(|b| b.is_ascii_digit()));
    let mut at = authority.rfind('@');
    if at.is_none() && odd && !rest.starts_with('[') {
        at = rest.rfind('@'); // what is no port is a password with a slash
    }
    match at {
        Some(at) if !before.is_empty() || port.is_some() => {
            format!("{before}***{}", &rest[at..]).into()
        }
        _ => url.into(), // at most a mail address
    }
}

/// The error of a request of which no byte was sent. It certainly had no effect, so you can safely make it
/// again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSent {
    /// The request.
    pub request: About,
    /// `name`, `dial`, `tls`, `policy`, `headers` or `timeout`.
    pub reason: String,
    /// What went wrong.
    pub message: String,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.message.strip_prefix("not sent: ");
        write!(
            f,
            "{}: not sent ({}): {}",
            self.request,
            self.reason,
            why.unwrap_or(&self.message)
        )
    }
}

impl StdError for NotSent {}

/// The error of a request that was sent, is not idempotent, and whose outcome is unknown. Only requests with
/// [`crate::http::Request::tell_interrupted`] return it. Find out whether the request took effect, or undo it
/// in a way that is right in both cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The request.
    pub request: About,
    /// The `Idempotency-Key` that the engine generated; empty if the code set one, or if an older engine
    /// logged the answer.
    pub key: String,
    /// Status of a response that was cut off, or that leaves the outcome open. 409 if the server was last heard
    /// to be still working on the request, even if later attempts were lost.
    pub status: Option<u16>,
    /// What happened.
    pub message: String,
    /// See [`Interrupted::repeat_until`]; Unix nanoseconds, or 0. An `Option<SystemTime>` would enlarge every
    /// `Result` of a call.
    pub(crate) until: u64,
}

impl Interrupted {
    /// Returns when the time for retries of the call ends, or the lifetime of its idempotency key if the server
    /// honours one, whichever is earlier. `None` if an older engine logged the answer.
    pub fn repeat_until(&self) -> Option<SystemTime> {
        (self.until > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_nanos(self.until))
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: interrupted, it may or may not have taken effect: {}",
            self.request, self.message
        )
    }
}

impl StdError for Interrupted {}

/// Why a call failed with a [`CallError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The outcome of an idempotent call is unknown, and it is not tried again.
    Unknown,
    /// The response is longer than the limit: then [`CallError::status`] is set, the server has processed the
    /// request, and code must not make it again. Or the body to send is longer than 64 MiB: then there is no
    /// status, and nothing was sent.
    TooLarge,
    /// The call is malformed.
    Invalid,
    /// A person resolved the call with this error.
    Told,
    /// There is no such run, module or workflow.
    NotFound,
    /// The run that should receive the message has ended.
    Conflict,
    /// A streamed response broke off; everything before that was read.
    Broken,
    /// Runs would wait for each other forever.
    Deadlock,
    /// The promise was not settled in time.
    Expired,
    /// The promise was settled with an error.
    Rejected,
    /// A kind that a newer engine added.
    Other(String),
}

impl Kind {
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "unknown" => Kind::Unknown,
            "too_large" => Kind::TooLarge,
            "invalid" => Kind::Invalid,
            "told" => Kind::Told,
            "not_found" => Kind::NotFound,
            "conflict" => Kind::Conflict,
            "broken" => Kind::Broken,
            "deadlock" => Kind::Deadlock,
            "expired" => Kind::Expired,
            "rejected" => Kind::Rejected,
            other => Kind::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Unknown => "unknown",
            Kind::TooLarge => "too_large",
            Kind::Invalid => "invalid",
            Kind::Told => "told",
            Kind::NotFound => "not_found",
            Kind::Conflict => "conflict",
            Kind::Broken => "broken",
            Kind::Deadlock => "deadlock",
            Kind::Expired => "expired",
            Kind::Rejected => "rejected",
            Kind::Other(word) => word,
        })
    }
}

/// The error of a call that failed in any other way than [`NotSent`] or [`Interrupted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The request.
    pub request: About,
    /// Why it failed.
    pub kind: Kind,
    /// The engine's keyword for the reason, or `""`.
    pub reason: String,
    /// Status of the response, if there was one.
    pub status: Option<u16>,
    /// What happened.
    pub message: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::TooLarge && self.status.is_some() {
            return write!(
                f,
                "{}: answered, do not make it again: {}",
                self.request, self.message
            );
        }
        write!(f, "{}: {} ({})", self.request, self.message, self.kind)
    }
}

impl StdError for CallError {}

/// The error in an answer.
#[derive(Deserialize)]
pub(crate) struct AnswerError {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    repeat_until: u64,
}

impl AnswerError {
    pub(crate) fn of(self, request: About) -> Error {
        match self.kind.as_str() {
            "not_sent" => Error::NotSent(NotSent {
                request,
                reason: self.reason,
                message: self.message,
            }),
            "interrupted" => Error::Interrupted(Interrupted {
                request,
                key: self.key,
                status: self.status.filter(|s| *s > 0),
                until: self.repeat_until,
                message: self.message,
            }),
            word => Error::from(CallError {
                request,
                kind: Kind::of(word),
                reason: self.reason,
                status: self.status.filter(|s| *s > 0),
                message: self.message,
            }),
        }
    }
}

/// The error of [`crate::http::Response::success`] for a response whose status is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusError {
    /// The request.
    pub request: About,
    /// Status of the response.
    pub status: u16,
    /// The whole body of the response.
    pub body: Vec<u8>,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 200;
        write!(f, "{}: status {}", self.request, self.status)?;
        if self.body.is_empty() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.body);
        let short: String = text.chars().take(MOST).collect();
        let more = if short.len() < text.len() { "…" } else { "" };
        write!(f, ": {short}{more}")
    }
}

impl StdError for StatusError {}

/// A value that cannot be written as JSON, or JSON that does not fit a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What was being written or read, and what is wrong with it.
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for JsonError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            call: 2,
            method: "POST".into(),
            url: "https://pay.example/".into(),
        }
    }

    #[test]
    fn errors_describe_what_happened() {
        let rows = [
            (
                Error::NotSent(NotSent {
                    request: about(),
                    reason: "dial".into(),
                    message: "not sent: refused".into(),
                }),
                "call 2, POST https://pay.example/: not sent (dial): refused",
            ),
            (
                Error::Interrupted(Interrupted {
                    request: about(),
                    key: "r-2".into(),
                    status: None,
                    until: 0,
                    message: "reset".into(),
                }),
                "call 2, POST https://pay.example/: interrupted, it may or may not have taken effect: reset",
            ),
            (
                Error::from(CallError {
                    request: about(),
                    kind: Kind::TooLarge,
                    reason: String::new(),
                    status: Some(200),
                    message: "too long".into(),
                }),
                "call 2, POST https://pay.example/: answered, do not make it again: too long",
            ),
            (
                Error::Status(StatusError {
                    request: about(),
                    status: 404,
                    body: "ü".repeat(300).into_bytes(),
                }),
                &format!(
                    "call 2, POST https://pay.example/: status 404: {}…",
                    "ü".repeat(200)
                ),
            ),
        ];
        for (error, want) in rows {
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn kinds_match_the_interface() {
        for word in [
            "unknown",
            "too_large",
            "invalid",
            "told",
            "not_found",
            "conflict",
            "deadlock",
            "expired",
            "rejected",
            "new",
        ] {
            assert_eq!(Kind::of(word).to_string(), word);
        }
    }

    #[test]
    fn errors_hide_users_and_passwords() {
        for url in [
            r"https://ann:pa@ss@h/",
            r"http://ann:pa'ss@h/",
            r"http://ann:pa ss@h/",
            r"http://ann:pa/ss@h/",
            r"//ann:pass@h/",
            r"http:/ann:pass@h/",
            r"HTTP:ann:pass@h/",
            r"http:\\ann:pass@h/",
            r"http:///ann:pass@h/",
            r"ann:pass@h/",
        ] {
            let got = super::without_user(url);
            assert!(
                got.ends_with("***@h/") && !got.contains("ann"),
                "{url} became {got}"
            );
        }
        for plain in ["https://host/a@b", "host@x", "", "https://[::1]:80", "ä@h"] {
            assert_eq!(super::without_user(plain), plain);
        }
    }
}
