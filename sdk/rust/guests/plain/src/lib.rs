//! Plain workflows that the tests run on an engine.

mod giving_up;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use flawless::http::{self, Retry};
use flawless::{Error, Kind, Wait};

/// Gets a page.
#[flawless::workflow("get")]
fn get(url: String) -> Result<(u16, String), Error> {
    let response = http::get(url).header("X-Guest", "plain").send().wait()?;
    Ok((response.status, response.text()))
}

/// Posts JSON once, and tells how that ended.
#[flawless::workflow("post")]
fn post(url: String) -> String {
    let sent = http::post(url)
        .json(&[1, 2])
        .tell_interrupted()
        .retry_for(Duration::ZERO)
        .timeout(Duration::from_secs(5))
        .send();
    match sent.wait() {
        Ok(response) => format!("answered {}", response.status),
        Err(Error::Interrupted(e)) => format!("interrupted call {}", e.request.call),
        Err(Error::NotSent(e)) => format!("not sent ({})", e.reason),
        Err(Error::Call(e)) if e.kind == Kind::Invalid => "invalid".to_owned(),
        Err(e) => e.to_string(),
    }
}

/// Posts JSON, and leaves what cannot be known to a person.
#[flawless::workflow("post-once")]
fn post_once(url: String) -> Result<u16, Error> {
    Ok(http::post(url).json("x").send().wait()?.status)
}

/// Gets a page again until it is there.
#[flawless::workflow("retry")]
fn retry(url: String) -> Result<u16, Error> {
    let retry = Retry {
        attempts: 3,
        initial: Duration::from_millis(10),
        statuses: vec![503],
        ..Retry::default()
    };
    Ok(http::get(url).retry(retry).send().wait()?.success()?.status)
}

/// Gets several pages at once and returns them in the order in which they come.
#[flawless::workflow("first-come")]
fn first_come(urls: Vec<String>) -> Result<Vec<String>, Error> {
    let mut open: Vec<_> = urls.into_iter().map(|url| http::get(url).send()).collect();
    let mut came = Vec::new();
    while !open.is_empty() {
        let next = http::wait_any(&open)?;
        came.push(open.remove(next).wait()?.text());
    }
    Ok(came)
}

/// Waits for a page for a moment only, and then after all.
#[flawless::workflow("impatient")]
fn impatient(url: String) -> Result<(bool, String), Error> {
    let mut open = http::get(url).send();
    let early = open.wait_for(Duration::from_millis(50))?;
    Ok((early.is_some(), open.wait()?.text()))
}

/// Sleeps in every way and tells how many milliseconds passed in each.
#[flawless::workflow("sleep")]
fn sleep() -> Result<Vec<u128>, Error> {
    let mut took = Vec::new();
    let mut last = flawless::now();
    let mut lap = |took: &mut Vec<u128>| {
        let now = flawless::now();
        took.push(now.duration_since(last).unwrap_or_default().as_millis());
        last = now;
    };
    flawless::sleep(Duration::from_millis(30)).wait()?;
    lap(&mut took);
    flawless::sleep_until(flawless::now() + Duration::from_millis(40)).wait()?;
    lap(&mut took);
    #[cfg(target_os = "wasi")]
    {
        let since = std::time::Instant::now();
        std::thread::sleep(Duration::from_millis(50));
        lap(&mut took);
        took.push(since.elapsed().as_millis());
        let now = std::time::SystemTime::now();
        assert_eq!(now, flawless::now());
    }
    flawless::sleep(Duration::ZERO).wait()?;
    lap(&mut took);
    Ok(took)
}

/// Draws numbers in every way.
#[flawless::workflow("random")]
fn random() -> Vec<u64> {
    let set: HashSet<u64> = (0..8).collect();
    let map: HashMap<u64, u64> = (0..8).map(|k| (k, k)).collect();
    let mut numbers = vec![
        flawless::random::u64(),
        flawless::random::below(10),
        getrandom::u64().unwrap_or_default(),
        rand::random(),
        rand::random_range(0..1000),
    ];
    numbers.extend(set);
    numbers.extend(map.into_keys());
    numbers
}

