//! Messages and promises of a type.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use flawless::Error;

/// What is received by its type. schemars describes its kind, and serde its keys.
#[flawless::message("order")]
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Order {
    item: String,
    kind: Kind,
    #[serde(default)]
    shelves: BTreeMap<u8, String>,
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "is")]
enum Kind {
    Book { pages: u16 },
    Pen,
}

/// Only serde knows what is in it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Parcel {
    to: SocketAddr,
    #[serde(alias = "cm")]
    length: u8,
}

/// Waits for an order and returns what it is for.
#[flawless::workflow("order")]
async fn order(how: String) -> Result<String, Error> {
    match &*how {
        "message" => Ok(Order::receive().await?.value.item),
        "promise" => {
            let order = flawless::promise::<Order>("order");
            flawless::set_data(order.token())?;
            Ok(order.await?.item)
        }
        "parcel" => Ok(flawless::receive::<Parcel>("order").await?.to.to_string()),
        _ => {
            let moment = Duration::from_millis(1);
            let none = flawless::timeout(moment, flawless::receive::<Parcel>("order")).await;
            assert!(none.is_err());
            flawless::receive::<String>("order").await
        }
    }
}
