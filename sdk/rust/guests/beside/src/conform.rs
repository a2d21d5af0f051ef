//! Every kind of call with edge values. internal/engine/testdata/guest/conform.go has the same in Go,
//! and a test compares the two logs: change both.

use std::time::Duration;

use flawless::Error;
use flawless::http::{self, Retry};

/// Makes every kind of call.
#[flawless::workflow("conform")]
async fn conform(url: String) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut out = Vec::new();
    for request in requests(&url) {
        out.push(match request.send().await {
            Ok(r) => format!("{} {}", r.status, quoted(&r.body)),
            Err(Error::Call(e)) => format!("{} {}", e.request.call, e.kind),
            Err(e) => return Err(e.into()),
        });
    }

    log::debug!("");
    log::info!(int = i64::MIN, big = u64::MAX, float = 0.1, yes = true, text = "ä\u{0}\u{2028}", none = log::kv::Value::null(); "a \"line\"\n");
    log::warn!(float = 1e300; "tab\t");
    log::error!("\u{1F600}");
    flawless::set_data(&())?;
    flawless::set_data("")?;
    flawless::set_data(&serde_json::json!({"ä\"": []}))?;
    flawless::set_data(&u64::MAX)?;
    flawless::set_data(&-0.5)?;
    flawless::set_label("a/b.c-d_e", "ä \"")?;
    flawless::set_label("gone", "x")?;
    flawless::set_label("gone", "")?;
    flawless::sleep(Duration::ZERO).await?;
    flawless::sleep(Duration::from_millis(3)).await?;

    let echo = flawless::spawn::<String>("guest/echo", "ü\"\\");
    let own = flawless::spawn_detached::<String>("echo", "own");
    let id = echo.id().to_owned();
    out.push(echo.await?);
    out.push(own.await?);
    out.push(flawless::await_run::<String>(&id).await?);
    out.push(kind_of(flawless::spawn::<()>("nothing/at-all", &()).await));

    let none: [u8; 0] = [];
    flawless::send(&flawless::run_id(), "to me/ä", &none).await?;
    let m = flawless::receive_message::<Vec<u8>>("to me/ä").await?;
    out.push(format!("{} {} {} {:?}", m.id, m.from, m.kind, m.value));
    m.reply(&serde_json::json!({"ä": null}))?;
    out.push(kind_of(flawless::send("wkf_nobody", "x", &()).await));

    let late = flawless::promise_for::<()>("ä \"", Duration::from_millis(2)).await;
    out.push(format!("<nil> {}", kind_of(late)));

    let state = flawless::state::<i64>("conform ä");
    let mut n = state.lock().await?;
    *n += 7;
    n.keep().await?;
    let n = state.get().await;
    out.push(format!("{} {}", n.as_ref().unwrap_or(&0), n.is_ok()));
    Ok(out)
}

fn requests(url: &str) -> Vec<http::Request> {
    let to = |path: &str| format!("{url}{path}");
    vec![
        http::get(to("/plain?a=b&c=%20")),
        http::post(to("/ümlaut/\"\\"))
            .header("X-Empty", "")
            .header("X-Two", "a")
            .header("X-Two", "b \"\\")
            .body((0..=255).collect::<Vec<u8>>()),
        http::put(to("/empty"))
            .not_idempotent()
            .timeout(Duration::from_secs(90) + Duration::from_nanos(1)),
        http::patch(to("/idempotent"))
            .body("\u{2028}")
            .idempotent()
            .redirects(0)
            .tell_interrupted(),
        http::get(to("/retry")).retry(Retry {
            attempts: 3,
            initial: Duration::from_nanos(1_000_001),
            factor: 1.5,
            max: Duration::from_secs(2),
            jitter: 0.25,
            statuses: vec![503, 429],
        }),
        http::post(to("/keyed"))
            .idempotent_within(Duration::from_secs(24 * 60 * 60))
            .retry_for(Duration::from_nanos(60_000_000_001))
            .retry(Retry {
                attempts: 1,
                ..Retry::default()
            }),
        http::get(to("/long")).limit(1),
        http::head(to("/head")).limit(i32::MAX as u64),
        http::get("ftp://no.example/"),
        http::get(""),
        http::get(to("/never")).timeout(Duration::ZERO),
    ]
}

fn quoted(text: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(text))
}

fn kind_of<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "<nil>".to_owned(),
        Err(Error::Call(e)) => e.kind.to_string(),
        Err(e) => e.to_string(),
    }
}

/// Returns its input.
#[flawless::workflow("echo")]
async fn echo(text: String) -> String {
    text
}
