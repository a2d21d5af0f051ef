//! Promises: values that somebody outside the run provides.

use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::asking::Asked;
use crate::head::Head;
use crate::schema::wanted;
use crate::workflow::Input;
use crate::{Error, json, random, run, run_id};

/// Makes a promise: a value that somebody outside the run provides, once, such as a person who approves or a
/// service that calls back. Anyone who knows its [`Promise::url`] or [`Promise::token`], neither of which can
/// be guessed, can settle it, but only once. A value that does not fit the JSON Schema of `T` is rejected and
/// settles nothing. The promise exists once the turn is durable. The name is for people.
///
/// ```
/// # async fn work() -> Result<(), flawless::Error> {
/// let approval = flawless::promise::<bool>("approval");
/// flawless::http::post("https://chat.example/").body(approval.url()).send().await?;
/// if approval.await? { println!("approved") }
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn promise<T: Input>(name: &str) -> Promise<T> {
    Promise::new(name, None, Location::caller())
}

/// Makes a promise like [`promise`] that expires: if nobody has settled it in time, it ends with an error of
/// [`crate::Kind::Expired`].
#[track_caller]
pub fn promise_for<T: Input>(name: &str, time: Duration) -> Promise<T> {
    Promise::new(name, Some(crate::sleep::after(time)), Location::caller())
}

/// A promise, and a future of its value. The error is [`Error::Call`], with [`crate::Kind::Rejected`] if the
/// promise was settled with an error.
#[must_use = "the value comes by `.await`, or by `.wait()` in a plain function"]
pub struct Promise<T> {
    token: String,
    asked: Asked,
    value: PhantomData<fn() -> T>,
}

impl<T> Promise<T> {
    fn new(name: &str, expires: Option<i64>, site: &Location<'_>) -> Self
    where
        T: Input,
    {
        let secret = draw();
        let mut head = Head::new();
        if !name.is_empty() {
            head.str("name", name);
        }
        head.str("secret", &secret);
        if let Some(at) = expires {
            head.int("expires", at);
        }
        if let Some(schema) = wanted::<T>() {
            head.raw("schema", &schema);
        }
        let asked = Asked::make("promise", name, head, Ok(Vec::new()), site);
        let token = match asked.about.call {
            0 => String::new(),
            call => format!("{secret}.{call}.{}", run_id()),
        };
        Promise {
            token,
            asked,
            value: PhantomData,
        }
    }

    /// Returns the token that settles the promise with `flawless workflow promise settle`, or `""` if the
    /// promise could not be made.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the URL that settles the promise: send a POST with the value as JSON. It is `""` if the
    /// promise could not be made.
    pub fn url(&self) -> String {
        if self.token.is_empty() {
            return String::new();
        }
        format!("{}/api/v1/promises/{}", run::url(), escaped(&self.token))
    }
}

impl<T: DeserializeOwned> Future for Promise<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.asked.poll(cx).map(|answer| {
            let what = format!(
                "promise {}: the value it was settled with",
                self.asked.about.url
            );
            json::decode(&what, &answer?.body)
        })
    }
}

/// Returns 125 random bits as 25 digits and letters.
fn draw() -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut bytes = [0; 25];
    random::fill(&mut bytes);
    bytes
        .iter()
        .map(|b| char::from(DIGITS[usize::from(b % 32)]))
        .collect()
}

/// Percent-encodes text for the path of a URL.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ() {
        let (a, b) = (draw(), draw());
        assert_eq!((a.len(), a == b), (25, false));
    }

    #[test]
    fn token_is_valid_in_a_path() {
        assert_eq!(escaped("a.7.order 4/ü"), "a.7.order%204%2F%C3%BC");
    }

    #[test]
    fn promise_outside_a_run_fails() {
        let p = promise::<u8>("p");
        assert_eq!((p.token(), &*p.url()), ("", ""));
        assert_eq!(crate::executor::finish(p), Some(Err(Error::Outside)));
    }
}
