//! The JSON Schema of what serde reads as a type.
//!
//! [`shape`] lets the type read made-up values a few times, and records what it asks for (a `u8`, a map with `i64`
//! keys, a struct with these members) and what it refuses. The schema accepts exactly what serde_json reads as the
//! type, with these exceptions:
//!
//! - A struct is read from an object, not from an array, and a tuple has all its items.
//! - Values that a type reads with `deserialize_any` are not restricted: untagged enums, enums with a tag among their
//!   members, and structs with flattened members. schemars describes those.
//! - A conversion, such as `#[serde(try_from)]`, may refuse more.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use probe::Probe;

mod probe;

/// What serde reads as a type.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// Its JSON Schema, `{}` where it can be anything.
    pub schema: Value,
    /// What the schema refers to as `#/$defs/NAME`. The names begin with `serde.`
    pub defs: Map<String, Value>,
    /// Whether the schema has rules that schemars cannot express.
    pub beyond: bool,
    /// For each struct with aliases: the names of all its members, and for each member with aliases its name and the
    /// aliases.
    pub aliases: Vec<(Vec<&'static str>, Vec<Vec<&'static str>>)>,
}

/// Returns what serde reads as a type.
pub(crate) fn shape<T: DeserializeOwned>() -> Shape {
    let survey = RefCell::new(Survey {
        nodes: vec![Node::default()],
        ..Survey::default()
    });
    // A type that refuses a value hides what comes after it. Other members come first in later rounds, so it is worth
    // repeating as long as something new is found.
    let (mut before, mut idle) = ((0, 0, 0), 0);
    for _ in 0..MAX_ROUNDS {
        let probe = Probe {
            survey: &survey,
            at: 0,
        };
        let _ = T::deserialize(probe);
        let s = survey.borrow();
        let now = (s.nodes.len(), s.todo, s.again);
        if s.todo == 0 {
            break;
        }
        idle = if now == before { idle + 1 } else { 0 };
        before = now;
        if idle > s.widest {
            break;
        }
    }
    let mut out = Shape::default();
    let survey = survey.into_inner();
    out.schema = survey.write(0, &mut out);
    out
}

/// How often a type is given values at most. Twice the members of its largest struct is usually enough.
const MAX_ROUNDS: usize = 2000;

/// A type: what makes it, its name, and the names of its members or variants.
type Key = (&'static str, &'static str, &'static [&'static str]);

/// What is known of a type and its parts.
#[derive(Default)]
struct Survey {
    nodes: Vec<Node>, // the first is the type itself
    types: BTreeMap<Key, usize>,
    todo: usize,   // visits that are planned
    again: usize,  // visits that are repeated
    widest: usize, // the most visits that are planned for one node
}

#[derive(Default)]
struct Node {
    kind: Kind,
    first: usize, // of its parts, which are nodes one behind the other
    parts: usize,
    visits: usize,
    planned: usize,
    refused: usize,      // visits that ended with an error
    good: Option<usize>, // the variant that was not refused
    open: bool,          // it is being visited
}

#[derive(Default)]
enum Kind {
    #[default]
    Unknown,
    Any,
    /// It is described by a schema.
    Leaf(Value),
    /// The name of a member, where the struct has flattened ones.
    Identifier,
    /// A variant without a value.
    Unit,
    Option,
    List,
    Tuple,
    /// Its keys and its values.
    Map,
    Struct(Members),
    /// Its name, and its variants.
    Enum(&'static str, &'static [&'static str]),
    /// An enum with its tag and its value beside each other.
    Tagged(Tagged),
    /// A type that is a node of its own.
    Same(usize),
}

struct Members {
    names: &'static [&'static str],
    facts: RefCell<Facts>,
    time: Option<(&'static str, u64)>, // its seconds, and their maximum
}

struct Tagged {
    tag: &'static str,
    content: &'static str,
    variants: &'static [&'static str],
    needed: RefCell<Vec<bool>>, // the variant has a value
}

struct Facts {
    alias_of: Vec<Option<usize>>,
    required: Vec<bool>,
    closed: bool, // other members are refused
}

impl Members {
    fn new(name: &str, names: &'static [&'static str]) -> Self {
        // With nanoseconds of 32 bits they must not overflow, which the standard library counts in 64 bits.
        let time = match (name, names) {
            ("Duration", ["secs", "nanos"]) => Some(("secs", u64::MAX - 4)),
            ("SystemTime", ["secs_since_epoch", "nanos_since_epoch"]) => {
                Some(("secs_since_epoch", i64::MAX as u64 - 4))
            }
            _ => None,
        };
        Members {
            names,
            facts: RefCell::new(Facts {
                alias_of: vec![None; names.len()],
                required: vec![false; names.len()],
                closed: false,
            }),
            time,
        }
    }
}

impl Survey {
    /// Tells whether more values would tell no more of a node itself.
    fn is_known(&self, node: &Node) -> bool {
        let variants = match node.kind {
            Kind::Enum(..) => node.parts,
            _ => 0,
        };
        let more = self.unknown(node.first, variants, node.visits);
        node.visits >= node.planned && more.is_none()
    }

