//! The run's data.

use std::panic::Location;

use serde::Serialize;

use crate::head::Head;
use crate::json;
use crate::run::{Mode, mode};
use crate::{Error, host, size};

/// Publishes a value as the run's data: JSON that can be read from outside while the run goes on and
/// after its end. The last value counts. It becomes visible once the turn is durable, together with
/// everything else of that turn, so that readers never see data of a turn that a crash undid.
///
/// The error is [`Error::Json`] for a value that has no form in JSON, [`Error::Call`] of kind
/// [`crate::Kind::TooLarge`] for one of more than 64 MiB, or [`Error::Outside`]. It does
/// not wait.
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
    fn there_is_no_data_outside() {
        assert_eq!(set_data(&1), Err(Error::Outside));
    }

    #[test]
    fn data_that_is_no_json_is_told() {
        let odd = std::collections::BTreeMap::from([(vec![1], 2)]);
        let error = set_data(&odd).unwrap_err().to_string();
        assert!(
            error.contains("the run's data cannot be written as JSON"),
            "{error}"
        );
    }
}
