//! Requests that the code gives up waiting for.

use std::pin::pin;
use std::time::Duration;

use flawless::http::{self, Request, Response, Retry};
use flawless::{Error, sleep, timeout};
use futures::FutureExt;

const SECOND: Duration = Duration::from_secs(1);

/// Posts with a limit of a second, which is kept in some way, and again while that is too short, three
/// times at most. Tells how often, and the response.
#[flawless::workflow("late")]
async fn late((url, how): (String, String)) -> Result<(u32, String), Error> {
    for tries in 1..=3 {
        if let Some(response) = once(http::post(&url), &how).await {
            return Ok((tries, response?.text()));
        }
    }
    Ok((3, "elapsed".to_owned()))
}

async fn once(request: Request, how: &str) -> Option<Result<Response, Error>> {
    match how {
        "await" => Some(request.send().await),
        "await idempotent" => Some(request.idempotent().send().await),
        "timeout" => timeout(SECOND, request.send()).await.ok(),
        "idempotent" => timeout(SECOND, request.idempotent().send()).await.ok(),
        "in a block" => timeout(SECOND, async { request.send().await }).await.ok(),
        "two timeouts" => {
            let inner = timeout(SECOND, request.send());
            timeout(SECOND * 2, inner).await.ok()?.ok()
        }
        "a join" => {
            let both = async { flawless::join!(request.send(), sleep(SECOND / 2)).0 };
            timeout(SECOND, both).await.ok()
        }
        "select" => flawless::select! {
            response = request.send() => Some(response),
            _ = sleep(SECOND) => None,
        },
        "select, the time first" => flawless::select! {
            _ = sleep(SECOND) => None,
            response = request.send() => Some(response),
        },
        "until cancelled" => flawless::select! {
            _ = flawless::cancelled() => None,
            response = request.send() => Some(response),
        },
        "retried" => {
            let retry = Retry {
                attempts: 9,
                initial: Duration::from_secs(60),
                statuses: vec![503],
                ..Retry::default()
            };
            timeout(SECOND, request.retry(retry).send()).await.ok()
        }
        "another select" => {
            let mut sent = request.send().fuse();
            let mut slept = pin!(sleep(SECOND).fuse());
            futures::select! {
                response = sent => Some(response),
                _ = slept => { drop(sent); None }
            }
        }
        other => panic!("no such way: {other}"),
    }
}

/// Waits for a request and counts the seconds meanwhile.
#[flawless::workflow("watched")]
async fn watched(url: String) -> Result<(u32, String), Error> {
    let mut sent = http::post(url).send();
    let mut seconds = 0;
    loop {
        flawless::select! {
            response = &mut sent => return Ok((seconds, response?.text())),
            slept = sleep(SECOND) => { slept?; seconds += 1 },
        }
    }
}

/// Waits for a request or a message, whatever comes first.
#[flawless::workflow("message-first")]
async fn message_first(url: String) -> Result<String, Error> {
    let first = flawless::select! {
        response = http::post(&url).send() => response?.text(),
        message = flawless::receive::<String>("stop") => message?,
    };
    http::post(format!("{url}-after")).send().await?;
    Ok(first)
}

/// Returns while a request is under way that nobody waits for, and a moment after it has made another.
#[flawless::workflow("leave")]
async fn leave(url: String) -> Result<(), Error> {
    let _first = http::post(format!("{url}-first")).send();
    sleep(SECOND).await?;
    let _second = http::post(format!("{url}-second")).send();
    Ok(())
}

/// Takes a step of two requests and then sleeps, where a timeout may end the saga.
#[flawless::workflow("undone")]
async fn undone((url, most): (String, u64)) -> Result<String, Error> {
    let work = flawless::saga(async |s| {
        let (put, post) = (format!("{url}-put"), format!("{url}-post"));
        let step = async move {
            let (a, b) = flawless::join!(http::put(put).send(), http::post(post).send());
            a.and(b).map(drop)
        };
        let undo = format!("{url}-undo");
        s.step("both", step, move || {
            let undo = undo.clone();
            async move { http::delete(undo).send().await?.success().map(drop) }
        })
        .await?;
        sleep(Duration::from_secs(3600)).await
    });
    match timeout(Duration::from_secs(most), work).await {
        Ok(end) => end.map(|()| "done".to_owned()).or_else(|e| match e {
            Error::GivenUp => Ok("given up".to_owned()),
            e => Err(e),
        }),
        Err(flawless::Elapsed) => Ok("elapsed".to_owned()),
    }
}
