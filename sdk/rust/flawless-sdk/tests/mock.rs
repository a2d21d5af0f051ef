//! Workflows with a mock of the world.

use std::time::Duration;

use flawless::mock::{Response, World};
use flawless::{Elapsed, Error, Wait, http};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn buy(cents: u64) -> Result<String, Error> {
    let paid = http::post("https://pay.example/charges")
        .json(&cents)
        .send()
        .await?
        .success()?;
    flawless::set_data(&"paid")?;
    flawless::sleep(DAY).await?;
    let parcel: String = flawless::spawn("store/pack", &cents).await?;
    Ok(format!("{} {parcel}", paid.text()))
}

#[test]
fn requests_and_children_get_their_answers() {
    let world = World::new()
        .on_http(|r| match r.json() == json!(995) {
            true => Response::json(&"receipt").header("X-A", "b"),
            false => Response::status(402),
        })
        .on_spawn(|name, input| match input {
            Value::Number(_) => Ok(format!("{name} {input}").into()),
            _ => Err("no number".into()),
        });
    assert_eq!(
        world.run(|| buy(995)).unwrap(),
        "\"receipt\" store/pack 995"
    );
    assert_eq!(world.elapsed(), DAY);
    assert_eq!(world.data(), Some(json!("paid")));
    assert_eq!(world.requests().len(), 1);
    assert_eq!(
        world.requests()[0].header("content-type"),
        Some("application/json")
    );
    assert!(matches!(world.run(|| buy(1)), Err(Error::Status(_))));
}

#[test]
fn errors_match_the_engine() {
    let post = || http::post("https://a.example/").tell_interrupted().send();
    let world = World::new().on_http(|_| Response::interrupted());
    assert!(matches!(
        world.call(|| post().wait()),
        Err(Error::Interrupted(_))
    ));
    let world = World::new().on_http(|_| Response::not_sent("dial"));
    assert!(matches!(world.run(post), Err(Error::NotSent(e)) if e.reason == "dial"));
    let world = World::new().on_spawn(|_, _| Err("it broke".into()));
    let child = || flawless::spawn::<u64>("pack", &());
    assert!(
        matches!(world.call(|| child().wait()), Err(Error::Child(e)) if e.message == "it broke")
    );
}

#[test]
fn messages_promises_and_states() {
    let world = World::new()
        .message("order", &7)
        .message("order", &8)
        .promise("approval", &true)
        .state("stock", &100);
    let left = world.call(|| -> Result<u64, Error> {
        let first: u64 = flawless::receive("order").wait()?;
        let second: u64 = flawless::receive("order").wait()?;
        assert!(flawless::promise::<bool>("approval").wait()?);
        let stock = flawless::state::<u64>("stock");
        let mut held = stock.lock().wait()?;
        *held -= first + second;
        held.keep().wait()?;
        flawless::send("run-7", "done", &first).wait()?;
        stock.get().wait()
    });
    assert_eq!(left, Ok(85));
    assert_eq!(world.state_of("stock"), json!(85));
    assert_eq!(
        (&*world.sent()[0].to, &world.sent()[0].value),
        ("run-7", &json!(7))
    );
}

#[test]
fn virtual_time_passes() {
    let slow = |method: &str| http::request(method, "https://slow.example/");
    let world = World::new().on_http(|_| Response::status(200).after(Duration::from_secs(60)));
    let limit = Duration::from_secs(5);
    let late = world.run(|| async { flawless::timeout(limit, slow("GET").send()).await.err() });
    assert_eq!((late, world.elapsed()), (Some(Elapsed), limit));
    // Nobody gives up a request that may take effect.
    let world = World::new().on_http(|_| Response::status(200).after(Duration::from_secs(60)));
    let answer =
        world.run(|| async { flawless::timeout(limit, slow("POST").send()).await.unwrap() });
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(world.elapsed(), Duration::from_secs(60));
}

#[test]
fn a_saga_is_undone() {
    let world = World::new().on_http(|r| match r.url.as_str() {
        "https://b.example/" => Response::status(500),
        _ => Response::status(200),
    });
    let end: Result<(), Error> = world.run(|| {
        flawless::saga(async |saga| {
            let first = http::put("https://a.example/").send();
            saga.step("first", first, || async {
                http::delete("https://a.example/")
                    .send()
                    .await?
                    .success()
                    .map(drop)
            })
            .await?;
            http::put("https://b.example/")
                .send()
                .await?
                .success()
                .map(drop)
        })
    });
    assert!(matches!(end, Err(Error::Status(_))));
    let made: Vec<String> = world
        .requests()
        .into_iter()
        .map(|r| r.method + " " + &r.url)
        .collect();
    assert_eq!(
        made,
        [
            "PUT https://a.example/",
            "PUT https://b.example/",
            "DELETE https://a.example/"
        ]
    );
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Order {
    item: String,
}

#[flawless::workflow("pack")]
async fn pack(order: Order) -> Result<String, Error> {
    Ok(order.item)
}

#[flawless::workflow("sweep")]
fn sweep() -> u8 {
    7
}

#[flawless::message("paid")]
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Paid {
    cents: u64,
}

#[test]
fn typed_handles_know_names_and_types() {
    let world = World::new()
        .on_spawn(|name, input| match name {
            "pack" => Ok(input["item"].clone()),
            "sweep" => Ok(7.into()),
            _ => Err(name.into()),
        })
        .message("paid", &Paid { cents: 995 });
    let end = world.run(|| async {
        let order = Order {
            item: "book".into(),
        };
        let parcel: String = pack::spawn(&order).await?;
        let seven: u8 = sweep::spawn().await?;
        let paid = Paid::receive().await?.value;
        paid.send_to("run-7").await?;
        Ok::<_, Error>((parcel, seven, paid))
    });
    assert_eq!(end, Ok(("book".to_owned(), 7, Paid { cents: 995 })));
    assert_eq!(world.sent()[0].kind, "paid");
    assert_eq!(
        world.run(|| pack(Order { item: "pen".into() })),
        Ok("pen".to_owned())
    );
    assert_eq!(sweep(), 7);
}

#[test]
#[should_panic(expected = "does not answer: a message of type never")]
fn what_nobody_gives_is_told() {
    let _: Result<u64, Error> = World::new().call(|| flawless::receive("never").wait());
}

#[test]
#[should_panic(expected = "nothing answers GET https://a.example/: give World::on_http")]
fn a_request_that_nobody_expects_is_told() {
    let _ = World::new().run(|| http::get("https://a.example/").send());
}
