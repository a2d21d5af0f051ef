//! A client of a Flawless server: starts workflows, waits for them and sends them messages. All functions
//! block.
//!
//! ```no_run
//! # fn main() -> Result<(), flawless_client::Error> {
//! let client = flawless_client::Client::from_env()?;
//! let run = client.start("shop", "checkout").id("order-4711").input(&995)?.send()?;
//! let receipt: String = client.wait(&run.id)?;
//! # Ok(())
//! # }
//! ```
//!
//! # In an async program
//!
//! A blocking function would stop all other tasks of its thread, so call it where your runtime allows that.
//! With tokio:
//!
//! ```no_run
//! use flawless_client::{Client, Error};
//!
//! async fn check_out(client: Client, order: String, cents: u64) -> Result<String, Error> {
//!     let work = move || {
//!         let run = client.start("shop", "checkout").id(&order).input(&cents)?.send()?;
//!         client.wait(&run.id)
//!     };
//!     tokio::task::spawn_blocking(work).await.expect("it does not panic")
//! }
//! ```
//!
//! The task may be dropped: the run continues, and the same code with the same id finds it again. Each wait
//! occupies a blocking thread of the runtime, of which tokio has 512. For long runs, return the id and ask
//! for the run later ([`Client::run`]).

mod error;
mod run;

pub use error::{Code, Error};
pub use run::{Doubt, Failure, Run, Status};

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Where a server listens by default.
pub const DEFAULT_URL: &str = "http://127.0.0.1:27288";

/// How long the server may take to answer, in addition to what it waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of a server. It can be cloned and used by several threads.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// Returns a client of the server at a URL such as [`DEFAULT_URL`].
    ///
    /// The error is [`Error::Usage`] if the URL is not `http://` or `https://`, or if the token would be sent
    /// unencrypted to another machine.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let base = url.trim_end_matches('/').to_owned();
        let plain = base.strip_prefix("http://");
        if plain.is_none() && !base.starts_with("https://") {
            return Err(Error::Usage(format!(
                "{url:?} is no URL of a server; give one such as {DEFAULT_URL}"
            )));
        }
        let token = token.filter(|t| !t.is_empty()).map(str::to_owned);
        if token.is_some() && plain.is_some_and(|rest| !is_loopback(rest)) {
            return Err(Error::Usage(format!(
                "the token would be sent unencrypted to {base}; use https://, which needs the feature tls"
            )));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Client {
            agent: config.into(),
            base,
            token,
        })
    }

    /// Returns a client of the server at `FLAWLESS_URL`, or [`DEFAULT_URL`], with the token in
    /// `FLAWLESS_TOKEN`, if it is set.
    pub fn from_env() -> Result<Self, Error> {
        let url = std::env::var("FLAWLESS_URL").unwrap_or_else(|_| DEFAULT_URL.to_owned());
        Client::new(&url, std::env::var("FLAWLESS_TOKEN").ok().as_deref())
    }

    /// Starts building a run of a workflow; [`Start::send`] starts it.
    pub fn start(&self, module: &str, workflow: &str) -> Start<'_> {
        Start {
            client: self,
            body: Body {
                module: module.to_owned(),
                workflow: workflow.to_owned(),
                ..Body::default()
            },
        }
    }

    /// Waits until a run has ended, and returns its output.
    ///
    /// The error is [`Error::Run`] if it ended without output, and [`Error::Unresolved`] if it needs a
    /// decision. Other errors do not affect the run: wait again.
    pub fn wait<T: DeserializeOwned>(&self, id: &str) -> Result<T, Error> {
        loop {
            let path = format!("/runs/{}?wait=true", escaped(id));
            match self.get::<Run>(&path, Duration::from_secs(60)) {
                Ok(run) if run.status.is_final() || run.status == Status::Unresolved => {
                    return run.into_output();
                }
                Ok(_) | Err(Error::TimedOut) => {} // it goes on
                Err(e) => return Err(e),
            }
        }
    }

    /// Returns the current state of a run.
    pub fn run(&self, id: &str) -> Result<Run, Error> {
        self.get(&format!("/runs/{}", escaped(id)), PATIENCE)
    }

    /// Returns the data that a run has published.
    pub fn data<T: DeserializeOwned>(&self, id: &str) -> Result<T, Error> {
        self.get(&format!("/runs/{}/data", escaped(id)), PATIENCE)
    }

    /// Sends a message to a run. Messages with the same key are delivered only once, so choose a key if you
    /// may have to repeat the call.
    pub fn send(
        &self,
        run: &str,
        kind: &str,
        key: Option<&str>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), Error> {
        let mut body = json!({"type": kind, "value": encoded(value)?});
        if let Some(key) = key {
            body["key"] = key.into();
        }
        let path = format!("/runs/{}/messages", escaped(run));
        self.post::<Value>(&path, &body).map(drop)
    }

    /// Cancels a run. `note` is the reason, for its log.
    pub fn cancel(&self, run: &str, note: &str) -> Result<Run, Error> {
        let path = format!("/runs/{}/cancel", escaped(run));
        self.post(&path, &json!({"note": note}))
    }

    /// Settles a promise by its token.
    pub fn settle(&self, token: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let path = format!("/promises/{}", escaped(token));
        self.post::<Value>(&path, &encoded(value)?).map(drop)
    }

    fn get<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T, Error> {
        let mut request = self.agent.get(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.config().timeout_global(Some(limit)).build();
        answer(request.call())
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let mut request = self.agent.post(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.config().timeout_global(Some(PATIENCE)).build();
        let text = serde_json::to_vec(body).map_err(|e| Error::Usage(e.to_string()))?;
        answer(request.content_type("application/json").send(&text[..]))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }
}

#[cfg(feature = "typed")]
impl Client {
    /// Starts building a run of a workflow from a crate that this program uses, see `#[flawless::workflow]`.
    pub fn start_typed<W: flawless::WorkflowType>(&self, module: &str) -> StartTyped<'_, W> {
        StartTyped(self.start(module, W::NAME), std::marker::PhantomData)
    }

    /// Waits until a run has ended, like [`Client::wait`].
    pub fn wait_typed<W: flawless::WorkflowType>(&self, id: &str) -> Result<W::Output, Error>
    where
        W::Output: DeserializeOwned,
    {
        self.wait(id)
    }

    /// Sends a message by its type like [`Client::send`], see `#[flawless::message]`.
    pub fn send_typed<M: flawless::MessageType + Serialize>(
        &self,
        run: &str,
        key: Option<&str>,
        message: &M,
    ) -> Result<(), Error> {
        self.send(run, M::NAME, key, message)
    }
}

