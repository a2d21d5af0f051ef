//! Runs as returned by the server.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// A run. The server returns more members; use the HTTP API to get them.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Its module.
    pub module: String,
    /// Its workflow.
    pub workflow: String,
    /// Its status.
    pub status: Status,
    /// Its output, `null` if it has none.
    #[serde(default)]
    pub output: Value,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// The calls whose outcome is unknown.
    #[serde(default)]
    pub unresolved: Vec<Doubt>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The status of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// It was accepted.
    Pending,
    /// It is computing, or about to.
    Running,
    /// It waits for answers, timers or messages.
    Waiting,
    /// It has completed with an output.
    Completed,
    /// It has failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was ended without the cooperation of its code.
    Terminated,
    /// It is paused by a person.
    Paused,
    /// It needs a person's decision.
    Unresolved,
    /// A status that this client does not know.
    #[serde(other)]
    Other,
}

impl Status {
    /// Whether the run has ended.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Status::Completed | Status::Failed | Status::Cancelled | Status::Terminated
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// Why a run failed.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// `error`, `panic`, `trap` and so on.
    pub kind: String,
    /// What happened.
    #[serde(default)]
    pub message: String,
    /// Where.
    #[serde(default)]
    pub stack: String,
}

/// A call whose outcome is unknown.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Doubt {
    /// Its number.
    pub call: u64,
    /// Why the outcome is unknown.
    pub reason: String,
    /// A summary of the request.
    #[serde(default)]
    pub request: String,
}

impl Run {
    pub(crate) fn into_output<T: DeserializeOwned>(self) -> Result<T, Error> {
        match self.status {
            Status::Completed => {
                serde_json::from_value(self.output).map_err(|e| Error::Unexpected(e.to_string()))
            }
            Status::Unresolved => Err(Error::Unresolved {
                id: self.id,
                calls: self.unresolved,
            }),
            status => Err(Error::Run {
                id: self.id,
                status,
                failure: self.failure,
            }),
        }
    }
}
