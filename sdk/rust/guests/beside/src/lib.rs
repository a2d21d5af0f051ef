//! Async workflows that the tests run on an engine.

use std::time::Duration;

use flawless::{Error, http};

/// Gets a page.
#[flawless::workflow("get")]
async fn get(url: String) -> Result<(u16, String), Error> {
    let response = http::get(url).header("X-Guest", "beside").send().await?;
    Ok((response.status, response.text()))
}

/// Posts JSON once, and tells how that ended.
#[flawless::workflow("post")]
async fn post(url: String) -> String {
    match http::post(url)
        .json(&[1, 2])
        .tell_interrupted()
        .send()
        .await
    {
        Ok(response) => format!("answered {}", response.status),
        Err(Error::Interrupted(e)) => format!("interrupted call {}", e.request.call),
        Err(Error::NotSent(e)) => format!("not sent ({})", e.reason),
        Err(e) => e.to_string(),
    }
}

/// Gets all pages at once and returns them in the order of the list.
#[flawless::workflow("all")]
async fn all(urls: Vec<String>) -> Result<Vec<String>, Error> {
    let pages = flawless::join_all(urls.into_iter().map(|url| http::get(url).send())).await;
    pages.into_iter().map(|page| Ok(page?.text())).collect()
}

/// Waits for a page for a moment only, and then after all.
#[flawless::workflow("impatient")]
async fn impatient(url: String) -> Result<(bool, String), Error> {
    let mut open = http::get(url).send();
    let early = flawless::timeout(Duration::from_millis(50), &mut open).await;
    Ok((early.is_ok(), open.await?.text()))
}

/// Several things beside each other, with the milliseconds they took.
#[flawless::workflow("beside")]
async fn beside() -> Result<(u8, Vec<u128>), Error> {
    let began = flawless::now();
    let passed = || {
        flawless::now()
            .duration_since(began)
            .unwrap_or_default()
            .as_millis()
    };
    let slow = flawless::task(async {
        flawless::sleep(Duration::from_millis(80)).await?;
        Ok::<_, Error>(1)
    });
    let mut took = Vec::new();
    let (a, b) = flawless::join!(
        flawless::sleep(Duration::from_millis(20)),
        flawless::sleep(Duration::from_millis(40)),
    );
    a?;
    b?;
    took.push(passed());
    let chosen = flawless::select! {
        slept = flawless::sleep(Duration::from_secs(3600)) => { slept?; 2 },
        result = slow => result?,
    };
    took.push(passed());
    let late = flawless::timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    assert_eq!(late, Err(flawless::Elapsed));
    took.push(passed());
    Ok((chosen, took))
}

/// Publishes how far it has come while it waits.
#[flawless::workflow("tell")]
async fn tell() -> Result<String, Error> {
    for n in 1..=3 {
        flawless::set_data(&n)?;
        tracing::info!(n, "a traced line");
        flawless::sleep(Duration::from_millis(1)).await?;
    }
    Ok(flawless::run_id())
}

/// Panics in a task.
#[flawless::workflow("panic")]
async fn panic() {
    let task: flawless::Task<()> = flawless::task(async { panic!("the task cannot go on") });
    task.await;
}

/// Waits for nothing that could come.
#[flawless::workflow("stuck")]
async fn stuck() {
    std::future::pending().await
}

/// Blocks where it must not.
#[flawless::workflow("block")]
async fn block() -> Result<(), Error> {
    flawless::sleep(Duration::from_millis(1)).wait()
}

/// Sleeps for an hour, and undoes what it did when it is cancelled.
#[flawless::workflow("patient")]
async fn patient(url: String) -> Result<(), Error> {
    let slept = flawless::select! {
        slept = flawless::sleep(Duration::from_secs(3600)) => slept,
        why = flawless::cancelled() => Err(why.into()),
    };
    if slept.is_err() {
        let refused = http::get(url.clone()).send().await;
        assert!(matches!(refused, Err(Error::Cancelled(_))));
        flawless::shield(async { http::delete(url).send().await }).await?;
    }
    slept
}

/// Gets a page many times, one after the other.
#[flawless::workflow("chain")]
async fn chain((url, times): (String, u32)) -> Result<u32, Error> {
    for n in 0..times {
        http::post(format!("{url}?n={n}")).send().await?;
    }
    Ok(times)
}
