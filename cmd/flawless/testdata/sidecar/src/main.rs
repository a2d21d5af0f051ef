//! A program that uses a Flawless server by way of the published crate flawless-utils.
//!
//!     sidecar URL MODULE.wasm COMMAND [ARGUMENT]...

use std::env;
use std::fs;

use flawless::message;
use flawless::workflow;
use flawless::workflow::Input;
use flawless_utils::Server;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Task {
    url: String,
    n: u32,
}

/// The workflow of the module, as the program knows it: by name and type of input.
#[workflow("chain")]
fn chain(_task: Input<Task>) {}

#[message("ping")]
struct Ping {
    n: u32,
}

#[message("stop")]
struct Stop;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let token = env::var("FLAWLESS_TOKEN").ok().filter(|t| !t.is_empty());
    let server = Server::new(&arguments[0], token.as_deref());
    let module = fs::read(&arguments[1]).map_err(|e| e.to_string())?;
    let deployed = server.deploy(module.leak()).await?;
    match arguments[2].as_str() {
        "chain" => {
            let task = Task {
                url: arguments[3].clone(),
                n: 4,
            };
            let run = deployed.start::<chain>(task).await?;
            println!("{} {:?}", run.id(), run.response());
        }
        "fail" => println!("{:?}", deployed.start_by_name("empty", 7).await.err()),
        "listen" => {
            let run = deployed.start_by_name("attend", ()).await?;
            for n in 1..=3 {
                run.send_msg(Ping { n }).await?;
            }
            run.send_msg(Stop).await?;
            println!("{}", run.id());
        }
        other => return Err(format!("unknown command {other}")),
    }
    Ok(())
}
