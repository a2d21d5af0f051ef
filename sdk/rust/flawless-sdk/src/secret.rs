//! Secrets of the engine's operator.

use crate::run;

/// Returns a placeholder for a secret of the engine's operator. Where it stands in the header, the URL
/// or the body of a request, the engine puts the value in its place on the wire, if the request goes to
/// a host that the operator has allowed for it; to any other host it is not sent, and the call ends with
/// [`crate::Error::NotSent`].
///
/// The run never holds the value: where the server sends it back, the placeholder stands in its place.
/// So it can be neither hashed nor compared. Outside a workflow the placeholder is of no use.
///
/// ```
/// # async fn work() -> Result<(), flawless::Error> {
/// flawless::http::get("https://api.example/orders")
///     .header("Authorization", format!("Bearer {}", flawless::secret("SHOP_TOKEN")))
///     .send()
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If the name is not 1 to 100 letters, digits, dashes and underscores.
#[track_caller]
pub fn secret(name: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    assert!(
        (1..=100).contains(&name.len()) && name.bytes().all(fits),
        "a secret's name is 1 to 100 letters, digits, dashes and underscores, {name:?} is not"
    );
    let token = match run::secrets() {
        none if none.is_empty() => "outside".to_owned(),
        token => token,
    };
    format!("flawless-secret.{name}.{token}")
}

#[cfg(test)]
mod tests {
    use super::secret;

    #[test]
    fn outside_it_is_of_no_use() {
        assert_eq!(secret("A_b-1"), "flawless-secret.A_b-1.outside");
    }

    #[test]
    #[should_panic(expected = "a secret's name")]
    fn a_name_is_checked() {
        secret("a b");
    }
}