    /// Returns a variant of an enum that is a struct of which not all is known, after a number of visits.
    fn unknown(&self, first: usize, n: usize, visit: usize) -> Option<usize> {
        let contents = &self.nodes[first..first + n];
        let planned: usize = contents.iter().map(|c| c.planned).sum();
        let turn = (0..n).map(|i| (visit + i) % n);
        turn.filter(|_| visit < n + 2 * planned)
            .find(|i| contents[*i].visits < contents[*i].planned)
    }

    /// Returns the schema of a node.
    fn write(&self, at: usize, out: &mut Shape) -> Value {
        let node = &self.nodes[at];
        let part = |i| node.first + i;
        match &node.kind {
            Kind::Unknown | Kind::Any | Kind::Identifier => json!({}),
            Kind::Leaf(schema) => {
                out.beyond |= format_of(schema).starts_with("socket");
                schema.clone()
            }
            Kind::Unit => json!({"type": "null"}),
            Kind::Option => match self.write(part(0), out) {
                any if any == json!({}) => any,
                some => json!({"anyOf": [some, {"type": "null"}]}),
            },
            Kind::List => json!({"type": "array", "items": self.write(part(0), out)}),
            Kind::Tuple => {
                let items: Vec<Value> = (0..node.parts).map(|i| self.write(part(i), out)).collect();
                json!({"type": "array", "prefixItems": items, "minItems": node.parts, "maxItems": node.parts})
            }
            Kind::Map if matches!(self.nodes[node.first].kind, Kind::Identifier) => {
                json!({"type": "object"})
            }
            Kind::Map => {
                let mut schema =
                    json!({"type": "object", "additionalProperties": self.write(part(1), out)});
                if let Some(keys) = self.keys(node.first) {
                    schema["propertyNames"] = keys;
                    out.beyond = true;
                }
                schema
            }
            Kind::Struct(members) => self.members(node, members, out),
            Kind::Enum(name, variants) => self.variants(node, name, variants, out),
            Kind::Tagged(t) => {
                let variant = |(i, name): (usize, &&str)| {
                    let part = part(i);
                    out.beyond |=
                        matches!(&self.nodes[part].kind, Kind::Leaf(l) if l["type"] == "null");
                    let value = self.write(part, out);
                    let needed = t.needed.borrow()[i].then_some(t.content);
                    let required: Vec<&str> = [t.tag].into_iter().chain(needed).collect();
                    json!({
                        "type": "object",
                        "properties": {t.tag: {"const": name}, t.content: value},
                        "required": required,
                    })
                };
                let any: Vec<Value> = t.variants.iter().enumerate().map(variant).collect();
                json!({"anyOf": any})
            }
            Kind::Same(of) => {
                let name = self.name(*of);
                if !out.defs.contains_key(&name) {
                    out.defs.insert(name.clone(), Value::Null); // for what refers to it meanwhile
                    let schema = self.write(*of, out);
                    out.defs.insert(name.clone(), schema);
                }
                json!({"$ref": format!("#/$defs/{name}")})
            }
        }
    }

    /// Returns the name of the type of a node under `$defs`.
    fn name(&self, at: usize) -> String {
        let own = self.types.iter().find(|(_, node)| **node == at);
        let name = own.map_or("", |((_, name, _), _)| name);
        let before = |(key, node): &(&Key, &usize)| key.1 == name && **node < at;
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        match self.types.iter().filter(before).count() {
            0 => format!("serde.{plain}"),
            n => format!("serde.{plain}.{}", n + 1),
        }
    }

    /// Returns the schema of the keys of a map, none where they are any text. It allows none where serde_json reads no
    /// key as the type.
    fn keys(&self, at: usize) -> Option<Value> {
        let node = &self.nodes[at];
        match &node.kind {
            Kind::Same(of) => self.keys(*of),
            Kind::Option => self.keys(node.first),
            // A key has no room for the value of a variant.
            Kind::Enum(_, variants) => {
                let plain = |i: &usize| {
                    let kind = &self.nodes[node.first + i].kind;
                    matches!(kind, Kind::Unit | Kind::Unknown)
                };
                let plain: Vec<_> = (0..variants.len()).filter(plain).collect();
                Some(json!({"enum": plain.iter().map(|i| variants[*i]).collect::<Vec<_>>()}))
            }
            Kind::Leaf(schema) => match (schema["type"].as_str()?, format_of(schema)) {
                ("integer", format) if format.starts_with('u') => {
                    Some(json!({"pattern": "^(0|[1-9][0-9]*)$", "format": format}))
                }
                ("integer", format) => {
                    Some(json!({"pattern": "^(0|-?[1-9][0-9]*)$", "format": format}))
                }
                ("number", "float") => Some(json!({"format": "float"})),
                ("number", _) => Some(json!({"format": "double"})),
                ("boolean", _) => Some(json!({"enum": ["true", "false"]})),
                ("null", _) => Some(false.into()),
                ("string", _) if schema["maxLength"] == 1 => {
                    Some(json!({"minLength": 1, "maxLength": 1}))
                }
                ("string", "") => None,
                ("string", format) => Some(json!({"format": format})),
                _ => None,
            },
            // JSON has no such keys.
            Kind::List
            | Kind::Tuple
            | Kind::Map
            | Kind::Struct(_)
            | Kind::Tagged(_)
            | Kind::Unit => Some(false.into()),
            _ => None,
        }
    }

