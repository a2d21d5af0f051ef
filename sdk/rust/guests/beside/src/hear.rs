//! A response that is read as it comes.

use flawless::{Error, http};

/// Reads a response as it comes, up to some parts, and publishes how many it has. It returns the status, the
/// parts, and what went wrong.
#[flawless::workflow("hear")]
async fn hear((url, enough): (String, Option<usize>)) -> Result<(u16, Vec<String>, String), Error> {
    let mut stream = http::post(url).stream().await?;
    let (status, mut parts, mut wrong) = (stream.status, Vec::new(), String::new());
    while wrong.is_empty() && enough != Some(parts.len()) {
        match stream.next().await {
            Ok(Some(part)) => parts.push(String::from_utf8_lossy(&part).into_owned()),
            Ok(None) => break,
            Err(Error::Call(e)) => wrong = format!("{}: {}", e.kind, e.message),
            Err(e) => return Err(e),
        }
        flawless::set_data(&parts.len())?;
    }
    Ok((status, parts, wrong))
}
