//! Write Flawless workflows in plain Rust.
//!
//! A workflow is a function that the engine runs to completion. If a machine dies in the middle, the engine
//! runs the function again and gives it the answers it already had, so it catches up to where it was without
//! repeating any effect on the outside world.
//!
//! ```
//! use std::time::Duration;
//! use flawless::http;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Customer {
//!     /// where to write to
//!     mail: String,
//! }
//!
//! /// Greets a customer, and once more after a day.
//! #[flawless::workflow("welcome")]
//! async fn welcome(customer: Customer) -> Result<String, flawless::Error> {
//!     for _ in 0..2 {
//!         http::post("https://mail.example/send").json(&customer.mail).send().await?.success()?;
//!         flawless::sleep(Duration::from_secs(24 * 60 * 60)).await?;
//!     }
//!     Ok(format!("greeted {}", customer.mail))
//! }
//! ```
//!
//! Build it as a library with `crate-type = ["cdylib"]`:
//!
//! ```text
//! cargo build --release --target wasm32-wasip1
//! ```
//!
//! # Plain or async
//!
//! A workflow is a plain `fn`, which blocks in `.wait()`, or an `async fn`, which waits with `.await`. All
//! workflows of a module must be of the same sort. An async one can do several things concurrently
//! ([`join!`], [`select!`], [`task`], [`timeout`]). While it waits it is on no stack, so the engine can
//! freeze it; a plain one that waits is rebuilt from its log instead. [`http::Request::send`] starts a
//! request at once, so a plain workflow can have several requests in flight, too.
//!
//! # What is durable
//!
//! The clock stands still while code computes and advances while it waits; timers that were due while no
//! engine was running fire at once, in order. Each run has its own randomness, which is part of its log.
//! Tasks run in the same order in every replay. On `wasm32-wasip1`, `std::time` is the time of the run,
//! `std::thread::sleep` is durable in plain workflows, and `println!` writes lines to the log of the run.
//! There are no files, sockets, threads, environment variables or arguments.
//!
//! # What is never done twice
//!
//! A request that is not idempotent is never sent again if the engine cannot know whether it took effect. Nor
//! can code overtake one that is in flight: a [`timeout`], a [`select!`] in which another branch was first, a
//! cancellation and a dropped future all wait for its outcome. See [`http`] and [`http::Sending`].
//!
//! # Panics
//!
//! A panic fails the run, with the message and its location. In a plain workflow, the sagas that it came out
//! of are undone first. In an async one they cannot be undone, and the failure names their steps (see
//! [`saga()`]).
//!
//! # Outside a guest
//!
//! The crate compiles on other platforms, so that `cargo test` works: a `mock::World` answers the calls of a
//! workflow. Without one, calls return [`Error::Outside`].

// Only a guest calls what the engine calls, so that elsewhere much of the crate is not used.
#![cfg_attr(not(target_family = "wasm"), allow(dead_code))]

mod absent;
mod asking;
mod block;
mod call;
mod cancelled;
mod child;
mod clock;
mod confirm;
mod data;
mod error;
mod executor;
mod fresh;
mod gate;
#[cfg(target_family = "wasm")]
mod guest;
mod head;
mod header;
mod host;
pub mod http;
mod join;
mod json;
mod key;
mod label;
pub mod log;
mod message;
#[cfg(not(target_family = "wasm"))]
pub mod mock;
#[cfg(target_family = "wasm")]
mod panic;
mod promise;
pub mod random;
mod reactor;
mod retry;
mod run;
mod saga;
mod schema;
mod scope;
mod secret;
mod select;
mod shape;
mod shield;
mod size;
mod sleep;
mod state;
mod stream;
mod task;
mod timeout;
#[cfg(feature = "tracing")]
pub mod tracing;
mod typed;
mod workflow;

