//! The workflows of a module.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::absent::explained;
use crate::cancelled::is_cancellation;
use crate::head::Head;
use crate::size::{MAX_BODY, MAX_TEXT, cut};
use crate::{json, key};

/// A workflow, as described by the attribute [`crate::workflow`].
pub struct Workflow {
    /// Its name.
    pub name: &'static str,
    /// Its description for people.
    pub doc: &'static str,
    /// The JSON Schema of its input, if it has one.
    pub input: Option<fn() -> Vec<u8>>,
    /// The JSON Schema of its output.
    pub output: fn() -> Vec<u8>,
    /// Its function.
    pub body: Body,
}

/// The function of a workflow.
pub enum Body {
    /// A plain function.
    Plain(fn(&[u8]) -> Ending),
    /// An `async fn`.
    Async(fn(&[u8]) -> Running),
}

/// An async workflow that has started.
pub type Running = Pin<Box<dyn Future<Output = Ending>>>;

static WORKFLOWS: Mutex<Vec<&'static Workflow>> = Mutex::new(Vec::new());

/// Registers a workflow of the module.
pub fn register(workflow: &'static Workflow) {
    let mut all = WORKFLOWS.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(workflow);
}

/// Returns the workflows of the module, ordered by name.
pub(crate) fn all() -> Vec<&'static Workflow> {
    let mut all = WORKFLOWS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    all.sort_by_key(|w| w.name);
    all
}

/// Returns the manifest of a module with these workflows.
///
/// # Panics
/// If two have the same name, or if some are plain functions and others are not: the author has to know
/// before the module is added.
pub(crate) fn manifest(all: &[&Workflow]) -> Vec<u8> {
    for pair in all.windows(2) {
        assert!(
            pair[0].name != pair[1].name,
            "workflow {:?} is registered twice; names must be unique within a module",
            pair[0].name
        );
    }
    let plain = all.iter().find(|w| matches!(w.body, Body::Plain(_)));
    let other = all.iter().find(|w| matches!(w.body, Body::Async(_)));
    if let (Some(plain), Some(other)) = (plain, other) {
        panic!(
            "workflow {:?} is a plain function and workflow {:?} an async one; make both the same, or build two modules",
            plain.name, other.name
        );
    }
    let workflows: Vec<Vec<u8>> = all.iter().map(|w| w.manifest()).collect();
    let mut o = Head::new();
    o.str("sdk", concat!("rust/", env!("CARGO_PKG_VERSION")));
    o.raw(
        "workflows",
        &[&b"["[..], &workflows.join(&b","[..]), b"]"].concat(),
    );
    o.raw("hosts", b"[]");
    let keys = key::all();
    if !keys.is_empty() {
        o.raw("keys", &key::manifest(&keys));
    }
    o.end()
}

/// Returns the workflow with that name, or an error that lists the names there are.
pub(crate) fn find<'a>(all: &[&'a Workflow], name: &str) -> Result<&'a Workflow, String> {
    if let Some(w) = all.iter().find(|w| w.name == name) {
        return Ok(w);
    }
    if all.is_empty() {
        return Err(format!(
            "no workflow {name:?}: the module has none; put #[flawless::workflow] on a function"
        ));
    }
    let names: Vec<&str> = all.iter().map(|w| w.name).collect();
    Err(format!(
        "no workflow {name:?}: the module has {}",
        names.join(", ")
    ))
}

impl Workflow {
    fn manifest(&self) -> Vec<u8> {
        let mut o = Head::new();
        o.str("name", self.name);
        if !self.doc.is_empty() {
            o.str("doc", self.doc);
        }
        if let Some(input) = self.input {
            o.raw("input", &input());
        }
        o.raw("output", &(self.output)());
        o.end()
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an output, as JSON.
    Output(Vec<u8>),
    /// Without an output.
    Failure {
        /// `error`, `panic` or `cancelled`.
        kind: &'static str,
        /// What happened.
        message: String,
        /// Where it happened, or empty.
        stack: String,
    },
}

impl Ending {
    pub(crate) fn error(message: String) -> Self {
        Ending::Failure {
            kind: "error",
            message,
            stack: String::new(),
        }
    }

    /// Returns whether there is an output, and the JSON for the engine.
    pub(crate) fn text(self) -> (bool, Vec<u8>) {
        match self {
            Ending::Output(text) if text.len() > MAX_BODY => Ending::error(format!(
                "the output has {} bytes, the limit is {MAX_BODY}; store it elsewhere and return its location",
                text.len()
            ))
            .text(),
            Ending::Output(text) => (true, text),
            Ending::Failure {
                kind,
                message,
                stack,
            } => {
                let mut o = Head::new();
                o.str("kind", kind);
                o.str("message", &cut(&message, MAX_TEXT));
                if !stack.is_empty() {
                    o.str("stack", &stack);
                }
                (false, o.end())
            }
        }
    }
}

/// A type that can be the input of a workflow: serde reads it, and schemars describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a workflow",
    note = "derive serde::Deserialize and schemars::JsonSchema for it"
)]
pub trait Input: DeserializeOwned + JsonSchema {}

impl<T: DeserializeOwned + JsonSchema> Input for T {}

/// A type that can be the output of a workflow: serde writes it, and schemars describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a workflow",
    note = "derive serde::Serialize and schemars::JsonSchema for it"
)]
pub trait Output: Serialize + JsonSchema {}

impl<T: Serialize + JsonSchema> Output for T {}

/// A type that a workflow can return: an output, or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "a workflow cannot return `{Self}`",
    note = "return a value for which serde::Serialize and schemars::JsonSchema are derived, or a Result of one and an error"
)]
pub trait Returned {
    /// The type of the output.
    type Output: Output;

