//! What a panic leaves behind.

use std::panic::PanicHookInfo;

use crate::absent::explained;
use crate::head::call_site;
use crate::log::complain;
use crate::run::{Mode, mode};
use crate::workflow::Ending;
use crate::{host, saga};

/// Makes a panic end the run, with its message and where it was, after the sagas it came out of were
/// undone as far as that can be. Before there is a run it is a line
/// of standard error, from which the engine tells why the module is refused.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let (message, site) = words(info);
        if mode() == Mode::Outside {
            host::complain(&format!("panicked at {site}: {message}"));
            return;
        }
        complain(&format!("panicked: {message}"), &site);
        saga::panicked(&message, |steps| {
            complain(&format!("undoing {}", steps.join(", ")), &site);
        });
        let ending = Ending::Failure {
            kind: "panic",
            message: explained(message),
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
        .map_or_else(String::new, |l| call_site(l.file(), l.line()));
    (message, site)
}
