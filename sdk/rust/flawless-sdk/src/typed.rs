//! Workflows and messages as types, so that a wrong name or type does not compile.

use serde::Serialize;

/// A workflow as a type. The attribute [`crate::workflow`] makes one with the name of the function.
pub trait WorkflowType {
    /// The name of the workflow.
    const NAME: &'static str;
    /// The type of its input, `()` if it has none.
    type Input;
    /// The type of its output.
    type Output;
}

/// A type of messages. The attribute `#[flawless::message]` makes one.
pub trait MessageType {
    /// The engine's name of the type.
    const NAME: &'static str;
}

/// The one type that is the input of a workflow. It needs no bound on `T` itself, whose type need not be one
/// that can be written as JSON where nobody starts the workflow.
#[diagnostic::on_unimplemented(
    message = "the workflow takes `{T}`, not `{Self}`, and to start it the type must implement `serde::Serialize`",
    label = "not the input of the workflow"
)]
pub trait InputOf<T>: Serialize {}

impl<T: Serialize> InputOf<T> for T {}
