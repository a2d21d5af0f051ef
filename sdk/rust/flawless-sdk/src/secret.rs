//! Secrets.

use crate::run;

/// Returns a placeholder for a secret that the operator has stored in the engine. Use it in the headers, the
/// URL or the body of a request. The engine replaces it by the value on the wire if the operator has allowed
/// the secret for the host of the request. Otherwise the request is not sent, and the call returns
/// [`crate::Error::NotSent`] with the reason `policy`.
///
/// The run never sees the value, so it cannot hash or compare it. If the server sends the value back, the
/// response has the placeholder in its place. A placeholder works only in requests of the run that made it.
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
/// If the name does not have 1 to 100 letters, digits, dashes and underscores.
#[track_caller]
pub fn secret(name: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    assert!(
        (1..=100).contains(&name.len()) && name.bytes().all(fits),
        "invalid secret name {name:?}: use 1 to 100 letters, digits, dashes and underscores"
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
    fn secret_outside_a_run_is_a_placeholder() {
        assert_eq!(secret("A_b-1"), "flawless-secret.A_b-1.outside");
    }

    #[test]
    #[should_panic(expected = "invalid secret name")]
    fn invalid_name_panics() {
        secret("a b");
    }
}
