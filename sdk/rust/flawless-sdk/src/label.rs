//! Labels of the run.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;

use crate::head::Head;
use crate::host;
use crate::run::{Mode, mode};

/// Gives the run a label by which people and other programs find it: `flawless workflow list --label
/// customer=4711`. No value removes it. A run has at most 20; one more is left out, and a line in the
/// log of the run says so. It does not wait and becomes visible with the turn.
///
/// A name is 1 to 63 letters, digits, dots, dashes, underscores and slashes and begins with a letter or
/// digit, a value is at most 200 bytes of text in one line.
///
/// ```
/// # fn work() -> Result<(), flawless::LabelError> {
/// flawless::set_label("customer", "4711")?;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn set_label(name: &str, value: &str) -> Result<(), LabelError> {
    let first = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_/".contains(&b);
    if !first || name.len() > 63 || !name.bytes().all(fits) {
        return Err(LabelError::Name(name.to_owned()));
    }
    if value.len() > 200 || value.chars().any(char::is_control) {
        return Err(LabelError::Value(name.to_owned()));
    }
    if mode() == Mode::Outside {
        return Err(LabelError::Outside);
    }
    let mut head = Head::new();
    head.str("name", name);
    head.str("value", value);
    head.at(Location::caller());
    host::call("label", &head.end(), b"");
    Ok(())
}

/// Why a label cannot be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelError {
    /// This is no name for one.
    Name(String),
    /// The value of the label of this name is none.
    Value(String),
    /// There is no run.
    Outside,
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelError::Name(name) => write!(
                f,
                "a label's name is 1 to 63 letters, digits, dots, dashes, underscores and slashes and begins with a letter or digit, {name:?} is not"
            ),
            LabelError::Value(name) => write!(
                f,
                "the value of label {name} is not text of at most 200 bytes in one line"
            ),
            LabelError::Outside => crate::Error::Outside.fmt(f),
        }
    }
}

impl StdError for LabelError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_label_is_told() {
        for (name, value, want) in [
            ("", "a", LabelError::Name(String::new())),
            ("-a", "a", LabelError::Name("-a".into())),
            ("a b", "a", LabelError::Name("a b".into())),
            ("a", "b\n", LabelError::Value("a".into())),
            ("a/b.c", "b", LabelError::Outside),
        ] {
            assert_eq!(set_label(name, value), Err(want));
        }
    }
}
