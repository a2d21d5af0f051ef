//! JSON, with errors that say what was being written or read.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::error::JsonError;

pub(crate) fn encode<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|e| {
        Error::Json(JsonError {
            message: format!("{what} cannot be written as JSON: {e}"),
        })
    })
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|e| {
        Error::Json(JsonError {
            message: format!("{what} does not fit {}: {e}", std::any::type_name::<T>()),
        })
    })
}
