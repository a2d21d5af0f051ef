//! Workflows written with the published crates, which the tests run on an engine.

use std::time::{Duration, UNIX_EPOCH};

use flawless::idempotent::Idempotence;
use flawless::message::receive;
use flawless::workflow::{sleep, Input, Response};
use flawless::{message, rand::random, receive, time::now, workflow};
use flawless_http::{get, post, Error, ErrorKind};
use serde::{Deserialize, Serialize};

flawless::module! { name = "beta", version = "0.1.1" }

#[derive(Serialize, Deserialize)]
struct Task {
    url: String,
    n: u32,
}

/// Does nothing and has no response.
#[workflow("empty")]
fn empty() {}

/// Responds with its input.
#[workflow("echo")]
fn echo(input: Input<serde_json::Value>, response: Response) {
    response.send(&*input).unwrap();
}

/// Responds, and goes on for an hour.
#[workflow("early")]
fn early(response: Response) {
    response.send("soon").unwrap();
    sleep(Duration::from_secs(3600));
}

/// Posts and sleeps in turn.
#[workflow("chain")]
fn chain(input: Input<Task>, response: Response) {
    let mut sum = 0u64;
    for k in 0..input.n {
        let body = serde_json::json!({ "k": k });
        let answer = post(format!("{}/chain", input.url))
            .body(body)
            .send()
            .unwrap();
        sum += answer.text().unwrap().len() as u64;
        sleep(Duration::from_millis(2));
    }
    response.send((input.n, sum)).unwrap();
}

/// Posts, draws and sleeps in turn, so that it can be interrupted anywhere, and panics at the end if
/// it is told an even number.
#[workflow("steady")]
fn steady(input: Input<Task>, response: Response) {
    let mut drawn = 0u64;
    for k in 0..input.n {
        let url = format!("{}/steady/{}/{k}", input.url, input.n);
        let answer = post(url).idempotent().body("x").send().unwrap();
        assert_eq!(answer.status_code(), 200);
        drawn = drawn.wrapping_add(u64::from(random::<i32>().unsigned_abs()));
        sleep(Duration::from_millis(20));
    }
    assert!(input.n % 2 == 1, "an even number: {}", input.n);
    response.send((input.n, drawn > 0)).unwrap();
}

/// Gets, idempotently.
#[workflow("again")]
fn again(input: Input<Task>, response: Response) {
    let answer = get(input.url.clone()).idempotent().send().unwrap();
    response.send(answer.text().unwrap()).unwrap();
}

/// Posts once and tells how that ended.
#[workflow("once")]
fn once(input: Input<Task>, response: Response) {
    let told = match post(input.url.clone())
        .timeout(Duration::from_millis(500))
        .body("x")
        .send()
    {
        Ok(answer) => format!(
            "{} {}",
            answer.status_code(),
            answer.header("x-kind").unwrap_or("")
        ),
        Err(Error::Status(code, answer)) => format!("status {code}: {}", answer.text().unwrap()),
        Err(e) if e.kind() == ErrorKind::Io => format!("io: {}", e.message().unwrap()),
        Err(e) => format!("{:?}", e.kind()),
    };
    response.send(told).unwrap();
}

/// Takes less of a body than there is.
#[workflow("part")]
fn part(input: Input<Task>, response: Response) {
    let answer = get(input.url.clone())
        .response_body_limit(input.n as u64)
        .send()
        .unwrap();
    response.send(answer.text().unwrap()).unwrap();
}

/// Draws a number of every type, and tells the time.
#[workflow("draw")]
fn draw(response: Response) {
    log::info!("drawing");
    log::debug!("this level is off");
    flawless::replay_debug!("seen in a replay");
    let began = now();
    sleep(Duration::from_millis(30));
    let slept = now().duration_since(began).unwrap().as_millis();
    let since = began.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let floats = [f64::from(random::<f32>()), random::<f64>()];
    assert!(floats.iter().all(|f| (0.0..1.0).contains(f)));
    response
        .send((
            random::<bool>(),
            random::<i32>(),
            random::<i64>(),
            floats,
            slept,
            since,
        ))
        .unwrap();
}

/// Panics after a call.
#[workflow("panic")]
fn panic(input: Input<Task>) {
    post(format!("{}/before", input.url)).send().unwrap();
    let list: Vec<u32> = Vec::new();
    let _ = list[input.n as usize];
}

#[message("ping")]
struct Ping {
    n: u32,
}

#[message("stop")]
struct Stop;

/// Sends messages to another run, by way of the server's own API, and sleeps for a moment half-way.
#[workflow("talk")]
fn talk(input: Input<Task>) {
    let send = |kind: &str, data: String| {
        let body = serde_json::json!({ "type": kind, "data": data });
        post(input.url.clone()).body(body).send().unwrap();
    };
    for n in 0..input.n {
        send("ping", serde_json::to_string(&Ping { n }).unwrap());
        if n == input.n / 2 {
            sleep(Duration::from_millis(500));
        }
    }
    send("stop", serde_json::to_string(&Stop).unwrap());
}

/// Adds up what it is sent, until it is told to stop.
#[workflow("listen")]
fn listen(response: Response) {
    let first: Ping = receive();
    let (mut sum, mut open) = (first.n, true);
    while open {
        receive! {
            ping: Ping => sum += ping.n,
            _stop: Stop => open = false,
        }
    }
    response.send(sum).unwrap();
}

/// Adds up what it is sent, and responds before it begins to.
#[workflow("attend")]
fn attend(response: Response) {
    response.send("attending").unwrap();
    let mut sum = 0;
    loop {
        receive! {
            ping: Ping => sum += ping.n,
            _stop: Stop => break,
        }
    }
    log::info!("the sum is {sum}");
}

/// Starts another run.
#[workflow("start")]
fn start(input: Input<Task>) {
    flawless::workflow::start::<steady>(input.clone_task()).unwrap();
}

impl Task {
    fn clone_task(&self) -> Task {
        Task {
            url: self.url.clone(),
            n: self.n,
        }
    }
}

/// Waits for a message for a moment.
#[workflow("impatient")]
fn impatient(response: Response) {
    let got = receive! {
        ping: Ping => Some(ping.n),
        +timeout Duration::from_millis(20) => None
    };
    response.send(got).unwrap();
}

/// Hands a secret to a server.
#[workflow("secret")]
fn secret(input: Input<Task>, response: Response) {
    let token = flawless::secrets::get_secret("TOKEN");
    let known = token.is_some();
    let answer = get(input.url.clone())
        .set_header(
            "Authorization",
            format!("Bearer {}", token.unwrap_or_default()),
        )
        .send()
        .unwrap();
    response.send((known, answer.status_code())).unwrap();
}

/// Waits for no message, only for the time-out.
#[workflow("pause")]
fn pause(response: Response) {
    let began = now();
    receive! { +timeout Duration::from_millis(20) => () };
    let waited = now().duration_since(began).unwrap().as_millis();
    response.send(waited >= 20).unwrap();
}

/// Gets, and tells where that led to.
#[workflow("follow")]
fn follow(input: Input<Task>, response: Response) {
    let told = match get(input.url.clone()).set_header("Authorization", "A").send() {
        Ok(answer) => {
            let path = answer.url().rsplit('/').next().unwrap().to_owned();
            format!("{} {path} {}", answer.status_code(), answer.text().unwrap())
        }
        Err(e) => format!("{:?}: {}", e.kind(), e.message().unwrap()),
    };
    response.send(told).unwrap();
}
