//! Requests that the code gives up waiting for.

use std::time::Duration;

use flawless::http::{self, Request, Response};
use flawless::{Error, Wait, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// Posts with a limit of a second, which is kept in some way, and again while that is too short, three
/// times at most. Tells how often, and the response.
#[flawless::workflow("late")]
fn late((url, how): (String, String)) -> Result<(u32, String), Error> {
    for tries in 1..=3 {
        if let Some(response) = once(http::post(&url), &how)? {
            return Ok((tries, response.text()));
        }
    }
    Ok((3, "elapsed".to_owned()))
}

fn once(request: Request, how: &str) -> Result<Option<Response>, Error> {
    match how {
        "await" => request.send().wait().map(Some),
        "await idempotent" => request.idempotent().send().wait().map(Some),
        "await any" => {
            let sent = [request.send()];
            http::wait_any(&sent)?;
            let [sent] = sent;
            sent.wait().map(Some)
        }
        "await for a day" => {
            let mut sent = request.send();
            sent.wait_for(24 * 3600 * SECOND)
        }
        "timeout" => timeout(SECOND, request.send()).wait().ok().transpose(),
        "idempotent" => timeout(SECOND, request.idempotent().send())
            .wait()
            .ok()
            .transpose(),
        "dropped" => request.send().wait_for(SECOND),
        other => panic!("no such way: {other}"),
    }
}

/// Returns while a request is under way that nobody waits for, and a moment after it has made another.
#[flawless::workflow("leave")]
fn leave(url: String) -> Result<(), Error> {
    let _first = http::post(format!("{url}-first")).send();
    sleep(SECOND).wait()?;
    let _second = http::post(format!("{url}-second")).send();
    Ok(())
}

/// Takes a step of two requests and then sleeps, or panics while they are under way.
#[flawless::workflow("undone")]
fn undone((url, panics): (String, bool)) -> Result<(), Error> {
    flawless::saga(async |s| {
        let (put, post) = (format!("{url}-put"), format!("{url}-post"));
        let step = async move {
            let (a, b) = (http::put(put).send(), http::post(post).send());
            if panics {
                sleep(SECOND).await?;
                panic!("it fell");
            }
            a.await.and(b.await).map(drop)
        };
        let undo = format!("{url}-undo");
        s.step("both", step, move || {
            let undo = undo.clone();
            async move { http::delete(undo).send().await?.success().map(drop) }
        })
        .await?;
        sleep(3600 * SECOND).await
    })
    .wait()
}
