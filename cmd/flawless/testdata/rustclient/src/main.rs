//! A program that uses a server by way of flawless-client, whose workflows it knows by their types. The module
//! is the one of sdk/rust/guests/plain, under the name plain.
//!
//!     rustclient URL

use flawless::Error as Failure;
use flawless_client::{Client, Error, Status};

/// The workflow of the module, as this program knows it.
#[flawless::workflow("deep")]
fn deep(_times: u32) -> u32 {
    unreachable!("it runs on the server")
}

#[flawless::workflow("note")]
fn note() -> Result<String, Failure> {
    unreachable!("it runs on the server")
}

#[flawless::message("note")]
#[derive(serde::Serialize)]
struct Note(String);

/// What the run does not wait for.
#[flawless::message("note")]
#[derive(serde::Serialize)]
struct Number(u8);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL of a server")?;
    let token = std::env::var("FLAWLESS_TOKEN").ok();
    let client = Client::new(&url, token.as_deref())?;
    let start = |times| client.start_typed::<deep>("plain").id("mine").input(&times);

    // One run, however often it is asked for.
    let run = start(100)?.send()?;
    assert_eq!(start(100)?.send()?.id, run.id);
    assert_eq!(client.wait_typed::<deep>(&run.id)?, 100);
    assert_eq!(client.run("mine")?.status, Status::Completed);
    let other = start(7)?.send();
    assert!(
        matches!(other, Err(Error::Refused { status: 409, ref code, .. }) if code.is_conflict()),
        "{other:?}"
    );

    let missing = client.start("plain", "none").send();
    assert!(
        matches!(missing, Err(Error::Refused { ref code, .. }) if code.is_not_found()),
        "{missing:?}"
    );
    let unfit = client.start("plain", "deep").input("x")?.send();
    assert!(
        matches!(unfit, Err(Error::Refused { status: 422, ref code, .. }) if code.is_invalid()),
        "{unfit:?}"
    );
    let run = client
        .start("plain", "deep")
        .input(&5000)?
        .label("kind", "big")
        .send()?;
    let failed = client.wait::<u32>(&run.id);
    assert!(
        matches!(failed, Err(Error::Run { failure: Some(ref f), .. }) if f.kind == "trap"),
        "{failed:?}"
    );

    let run = client.start_typed::<note>("plain").send()?;
    while client.run(&run.id)?.status != Status::Waiting {}
    let unfit = client.send_typed(&run.id, None, &Number(7));
    assert!(
        matches!(unfit, Err(Error::Refused { status: 422, ref code, .. }) if code.is_invalid()),
        "{unfit:?}"
    );
    for _ in 0..2 {
        client.send_typed(&run.id, Some("once"), &Note("hello".into()))?;
    }
    assert_eq!(client.wait_typed::<note>(&run.id)?, "hello 0");
    let run = client.start_typed::<note>("plain").send()?;
    client.cancel(&run.id, "too late")?;
    let cancelled = client.wait_typed::<note>(&run.id);
    assert!(
        matches!(
            cancelled,
            Err(Error::Run {
                status: Status::Cancelled,
                ..
            })
        ),
        "{cancelled:?}"
    );
    println!("done");
    Ok(())
}