    /// How a run ends that returns this.
    fn ending(self) -> Ending;
}

/// Tells whether a type is a `Result`, by whatever name: an inherent constant takes precedence over that of a
/// trait. An `Err` that counted as a value would complete the run.
pub struct Kind<T>(PhantomData<T>);

impl<T, E> Kind<Result<T, E>> {
    /// It is a `Result`.
    pub const IS_RESULT: bool = true;
}

/// See [`Kind`].
pub trait OtherKind {
    /// It is not a `Result`.
    const IS_RESULT: bool = false;
}

impl<T> OtherKind for Kind<T> {}

/// A value that is not a `Result`.
pub struct Value<T>(pub T);

impl<T: Output> Returned for Value<T> {
    type Output = T;

    fn ending(self) -> Ending {
        output(&self.0)
    }
}

impl<T: Output, E: Into<Box<dyn StdError>>> Returned for Result<T, E> {
    type Output = T;

    fn ending(self) -> Ending {
        match self {
            Ok(value) => output(&value),
            Err(error) => failure(&*error.into()),
        }
    }
}

fn output<T: Serialize>(value: &T) -> Ending {
    match json::encode("the output", value) {
        Ok(text) => Ending::Output(text),
        Err(e) => Ending::error(e.to_string()),
    }
}

/// Returns the ending for an error: its message, and those of its sources that it does not contain.
fn failure(error: &(dyn StdError + 'static)) -> Ending {
    let kind = match is_cancellation(error) {
        true => "cancelled",
        false => "error",
    };
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(e) = next {
        let text = e.to_string();
        if !message.contains(&text) {
            let _ = write!(message, ": {text}");
        }
        next = e.source();
    }
    Ending::Failure {
        kind,
        message: explained(message),
        stack: String::new(),
    }
}

/// Reads the input of a workflow. A missing input is read as `null`.
pub fn read_input<T: Input>(text: &[u8]) -> Result<T, Ending> {
    let text = if text.is_empty() { b"null" } else { text };
    serde_json::from_slice(text)
        .map_err(|e| Ending::error(format!("the input does not fit the workflow: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{input_schema, output_schema};
    use crate::{Cancelled, Error};
    use serde_json::json;

    fn workflow(name: &'static str, body: Body) -> Workflow {
        Workflow {
            name,
            doc: "Does it.",
            input: Some(input_schema::<Vec<u8>>),
            output: output_schema::<Value<String>>,
            body,
        }
    }

    fn plain(name: &'static str) -> Workflow {
        workflow(name, Body::Plain(|_| Ending::Output(Vec::new())))
    }

    fn asynchronous(name: &'static str) -> Workflow {
        workflow(
            name,
            Body::Async(|_| Box::pin(async { Ending::Output(Vec::new()) })),
        )
    }

    #[test]
    fn manifest_describes_the_workflows() {
        let text = manifest(&[&plain("a"), &plain("b")]);
        let m: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(m["sdk"], json!(concat!("rust/", env!("CARGO_PKG_VERSION"))));
        assert_eq!(m["workflows"][1]["name"], json!("b"));
        assert_eq!(m["workflows"][0]["doc"], json!("Does it."));
        assert_eq!(m["workflows"][0]["input"]["type"], json!("array"));
        assert_eq!(m["workflows"][0]["output"]["type"], json!("string"));
    }

    #[test]
    #[should_panic(expected = "is registered twice")]
    fn names_must_be_unique() {
        manifest(&[&plain("a"), &plain("a")]);
    }

    #[test]
    #[should_panic(expected = "is a plain function and workflow \"b\" an async one")]
    fn a_module_is_plain_or_async() {
        manifest(&[&plain("a"), &asynchronous("b")]);
    }

    #[test]
    fn unknown_name_is_reported() {
        let (a, b) = (plain("a"), plain("b"));
        assert!(find(&[&a, &b], "b").is_ok_and(|w| w.name == "b"));
        let error = find(&[&a, &b], "c").err().unwrap();
        assert_eq!(error, "no workflow \"c\": the module has a, b");
        assert!(find(&[], "c").is_err_and(|e| e.contains("has none")));
    }

    fn told(ending: Ending) -> String {
        let (ok, text) = ending.text();
        format!("{ok} {}", String::from_utf8(text).unwrap())
    }

    #[test]
    fn returned_value_decides_the_ending() {
        assert_eq!(told(Value(7).ending()), "true 7");
        assert_eq!(told(Ok::<_, Error>("x").ending()), "true \"x\"");
        let why = Cancelled {
            by: String::new(),
            note: "late".into(),
        };
        let rows = [
            (
                Err::<(), String>("broken".into()).ending(),
                r#"false {"kind":"error","message":"broken"}"#,
            ),
            (
                Err::<(), Error>(why.into()).ending(),
                r#"false {"kind":"cancelled","message":"the run was cancelled: late"}"#,
            ),
        ];
        for (ending, want) in rows {
            assert_eq!(told(ending), want);
        }
    }

    #[test]
    fn oversized_output_is_a_failure() {
        let text = told(Ending::Output(vec![b'1'; MAX_BODY + 1]));
        assert!(
            text.starts_with(r#"false {"kind":"error","message":"the output has 67108865 bytes"#),
            "{text}"
        );
    }

    #[test]
    fn input_that_does_not_fit_is_reported() {
        assert_eq!(read_input::<u8>(b"7"), Ok(7));
        assert_eq!(read_input::<Option<u8>>(b""), Ok(None));
        let ending = read_input::<u8>(b"\"7\"").unwrap_err();
        assert!(told(ending).contains("the input does not fit the workflow: invalid type"));
    }
}
