//! A workflow written with the first beta of the published crates, whose bodies are arrays of numbers.

use flawless::{workflow, workflow::Input, workflow::Response};
use flawless_http::post;

flawless::module! { name = "beta1", version = "0.1.0" }

/// Posts bytes and responds with those that come back.
#[workflow("echo")]
fn echo(url: Input<String>, response: Response) {
    let answer = post(url.clone()).body(vec![0u8, 9, 127, 255]).send();
    response.send(answer.unwrap().body()).unwrap();
}
