//! Workflows written with the published crates of the alpha, which the tests run on an engine.

use std::time::{Duration, UNIX_EPOCH};

use flawless::exe::{set_data, sleep};
use flawless::idempotent::Idempotence;
use flawless::rand::random;
use flawless::state::State;
use flawless::{secret, time::now, workflow};
use flawless_http::{get, post, Error};
use serde::Deserialize;

#[derive(Deserialize)]
struct Task {
    url: String,
    n: u32,
}

/// Says hello.
#[workflow("hello")]
fn hello(name: String) {
    log::info!("hello {name}");
    set_data(&format!("Hello {name}"));
}

/// Posts, counts in a shared state and sleeps in turn.
#[workflow("count")]
fn count(task: Task) {
    let mut state: State<u64> = State::new("alpha counter");
    for _ in 0..task.n {
        let url = format!("{}/count", task.url);
        let answer = post(url).idempotent().body("x").send().unwrap();
        assert_eq!(answer.status_code(), 200);
        state.write(|count| *count += 1);
        sleep(Duration::from_millis(2));
    }
    state.read(|count| set_data(count));
}

/// Holds a state while it sleeps.
#[workflow("hold")]
fn hold() {
    let mut state: State<u64> = State::new("alpha counter");
    state.write(|count| {
        let before = *count;
        sleep(Duration::from_millis(20));
        *count = before + 1;
    });
}

/// Gets and posts once, and tells how that ended.
#[workflow("once")]
fn once(task: Task) {
    let told = |sent| match sent {
        Ok(answer) => {
            let answer: flawless_http::Response = answer;
            let path = answer.url().rsplit('/').next().unwrap().to_owned();
            format!("{} {path} {}", answer.status_code(), answer.text().unwrap())
        }
        Err(Error::Status(code, answer)) => format!("status {code}: {}", answer.text().unwrap()),
        Err(e) => format!("{:?}: {}", e.kind(), e.message().unwrap()),
    };
    let quick = Duration::from_millis(500);
    let got = told(get(task.url.clone()).timeout(quick).send());
    if task.n == 0 {
        return set_data(&got);
    }
    set_data(&(got, told(post(task.url).timeout(quick).body("x").send())));
}

/// Draws numbers, and tells the time and what secrets there are.
#[workflow("draw")]
fn draw() {
    let began = now();
    sleep(Duration::from_millis(30));
    let slept = now().duration_since(began).unwrap().as_millis();
    assert!(began.duration_since(UNIX_EPOCH).unwrap().as_secs() > 0);
    let floats = [f64::from(random::<f32>()), random::<f64>()];
    assert!(floats.iter().all(|f| (0.0..1.0).contains(f)));
    let (_, _, _) = (random::<bool>(), random::<i32>(), random::<i64>());
    set_data(&(slept, secret::get("TOKEN").is_some(), secret::get("NONE")));
}

/// Panics.
#[workflow("panic")]
fn panic(task: Task) {
    let list: Vec<u32> = Vec::new();
    let _ = list[task.n as usize];
}
