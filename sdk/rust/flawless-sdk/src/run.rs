//! The run that a guest carries out.

use std::cell::{Cell, RefCell};

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
    static ID: RefCell<String> = const { RefCell::new(String::new()) };
    static URL: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Returns how the code of the run waits.
pub(crate) fn mode() -> Mode {
    MODE.get()
}

/// Begins or ends the run. A guest has one in its life.
pub(crate) fn set(mode: Mode, id: String) {
    MODE.set(mode);
    ID.replace(id);
}

/// Says where the server is.
pub(crate) fn set_url(url: String) {
    URL.replace(url);
}

/// Returns where the server is, `""` outside a workflow.
pub(crate) fn url() -> String {
    URL.with_borrow(Clone::clone)
}

/// Returns the id of the run, the same in every replay, or `""` outside a workflow.
pub fn run_id() -> String {
    ID.with_borrow(Clone::clone)
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_no_run_outside() {
        assert_eq!(super::run_id(), "");
    }
}