/// A run of a workflow from a crate that this program uses, before it is started.
#[cfg(feature = "typed")]
#[must_use = "it is started by `send`"]
pub struct StartTyped<'a, W>(Start<'a>, std::marker::PhantomData<W>);

#[cfg(feature = "typed")]
impl<W: flawless::WorkflowType> StartTyped<'_, W> {
    /// Sets the id, see [`Start::id`].
    pub fn id(self, id: &str) -> Self {
        StartTyped(self.0.id(id), self.1)
    }

    /// Sets the input.
    pub fn input(self, input: &W::Input) -> Result<Self, Error>
    where
        W::Input: Serialize,
    {
        Ok(StartTyped(self.0.input(input)?, self.1))
    }

    /// Starts the run, see [`Start::send`].
    pub fn send(self) -> Result<Run, Error> {
        self.0.send()
    }
}

#[derive(Default, Serialize)]
struct Body {
    module: String,
    workflow: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency_key: Option<String>,
}

/// A run, before it is started.
#[must_use = "it is started by `send`"]
pub struct Start<'a> {
    client: &'a Client,
    body: Body,
}

impl Start<'_> {
    /// Sets the id. Repeating the request with the same id starts only one run: choose one, such as the
    /// number of the order, so that you can try again after an error. Without an id, the server generates
    /// one.
    pub fn id(mut self, id: &str) -> Self {
        self.body.id = Some(id.to_owned());
        self
    }

    /// Sets the input. The error is [`Error::Usage`] if the value cannot be written as JSON.
    pub fn input(mut self, input: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        self.body.input = Some(encoded(input)?);
        Ok(self)
    }

    /// Sets the version of the module; the default is the newest.
    pub fn version(mut self, version: &str) -> Self {
        self.body.version = Some(version.to_owned());
        self
    }

    /// Sets a label of the run.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.body.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the concurrency key: only one run with the same key runs at a time.
    pub fn concurrency_key(mut self, key: &str) -> Self {
        self.body.concurrency_key = Some(key.to_owned());
        self
    }

    /// Starts the run, and returns once the server has accepted it durably. After [`Error::TimedOut`] and
    /// [`Error::Unreachable`] the run may or may not have been accepted: repeat the request with the same id.
    pub fn send(self) -> Result<Run, Error> {
        #[derive(Deserialize)]
        struct Started {
            run: Run,
        }
        let started: Started = self.client.post("/runs", &self.body)?;
        Ok(started.run)
    }
}

fn encoded(value: &(impl Serialize + ?Sized)) -> Result<Value, Error> {
    serde_json::to_value(value)
        .map_err(|e| Error::Usage(format!("the value has no form in JSON: {e}")))
}

/// Decodes an answer, or a problem.
fn answer<T: DeserializeOwned>(
    got: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<T, Error> {
    let mut response = got.map_err(Error::of)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(256 << 20);
    let text = body.read_to_vec().map_err(Error::of)?;
    if status >= 300 {
        return Err(Error::refusal(status, &text));
    }
    let text = if text.is_empty() { b"null" } else { &text[..] };
    serde_json::from_slice(text).map_err(|e| Error::Unexpected(e.to_string()))
}

/// Whether a host is this machine.
fn is_loopback(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return false;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|a| a.is_loopback())
}

/// A segment of a path.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(b));
            }
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_sent_to_other_machines_only_encrypted() {
        for url in [
            "http://localhost:1",
            "http://127.0.0.1",
            "http://[::1]:80/",
            "https://a.example",
        ] {
            assert!(Client::new(url, Some("t")).is_ok(), "{url}");
        }
        for url in [
            "http://a.example",
            "http://127.0.0.1.a.example:1",
            "http://localhost@a.example/",
            "http://localhost:1@a.example",
            "ftp://localhost",
            "localhost:1",
        ] {
            assert!(
                matches!(Client::new(url, Some("t")), Err(Error::Usage(_))),
                "{url}"
            );
        }
        assert!(Client::new("http://a.example", None).is_ok());
    }

    #[test]
    fn ids_are_escaped() {
        assert_eq!(escaped("a/b ä?.~"), "a%2Fb%20%C3%A4%3F.~");
    }
}
