//! The smallest workflow that does something: it waits, logs and answers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The input.
#[derive(Deserialize, JsonSchema)]
struct Person {
    /// whom to greet
    name: String,
}

/// The output.
#[derive(Serialize, JsonSchema)]
struct Greeted {
    greeting: String,
    /// milliseconds since 1970
    at: u64,
}

/// Greets somebody after a second.
#[flawless::workflow("hello-rust")]
async fn hello(person: Person) -> Result<Greeted, flawless::Error> {
    log::info!(name = person.name.as_str(); "about to greet");
    flawless::sleep(Duration::from_secs(1)).await?;
    let since = flawless::now().duration_since(std::time::UNIX_EPOCH);
    Ok(Greeted {
        greeting: format!("Hello, {}!", person.name),
        at: since.map_or(0, |d| d.as_millis() as u64),
    })
}
