//! JSON Schemas of the inputs and outputs of workflows, and of values that calls wait for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::rc::Rc;

use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::shape::{Shape, shape};
use crate::workflow::{Input, Returned};

/// Returns the JSON Schema of an input.
pub fn input_schema<T: Input>() -> Vec<u8> {
    text(&read_schema::<T>(SchemaSettings::draft2020_12()))
}

/// Returns the JSON Schema of an output.
pub fn output_schema<R: Returned>() -> Vec<u8> {
    let generator = SchemaSettings::draft2020_12().for_serialize();
    text(
        generator
            .into_generator()
            .into_root_schema_for::<R::Output>()
            .as_value(),
    )
}

fn text(schema: &Value) -> Vec<u8> {
    serde_json::to_vec(schema).expect("a schema is JSON")
}

/// Returns the schema of the values that a type reads: schemars describes them, and serde adds what schemars cannot
/// express, such as the range of a map's keys.
fn read_schema<T: Input>(settings: SchemaSettings) -> Value {
    let generator = settings.for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    let shape = shape::<T>();
    if shape.beyond {
        add(&mut schema, shape);
    }
    schema
}

/// Adds a shape to the schema of the same type. A value must match both.
fn add(schema: &mut Value, shape: Shape) {
    for (names, aliases) in &shape.aliases {
        allow(schema, names, aliases);
    }
    if !schema.is_object() {
        *schema = json!({});
    }
    merge(&mut schema["$defs"], shape.defs);
    match schema["allOf"].as_array_mut() {
        Some(all) => all.push(shape.schema),
        None => schema["allOf"] = json!([shape.schema]),
    }
}

fn merge(into: &mut Value, defs: Map<String, Value>) {
    match into.as_object_mut() {
        Some(all) => all.extend(defs),
        None => *into = defs.into(),
    }
}

/// Allows the aliases of members, which schemars does not know, wherever a struct has these members. The shape says
/// which of them a value may contain.
fn allow(schema: &mut Value, names: &[&str], aliases: &[Vec<&str>]) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(|s| allow(s, names, aliases)),
        Value::Object(all) => {
            all.values_mut().for_each(|s| allow(s, names, aliases));
            let Some(Value::Object(properties)) = all.get_mut("properties") else {
                return;
            };
            if !names.iter().all(|n| properties.contains_key(*n)) {
                return;
            }
            for same in aliases {
                for other in &same[1..] {
                    properties.insert((*other).to_owned(), properties[same[0]].clone());
                }
            }
            if let Some(Value::Array(required)) = all.get_mut("required") {
                required.retain(|r| !aliases.iter().any(|same| r == same[0]));
            }
        }
        _ => {}
    }
}

/// The schema of the value that a call waits for, so that the engine refuses other values. It is `None` if the value
/// can be anything or the schema is too long.
pub type Wanted = Option<Rc<[u8]>>;

/// The maximum length of a schema in a call.
const MAX_WANTED: usize = 64 << 10;

thread_local! {
    static KNOWN: RefCell<BTreeMap<usize, Wanted>> = RefCell::default();
}

/// Makes each schema once. The function identifies the type: two types share a function only if their code is the same.
fn wanted_by(make: fn() -> Value) -> Wanted {
    let known = KNOWN.with_borrow(|k| k.get(&(make as usize)).cloned());
    known.unwrap_or_else(|| {
        let schema = make();
        let says = |key: &String| !["title", "description"].contains(&key.as_str());
        let checks = schema.as_object().is_some_and(|s| s.keys().any(says));
        let wanted: Wanted = checks
            .then(|| text(&schema))
            .filter(|t| t.len() <= MAX_WANTED)
            .map(Rc::from);
        KNOWN.with_borrow_mut(|k| k.insert(make as usize, wanted.clone()));
        wanted
    })
}

/// Returns the wanted schema of a type that schemars describes.
pub(crate) fn wanted<T: Input>() -> Wanted {
    wanted_by(|| {
        let mut settings = SchemaSettings::draft2020_12();
        settings.meta_schema = None;
        read_schema::<T>(settings)
    })
}

/// Returns the wanted schema of a type that only serde knows.
pub(crate) fn wanted_shape<T: DeserializeOwned>() -> Wanted {
    wanted_by(|| {
        let shape = shape::<T>();
        let mut schema = shape.schema;
        if !shape.defs.is_empty() {
            schema["$defs"] = shape.defs.into();
        }
        schema
    })
}

/// Selects the best schema of a type: `(&&&Best::<T>::NEW).wanted()` uses the first of these traits that the
/// type satisfies.
pub struct Best<T>(PhantomData<T>);

impl<T> Best<T> {
    /// The only value.
    pub const NEW: Self = Best(PhantomData);
}

/// See [`Best`].
pub trait BestInput {
    /// Returns the schema.
    fn wanted(&self) -> Wanted;
}

/// See [`Best`].
pub trait BestShape {
    /// Returns the schema.
    fn wanted(&self) -> Wanted;
}

/// See [`Best`].
pub trait BestNone {
    /// Returns no schema: the type is never read.
    fn wanted(&self) -> Wanted;
}

impl<T: Input> BestInput for &&Best<T> {
    fn wanted(&self) -> Wanted {
        wanted::<T>()
    }
}

impl<T: DeserializeOwned> BestShape for &Best<T> {
    fn wanted(&self) -> Wanted {
        wanted_shape::<T>()
    }
}

impl<T> BestNone for Best<T> {
    fn wanted(&self) -> Wanted {
        None
    }
}
