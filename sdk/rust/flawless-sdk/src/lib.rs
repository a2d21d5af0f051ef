//! Workflows in plain Rust, run to completion by the Flawless engine.
//!
//! A workflow is a function. The engine runs it to completion: when a machine dies in the middle, the
//! function is run again and handed the answers it has had, so that it goes on where it was without
//! touching the world twice.
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
//! It is a library with `crate-type = ["cdylib"]`, built by
//!
//! ```text
//! cargo build --release --target wasm32-wasip1
//! ```
//!
//! # Plain or async
//!
//! A workflow is a plain `fn`, which blocks in `.wait()`, or an `async fn`, which waits by `.await`. All
//! workflows of a module are of one sort. An async one does several things beside each other
//! ([`join!`], [`select!`], [`task`], [`timeout`]); while it waits it is not on any stack, so that the
//! engine can put it away. A plain one that waits is made again from its log. [`http::Request::send`]
//! makes a call at once, so that a plain one may have several calls under way, too.
//!
//! # What is durable
//!
//! Time stands still while the code computes and moves when it waits; timers that came due while no
//! engine was running fire at once, in order. Randomness is the run's own and part of its log. Tasks
//! run in the same order in every replay. On `wasm32-wasip1`, `std::time` is the run's time,
//! `std::thread::sleep` is durable in plain workflows, and `println!` writes lines of the run's log.
//! There are no files, no sockets, no threads, no environment and no arguments.
//!
//! # What is never done twice
//!
//! A request that is not idempotent is never sent a second time when the engine cannot know whether
//! the first took effect. Nor does code overtake one that is under way: a [`timeout`], a branch of
//! [`select!`] that was first, a cancellation and a dropped future wait for its outcome. See [`http`] and
//! [`http::Sending`].
//!
//! # Panics
//!
//! A panic ends the run: it has failed, with the message and where it was. In a plain workflow the sagas
//! that it came out of are undone first; in an async one they cannot be, and the failure names the steps
//! (see [`saga()`]).
//!
//! # Outside a guest
//!
//! On other platforms the crate compiles, so that `cargo test` works: a `mock::World` gives a workflow the
//! answers to its calls. Without one, calls end with [`Error::Outside`] there.

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

/// Version of the SDK, as the manifest of a module tells it.
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
/// The function has one parameter, the input, or none, and returns the output or a `Result` of it;
/// a type whose last name is `Result` is taken for one, and a `Result` under another name does not compile:
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
/// The run's input is JSON, read by serde; the
/// output is written by it. The module's manifest has a JSON Schema of both, made by schemars, and
/// the function's doc comment.
///
/// A run completes with the value that the function returns, or fails with the error, which may be
/// anything that becomes a `Box<dyn Error>`. If the error is [`Error::Cancelled`] or has it as a
/// source, the run is cancelled.
///
/// The function stays as it is and can be called by other code. Beside it there is a type of the same name, by
/// which other workflows of the module start runs; what does not fit the workflow does not compile. The input
/// then has to be `Serialize`, too.
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

/// Makes a type a message: it can be sent and received by its type alone, so that nobody mistypes its name. It
/// has to be `Serialize` to be sent, and `DeserializeOwned` to be received.
///
/// While a run waits for it, the engine refuses messages that serde cannot read as the type (see [`receive()`]). If
/// the type implements `schemars::JsonSchema`, they have to match that schema as well.
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
