//! What a panic leaves behind.

use std::panic::PanicHookInfo;

use crate::head::{Head, place};
use crate::host;
use crate::run::{Mode, mode};
use crate::workflow::Ending;

/// Makes a panic end the run, with its message and where it was. Before there is a run it is a line
/// of standard error, from which the engine tells why the module is refused.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let (message, site) = words(info);
        if mode() == Mode::Outside {
            host::complain(&format!("panicked at {site}: {message}"));
            return;
        }
        let mut head = Head::new();
        head.str("level", "error");
        head.str("at", &site);
        host::call(
            "log",
            &head.end(),
            format!("panicked: {message}").as_bytes(),
        );
        let ending = Ending::Failure {
            kind: "panic",
            message,
            stack: format!("at {site}"),
        };
        let (ok, text) = ending.text();
        host::finish(ok, &text);
    }));
}

fn words(info: &PanicHookInfo<'_>) -> (String, String) {
    let message = info
        .payload_as_str()
        .unwrap_or("a value that is no text")
        .to_owned();
    let site = info
        .location()
        .map_or_else(String::new, |l| place(l.file(), l.line()));
    (message, site)
}