/// Writes lines and data, and returns the run's id.
#[flawless::workflow("tell")]
fn tell() -> Result<String, Error> {
    log::warn!(n = 7, name = "Ann"; "a line");
    let span = tracing::info_span!("outer", order = 4711);
    let _in = span.enter();
    tracing::info!(ok = true, "a traced line");
    println!("a printed line");
    flawless::set_data(&serde_json::json!({"done": 1}))?;
    flawless::set_data(&serde_json::json!({"done": 2}))?;
    Ok(flawless::run_id())
}

/// Panics.
#[flawless::workflow("panic")]
fn panic(n: u8) -> u8 {
    let list = [1, 2, 3];
    list[usize::from(n)]
}

/// Fails with an error that has a source.
#[flawless::workflow("fail")]
fn fail() -> Result<(), Box<dyn std::error::Error>> {
    "x".parse::<u8>()?;
    Ok(())
}

/// Sleeps for an hour, and undoes what it did when it is cancelled.
#[flawless::workflow("patient")]
fn patient(url: String) -> Result<(), Error> {
    let slept = flawless::sleep(Duration::from_secs(3600)).wait();
    assert_eq!(slept.is_err(), flawless::cancellation().is_some());
    if slept.is_err() {
        let refused = http::get(url.clone()).send().wait();
        assert!(matches!(refused, Err(Error::Cancelled(_))));
        flawless::shielded(|| http::delete(url).send().wait())?;
    }
    slept
}

/// Gets a page many times, one after the other.
#[flawless::workflow("chain")]
fn chain((url, times): (String, u32)) -> Result<u32, Error> {
    for n in 0..times {
        http::post(format!("{url}?n={n}")).send().wait()?;
    }
    Ok(times)
}

/// Starts a workflow of the other module, sends a message to itself, counts in a state, and waits for
/// futures in every way.
#[flawless::workflow("together")]
fn together() -> Result<(u32, String, u32, bool), Error> {
    let sum = flawless::spawn::<u32>("beside/add", &(1, 2)).wait()?;
    flawless::send(&flawless::run_id(), "note", "hello").wait()?;
    let note = flawless::receive::<String>("note").wait()?;
    let mut count = flawless::state::<u32>("plain-count").lock().wait()?;
    *count += 1;
    count.keep().wait()?;
    let count = flawless::state::<u32>("plain-count").get().wait()?;
    let late = flawless::block_on(async {
        let beside = flawless::task(async {
            flawless::sleep(Duration::from_millis(20)).await?;
            Ok::<_, Error>(())
        });
        let none =
            flawless::timeout(Duration::from_millis(5), flawless::receive::<u8>("none")).await;
        beside.await?;
        Ok::<_, Error>(none.is_err())
    })?;
    Ok((sum, note, count, late))
}

/// Takes three steps and panics in the last, while a task has taken one.
#[flawless::workflow("fall")]
fn fall(url: String) -> Result<(), Error> {
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
    .wait()
}

/// Takes two steps, and ends in the middle of the saga.
#[flawless::workflow("perish")]
fn perish(how: String) -> Result<String, Error> {
    flawless::saga(async |s| {
        for name in ["flight", "hotel"] {
            s.step(name, async { Ok::<_, Error>(()) }, || async { Ok(()) })
                .await?;
        }
        match &*how {
            "exit" => std::process::exit(3),
            "memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1u8; 1 << 20]);
                }
            }
            "body" => {
                let large = vec![0; (64 << 20) + 1];
                let sent = http::post("http://127.0.0.1:1/").body(large).send().await;
                sent.map(drop)
            }
            _ => flawless::sleep(Duration::from_secs(900)).await,
        }
    })
    .wait()?;
    Ok("done".to_owned())
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
