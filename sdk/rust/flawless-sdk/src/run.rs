//! The run that a guest carries out.

use std::cell::{Cell, RefCell};

use serde::Deserialize;

use crate::host;

/// How code waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// There is no run.
    Outside,
    /// A plain function: it blocks.
    Plain,
    /// An `async fn`: it returns to the executor.
    Async,
}

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::Outside) };
    static SECRETS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Returns how the code of the run waits.
pub(crate) fn mode() -> Mode {
    MODE.get()
}

/// Begins or ends the run. A guest has one in its lifetime.
pub(crate) fn set(mode: Mode) {
    MODE.set(mode);
}

/// Sets the token in placeholders of secrets.
pub(crate) fn set_secrets(secrets: String) {
    SECRETS.replace(secrets);
}

/// What the engine tells the run about itself.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    pub(crate) run: String,
    pub(crate) workflow: String,
    pub(crate) url: String,
    pub(crate) secrets: String,
}

/// Returns what the engine tells the run about itself at the moment: a fork has another id than the original
/// run.
pub(crate) fn told() -> Told {
    match host::part(0, host::HEAD) {
        none if none.is_empty() => Told::default(),
        head => serde_json::from_slice(&head).expect("the start of the run cannot be read"),
    }
}

/// Returns the token in placeholders of secrets, or `""` outside a workflow.
pub(crate) fn secrets() -> String {
    SECRETS.with_borrow(Clone::clone)
}

/// Returns the URL of the server, or `""` outside a workflow.
pub(crate) fn url() -> String {
    told().url
}

/// Returns the id of the run, or `""` outside a workflow. It is the same in every replay. In a fork, it is
/// the id of the original run during the turns that both share, and the fork's own id after that.
pub fn run_id() -> String {
    told().run
}

#[cfg(test)]
mod tests {
    #[test]
    fn run_id_is_empty_outside_a_run() {
        assert_eq!(super::run_id(), "");
    }
}