    fn members(&self, node: &Node, m: &Members, out: &mut Shape) -> Value {
        let facts = m.facts.borrow();
        let (mut properties, mut required, mut rules) = (Map::new(), Vec::new(), Vec::new());
        let mut aliases = Vec::new();
        let mut own = Vec::new();
        for (i, name) in m.names.iter().enumerate() {
            if facts.alias_of[i].is_some() {
                continue;
            }
            own.push(*name);
            let mut schema = self.write(node.first + i, out);
            if let Some((seconds, most)) = m.time
                && seconds == *name
            {
                schema["maximum"] = most.into();
            }
            let mut all = vec![*name];
            all.extend(
                (0..m.names.len())
                    .filter(|a| facts.alias_of[*a] == Some(i))
                    .map(|a| m.names[a]),
            );
            for name in &all {
                properties.insert((*name).to_owned(), schema.clone());
            }
            if all.len() == 1 {
                required.extend(facts.required[i].then_some(*name));
                continue;
            }
            for (k, name) in all.iter().enumerate() {
                let others: Map<String, Value> = all[..k]
                    .iter()
                    .map(|o| ((*o).to_owned(), false.into()))
                    .collect();
                if !others.is_empty() {
                    rules.push(json!({"dependentSchemas": {*name: {"properties": others}}}));
                }
            }
            if facts.required[i] {
                let each: Vec<Value> = all.iter().map(|n| json!({"required": [n]})).collect();
                rules.push(json!({"anyOf": each}));
            }
            aliases.push(all);
        }
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if !rules.is_empty() {
            schema["allOf"] = rules.into();
        }
        if facts.closed {
            schema["additionalProperties"] = false.into();
        }
        out.beyond |= facts.closed || !aliases.is_empty();
        if !aliases.is_empty() {
            out.aliases.push((own, aliases));
        }
        schema
    }

    fn variants(&self, node: &Node, name: &str, variants: &[&str], out: &mut Shape) -> Value {
        let (mut any, mut plain) = (Vec::new(), Vec::new());
        for (i, variant) in variants.iter().enumerate() {
            let at = node.first + i;
            if matches!(self.nodes[at].kind, Kind::Unit) {
                plain.push(*variant);
                continue;
            }
            let content = self.write(at, out);
            any.push(json!({
                "type": "object",
                "properties": {*variant: content},
                "required": [variant],
                "additionalProperties": false,
            }));
        }
        if !plain.is_empty() {
            any.insert(0, json!({"enum": plain}));
        }
        out.beyond |= ["Result", "Bound"].contains(&name);
        match any.len() {
            1 => any.remove(0),
            _ => json!({"anyOf": any}),
        }
    }
}

fn format_of(schema: &Value) -> &str {
    schema["format"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    struct Iban;

    impl TryFrom<String> for Iban {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, Self::Error> {
            match text.len() {
                22 => Ok(Iban),
                _ => Err("it has not 22 characters"),
            }
        }
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Payment {
        cents: u64,
        to: Iban,
        parts: Vec<Part>,
        how: Option<How>,
        by: BTreeMap<u8, Part>,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Part {
        name: String,
        from: Option<Iban>,
        of: char,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum How {
        Direct(Iban),
        Card { number: u32, iban: Iban, name: char },
        Cash,
    }

    /// A type that refuses the made-up values does not hide what is beside it and in it.
    #[test]
    fn conversion_hides_no_other_members() {
        let shape = shape::<Payment>();
        assert!(shape.beyond);
        let of =
            |name: &str, path: &str| shape.defs[name].pointer(path).cloned().unwrap_or_default();
        assert_eq!(of("serde.Payment", "/properties/cents/format"), "uint64");
        assert_eq!(of("serde.Payment", "/properties/to/type"), "string");
        assert_eq!(
            of("serde.Payment", "/properties/by/propertyNames/format"),
            "uint8"
        );
        assert_eq!(of("serde.Part", "/properties/of/maxLength"), 1);
        assert_eq!(of("serde.Part", "/required"), json!(["name", "of"]));
        assert_eq!(of("serde.How", "/anyOf/0/enum"), json!(["Cash"]));
        let card = "/anyOf/2/properties/Card/properties";
        assert_eq!(of("serde.How", &format!("{card}/number/format")), "uint32");
        assert_eq!(of("serde.How", &format!("{card}/name/maxLength")), 1);
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Endless {
        next: Box<Endless>,
        n: u8,
    }

    #[test]
    fn recursive_type_terminates() {
        let shape = shape::<Endless>();
        let next = shape.defs["serde.Endless"].pointer("/properties/next/$ref");
        assert_eq!(next, Some(&json!("#/$defs/serde.Endless")));
    }
}
