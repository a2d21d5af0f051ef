//! Labels of the run.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;

use crate::head::Head;
use crate::host;
use crate::run::{Mode, mode};

/// Sets a label of the run, by which people and programs can find it: `flawless workflow list --label
/// customer=4711`. An empty value removes the label. A run has at most 20 labels; one more is ignored, and a
/// line in the log of the run reports it. The call does not wait; the label becomes visible once the turn is
/// durable.
///
/// A name has 1 to 63 letters, digits, dots, dashes, underscores and slashes and begins with a letter or
/// digit. A value is one line of at most 200 bytes.
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

/// Why a label cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelError {
    /// The name is invalid.
    Name(String),
    /// The value of the label with this name is invalid.
    Value(String),
    /// The call was made outside a run.
    Outside,
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelError::Name(name) => write!(
                f,
                "invalid label name {name:?}: use 1 to 63 letters, digits, dots, dashes, underscores and slashes, and begin with a letter or digit"
            ),
            LabelError::Value(name) => write!(
                f,
                "invalid value of label {name}: use one line of text of at most 200 bytes"
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
    fn invalid_labels_are_rejected() {
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
