//! Async workflows that the tests run on an engine.

mod conform;
mod giving_up;
mod hear;
mod order;

use std::time::Duration;

use flawless::{Error, Kind, http};

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
        .retry_for(Duration::ZERO)
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

/// Three wait for messages, and the first one gives up: the messages are the others'.
#[flawless::workflow("heirs")]
async fn heirs() -> Result<(bool, u8, u8), Error> {
    let first = flawless::task(async {
        let message = flawless::receive::<u8>("number");
        let short = Duration::from_millis(5);
        flawless::timeout(short, message).await.is_err()
    });
    flawless::sleep(Duration::from_millis(1)).await?;
    let second = flawless::task(flawless::receive::<u8>("number"));
    let third = flawless::task(flawless::receive::<u8>("number"));
    let gave_up = first.await;
    for n in [7, 8] {
        flawless::send(&flawless::run_id(), "number", &n).await?;
    }
    Ok((gave_up, second.await?, third.await?))
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

/// Starts the workflow `add` twice and a workflow that fails, and waits for all.
#[flawless::workflow("parent")]
async fn parent() -> Result<(u32, String), Error> {
    let a = flawless::spawn::<u32>("add", &(1, 2));
    let b = flawless::spawn_detached::<u32>("beside/add", &(3, 4));
    let bad = flawless::spawn::<()>("panic", &());
    let late = flawless::await_run::<u32>(a.id());
    let (a, b, late) = flawless::join!(a, b, late);
    let Err(Error::Child(e)) = bad.await else {
        return Ok((0, "it did not fail".to_owned()));
    };
    let missing = flawless::spawn::<()>("nothing", &()).await;
    assert!(
        matches!(&missing, Err(Error::Call(c)) if c.kind == Kind::NotFound),
        "{missing:?}"
    );
    Ok((a? + b? + late?, format!("{} {}", e.status, e.kind)))
}

/// Adds two numbers.
#[flawless::workflow("add")]
async fn add((a, b): (u32, u32)) -> u32 {
    a + b
}

/// Adds up numbers that it is sent until it is told to stop; waits for each only a moment at a time.
#[flawless::workflow("listen")]
async fn listen() -> Result<u32, Error> {
    let mut sum = 0;
    loop {
        flawless::select! {
            n = flawless::receive::<u32>("number") => sum += n?,
            stop = flawless::receive_message::<String>("stop") => {
                stop?.reply(&sum)?;
                return Ok(sum);
            },
            slept = flawless::sleep(Duration::from_millis(1)) => slept?,
        }
    }
}

/// Sends numbers to a run.
#[flawless::workflow("talk")]
async fn talk((run, n): (String, u32)) -> Result<(), Error> {
    for k in 1..=n {
        flawless::send(&run, "number", &k).await?;
    }
    flawless::send(&run, "stop", "enough").await?;
    let nobody = flawless::send("wkf_nobody", "stop", "").await;
    assert!(matches!(nobody, Err(Error::Call(e)) if e.kind == Kind::NotFound));
    Ok(())
}

/// Publishes where it can be answered, and waits for the answer; a second promise is over soon.
#[flawless::workflow("promise")]
async fn promise() -> Result<String, Error> {
    let answer = flawless::promise::<String>("answer");
    let soon = flawless::promise_for::<()>("soon", Duration::from_millis(5)).await;
    assert!(matches!(soon, Err(Error::Call(e)) if e.kind == Kind::Expired));
    flawless::set_data(&(answer.token(), answer.url()))?;
    answer.await
}

/// Counts in a state that runs share, a few times, in two tasks.
#[flawless::workflow("count")]
async fn count(times: u32) -> Result<u32, Error> {
    async fn some(times: u32) -> Result<(), Error> {
        for _ in 0..times {
            let mut n = flawless::state::<u32>("count").lock().await?;
            *n += 1;
            flawless::sleep(Duration::from_millis(1)).await?;
            n.keep().await?;
        }
        drop(flawless::state::<u32>("count").lock().await?);
        Ok(())
    }
    let (a, b) = flawless::join!(some(times), some(times));
    a?;
    b?;
    flawless::state::<u32>("count").get().await
}

/// Takes steps, of which the last fails; the second cannot be undone.
#[flawless::workflow("saga")]
async fn saga(url: String) -> Result<(), Error> {
    let retry = http::Retry {
        attempts: 2,
        initial: Duration::from_millis(1),
        ..http::Retry::default()
    };
    flawless::saga_with(retry, async |s| {
        for name in ["first", "second", "third"] {
            let (make, url) = (format!("{url}/{name}"), url.clone());
            let step = async move { http::put(make).send().await?.success() };
            s.step(name, step, move || {
                let undo = format!("{url}/undo-{name}");
                async move { http::delete(undo).send().await?.success().map(drop) }
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// Takes three steps and panics in the last, while a task has taken one.
#[flawless::workflow("fall")]
async fn fall(url: String) -> Result<(), Error> {
    let retry = http::Retry {
        attempts: 2,
        initial: Duration::from_millis(1),
        ..http::Retry::default()
    };
    let at = url.clone();
    drop(flawless::task(flawless::saga(async move |s| {
        take(s, "beside", &at).await?;
        flawless::sleep(Duration::from_secs(900)).await
    })));
    flawless::saga_with(retry, async |s| {
        take(s, "first", &url).await?;
        take(s, "second", &url).await?;
        let undo = format!("{url}/undo-third");
        s.step("third", async { panic!("it fell") }, move || {
            let undo = undo.clone();
            async move { http::delete(undo).send().await?.success().map(drop) }
        })
        .await
    })
    .await
}

/// Takes a step, waits until it is cancelled, and wants to take another.
#[flawless::workflow("give-up")]
async fn give_up(url: String) -> Result<(), Error> {
    flawless::saga(async |s| {
        take(s, "first", &url).await?;
        drop(flawless::sleep(Duration::from_secs(3600)).await);
        take(s, "second", &url).await
    })
    .await
}

async fn take(s: &mut flawless::Saga, name: &'static str, url: &str) -> Result<(), Error> {
    let (make, undo) = (format!("{url}/{name}"), format!("{url}/undo-{name}"));
    let step = async move { http::put(make).send().await?.success().map(drop) };
    s.step(name, step, move || {
        let undo = undo.clone();
        async move { http::delete(undo).send().await?.success().map(drop) }
    })
    .await
}

/// Posts what is confirmed by asking, where it is interrupted.
#[flawless::workflow("confirm")]
async fn confirm(url: String) -> Result<String, Error> {
    let ask = format!("{url}/asked");
    // Where the engine repeats nothing, the confirmation is asked after a time-out.
    let sent = http::post(format!("{url}/cutonce")).timeout(Duration::from_secs(3));
    let done = sent.send_confirmed(async |key| {
        let found = http::get(format!("{ask}?key={key}")).send().await?;
        Ok(if found.status == 404 {
            flawless::Outcome::DidNotHappen
        } else {
            flawless::Outcome::Happened(found)
        })
    });
    Ok(done.await?.text())
}

/// Hands a secret to a server, and labels the run.
#[flawless::workflow("secret")]
async fn secret(url: String) -> Result<u16, Box<dyn std::error::Error>> {
    flawless::set_label("kind", "secret")?;
    let token = format!("Bearer {}", flawless::secret("TOKEN"));
    Ok(http::get(url)
        .header("Authorization", token)
        .send()
        .await?
        .status)
}
