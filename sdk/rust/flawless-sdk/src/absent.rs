//! What ordinary programs have and runs do not.

/// Parts of errors of the standard library, and what to use instead. Texts such as "No such file or
/// directory" do not explain the cause. The numbers are those of WASI, so errors of the engine do not have
/// them. These are only parts of texts, because `flawless build` searches modules for the whole texts to warn
/// about code that reaches them.
const ABSENT: [(&str, &str); 5] = [
    (
        "(os error 44)",
        "a run has no files; it reaches the outside only through calls. Embed files to read with include_str! or pass their content as input; return or publish data instead of writing files, or send it to a service over HTTP",
    ),
    (
        "from the context of a Tokio",
        "a run has no Tokio runtime: use task, sleep, timeout and select! of the SDK",
    ),
    (
        "to spawn thread",
        "a run has one thread: use task, join_all or several runs (spawn)",
    ),
    (
        "not supported on this platform",
        "a run has no sockets and no processes; it reaches the outside only through calls. Use flawless::http, and reach databases over HTTP",
    ),
    (
        "(os error 58)",
        "a run has no operating system; it reaches the outside only through calls",
    ),
];

/// Appends to an error message what a run does not have and what to use instead, if that is the cause of the
/// error.
pub(crate) fn explained(message: String) -> String {
    match ABSENT.iter().find(|(sign, _)| message.contains(sign)) {
        Some((_, hint)) => format!("{message} ({hint})"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::explained;

    #[test]
    fn errors_explain_missing_facilities() {
        for (message, hint) in [
            ("No such file or directory (os error 44)", "no files"),
            (
                "failed to spawn thread: Os { code: 58, kind: Unsupported, message: \"Not supported\" }",
                "one thread",
            ),
            (
                "there is no reactor running, must be called from the context of a Tokio 1.x runtime",
                "no Tokio runtime",
            ),
            (
                "operation not supported on this platform",
                "no sockets and no processes",
            ),
            ("Not supported (os error 58)", "no operating system"),
        ] {
            let got = explained(message.to_owned());
            let added = got.strip_prefix(message).unwrap_or_default();
            assert!(added.contains(hint), "{message}: {got}");
        }
        for message in [
            "",
            "call 3, GET https://h/: not sent (dial): connection refused (os error 111)",
        ] {
            assert_eq!(explained(message.to_owned()), message);
        }
    }
}