/// The version of the SDK, which the manifest of a module contains.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use asking::Asking;
pub use block::{Wait, block_on};
pub use cancelled::{Cancelled, UntilCancelled, cancellation, cancelled};
pub use child::{Child, ChildError, await_run, spawn, spawn_detached};
pub use clock::now;
pub use confirm::Outcome;
pub use data::set_data;
pub use error::{About, CallError, Error, Interrupted, JsonError, Kind, NotSent, StatusError};
pub use fresh::Fresh;
pub use join::join_all;
pub use label::{LabelError, set_label};
pub use message::{Message, Receiving, receive, receive_message, send};
pub use promise::{Promise, promise, promise_for};
pub use run::run_id;
pub use saga::{Saga, UndoError, saga, saga_with};
pub use secret::secret;
pub use shield::{Shield, shield, shielded};
pub use sleep::{Sleep, sleep, sleep_until};
pub use state::{Held, State, state};
pub use task::{Task, task};
pub use timeout::{Elapsed, timeout};
pub use typed::{MessageType, WorkflowType};

/// Makes a function a workflow of the module.
///
/// ```
/// /// Adds two numbers.
/// #[flawless::workflow("add")]
/// fn add((a, b): (i64, i64)) -> i64 {
///     a + b
/// }
/// ```
///
/// The function has at most one parameter, the input, and returns the output or a `Result` of it. A type
/// counts as a `Result` if its last path segment is `Result`; a `Result` under another name does not compile:
///
/// ```compile_fail
/// type Outcome = Result<String, String>;
///
/// #[flawless::workflow("greet")]
/// fn greet() -> Outcome { // its Err would complete the run
///     Err("nobody is there".into())
/// }
/// ```
///
/// The input of a run is JSON, read by serde; the output is written by serde. The manifest of the module has
/// a JSON Schema of both, made by schemars, and the doc comment of the function.
///
/// A run completes with the value that the function returns, or fails with its error, which may be anything
/// that converts to `Box<dyn Error>`. If the error is [`Error::Cancelled`] or has it as a source, the run is
/// cancelled.
///
/// The function itself does not change and can be called by other code. The attribute also makes a type of
/// the same name, with which other workflows of the module start runs; a wrong type does not compile. The
/// input must then be `Serialize`, too.
///
/// ```
/// # async fn work() -> Result<(), flawless::Error> {
/// #[flawless::workflow("double")]
/// async fn double(n: u64) -> u64 {
///     2 * n
/// }
///
/// let four: u64 = double::spawn(&2).await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail
/// # async fn work() {
/// # #[flawless::workflow("double")]
/// # async fn double(n: u64) -> u64 { 2 * n }
/// double::spawn("two"); // it takes a u64
/// # }
/// ```
pub use flawless_sdk_macros::workflow;

/// Makes a type a message: it can be sent and received by its type alone, so that its name cannot be
/// mistyped. It must be `Serialize` to be sent, and `DeserializeOwned` to be received.
///
/// While a run waits for one, the engine rejects messages that serde cannot read as the type (see [`receive()`]). If
/// the type implements `schemars::JsonSchema`, they must match that schema as well.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[flawless::message("paid")]
/// #[derive(Serialize, Deserialize)]
/// struct Paid {
///     cents: u64,
/// }
///
/// # async fn work(run: &str) -> Result<(), flawless::Error> {
/// Paid { cents: 995 }.send_to(run).await?;
/// let paid = Paid::receive().await?.value;
/// # Ok(())
/// # }
/// ```
pub use flawless_sdk_macros::message;

#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::guest::resume;
    pub use crate::join::Parts;
    pub use crate::key::honour;
    pub use crate::message::receive_as;
    pub use crate::schema::{
        Best, BestInput, BestNone, BestShape, Wanted, input_schema, output_schema,
    };
    pub use crate::select::{AnyFuture, Branches, Chosen, Sort, branch, first, future};
    pub use crate::typed::InputOf;
    pub use crate::workflow::{
        Body, Ending, Input, Kind, OtherKind, Output, Returned, Running, Value, Workflow,
        read_input, register,
    };
}
