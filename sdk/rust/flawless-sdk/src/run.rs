//! The run that a guest carries out.

use std::cell::{Cell, RefCell};

use serde::Deserialize;

use crate::host;

/// How the code of a run waits.
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

/// Begins or ends the run. A guest has one in its life.
pub(crate) fn set(mode: Mode) {
    MODE.set(mode);
}

/// Says what makes placeholders of secrets the run's own.
pub(crate) fn set_secrets(secrets: String) {
    SECRETS.replace(secrets);
}

/// What the engine tells the run of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    pub(crate) run: String,
    pub(crate) workflow: String,
    pub(crate) url: String,
    pub(crate) secrets: String,
}

/// Returns what the run is told at the moment: the fork of a run is told another id than that one.
pub(crate) fn told() -> Told {
    match host::part(0, host::HEAD) {
        none if none.is_empty() => Told::default(),
        head => serde_json::from_slice(&head).expect("the start of the run cannot be read"),
    }
}

/// Returns what makes placeholders of secrets the run's own, `""` outside a workflow.
pub(crate) fn secrets() -> String {
    SECRETS.with_borrow(Clone::clone)
}

/// Returns where the server is, `""` outside a workflow.
pub(crate) fn url() -> String {
    told().url
}

/// Returns the id of the run, the same in every replay, or `""` outside a workflow.
///
/// It changes when the run is forked: in the turns that a fork shares with another run it is the id of
/// that one, from then on the fork's own.
pub fn run_id() -> String {
    told().run
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_no_run_outside() {
        assert_eq!(super::run_id(), "");
    }
}
