//! The run's data.

use std::panic::Location;

use serde::Serialize;

use crate::head::Head;
use crate::json;
use crate::run::{Mode, mode};
use crate::{Error, host, size};

/// Publishes a value as the data of the run: JSON that can be read from outside while the run continues and
/// after it has ended. The last value wins. It becomes visible once the turn is durable, together with
/// everything else of that turn, so readers never see data of a turn that a crash has undone. The call does
/// not wait.
///
/// The error is [`Error::Json`] if the value cannot be written as JSON, [`Error::Call`] of
/// [`crate::Kind::TooLarge`] if the JSON is longer than 64 MiB, or [`Error::Outside`].
///
/// ```
/// # fn work() -> Result<(), flawless::Error> {
/// flawless::set_data(&("pages", 7))?;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn set_data<T: Serialize + ?Sized>(value: &T) -> Result<(), Error> {
    let body = json::encode("the run's data", value)?;
    if mode() == Mode::Outside {
        return Err(Error::Outside);
    }
    size::check("data", &body)?;
    let mut head = Head::new();
    head.at(Location::caller());
    host::call("data", &head.end(), &body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_data_outside_a_run_fails() {
        assert_eq!(set_data(&1), Err(Error::Outside));
    }

    #[test]
    fn data_that_is_not_json_is_rejected() {
        let odd = std::collections::BTreeMap::from([(vec![1], 2)]);
        let error = set_data(&odd).unwrap_err().to_string();
        assert!(
            error.contains("the run's data cannot be written as JSON"),
            "{error}"
        );
    }
}
