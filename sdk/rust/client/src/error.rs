//! Errors of the client.

use std::error::Error as StdError;
use std::fmt;

use serde::Deserialize;

use crate::run::{Doubt, Failure, Status};

/// Why a request failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The request is invalid and was not sent.
    Usage(String),
    /// No server answered. The request may still have been carried out.
    Unreachable(String),
    /// The server did not answer in time. The request may still have been carried out.
    TimedOut,
    /// The server rejected the request and did nothing.
    Refused {
        /// HTTP status.
        status: u16,
        /// The class of the error.
        code: Code,
        /// What was rejected, why, and what to do.
        detail: String,
    },
    /// The run ended without output.
    Run {
        /// Its id.
        id: String,
        /// Its final status.
        status: Status,
        /// The failure, if it failed.
        failure: Option<Failure>,
    },
    /// The run needs a person's decision: `flawless workflow resolve`.
    Unresolved {
        /// Its id.
        id: String,
        /// The calls whose outcome is unknown.
        calls: Vec<Doubt>,
    },
    /// The server's answer is malformed, or does not have the type that the code expects.
    Unexpected(String),
}

/// The class of an error, as in the server's problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(pub String);

impl Code {
    /// Whether there is no such module, workflow or run.
    pub fn is_not_found(&self) -> bool {
        self.0 == "not found"
    }

    /// Whether the request conflicts with the current state, such as an id that belongs to a run with another
    /// input.
    pub fn is_conflict(&self) -> bool {
        self.0 == "conflict"
    }

    /// Whether the request is invalid, such as an input that does not fit the workflow's schema.
    pub fn is_invalid(&self) -> bool {
        self.0 == "invalid"
    }
}

impl Error {
    pub(crate) fn of(e: ureq::Error) -> Self {
        match e {
            ureq::Error::Timeout(_) => Error::TimedOut,
            e => Error::Unreachable(e.to_string()),
        }
    }

    pub(crate) fn refusal(status: u16, text: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Problem {
            title: String,
            detail: String,
            code: String,
        }
        let problem: Problem = serde_json::from_slice(text).unwrap_or_default();
        let mut detail = problem.detail;
        for other in [problem.title, String::from_utf8_lossy(text).into_owned()] {
            if detail.is_empty() {
                detail = other;
            }
        }
        Error::Refused {
            status,
            code: Code(problem.code),
            detail,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(text) => f.write_str(text),
            Error::Unreachable(text) => {
                write!(f, "no server answers: {text}; start one with: flawless up")
            }
            Error::TimedOut => f.write_str("the server has not answered in time"),
            Error::Refused { detail, .. } => f.write_str(detail),
            Error::Run {
                id,
                status,
                failure,
            } => {
                write!(f, "run {id} is {status}")?;
                match failure {
                    Some(failure) => write!(f, ": {}", failure.message),
                    None => Ok(()),
                }
            }
            Error::Unresolved { id, calls } => {
                write!(f, "run {id} needs a decision")?;
                for call in calls {
                    write!(f, "; call {}: {}", call.call, call.reason)?;
                }
                write!(f, "; see: flawless workflow show {id}")
            }
            Error::Unexpected(text) => {
                write!(
                    f,
                    "the server's answer is not what the code expects: {text}"
                )
            }
        }
    }
}

impl StdError for Error {}
