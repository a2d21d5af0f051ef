//! A deserializer that gives made-up values to a type, and notes what the type asks for.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt::{self, Display};

use serde::Deserializer;
use serde::de::value::{BorrowedStrDeserializer, UnitDeserializer};
use serde::de::{
    self, DeserializeSeed, EnumAccess, Expected, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde_json::{Value, json};

use super::{Kind, Members, Node, Survey, Tagged};

/// How often a part that may be missing is tried before it is left out.
const TRIES: usize = 4;

/// Why a made-up value is refused.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    Missing(&'static str),
    Duplicate(&'static str),
    Unknown,
    /// The value would have a value of the same type in it, without end.
    Recursive,
    Other,
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the made-up value is refused")
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: Display>(_: T) -> Self {
        Refusal::Other
    }

    fn missing_field(name: &'static str) -> Self {
        Refusal::Missing(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Refusal::Duplicate(name)
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Refusal::Unknown
    }
}

impl Refusal {
    /// The error for what contains the refused value.
    fn outside(self) -> Self {
        match self {
            Refusal::Recursive => self,
            _ => Refusal::Other,
        }
    }
}

/// Gives made-up values to a type, and notes what it asks for.
#[derive(Clone, Copy)]
pub(super) struct Probe<'s> {
    pub survey: &'s RefCell<Survey>,
    pub at: usize,
}

impl Probe<'_> {
    fn part(self, at: usize) -> Self {
        Probe { at, ..self }
    }

    /// Notes what is asked for, with a number of parts, and returns the first part. Where something else was asked
    /// for before, it depends on the values, and can be anything.
    fn note(self, kind: Kind, parts: usize) -> usize {
        let mut survey = self.survey.borrow_mut();
        let end = survey.nodes.len();
        let node = &mut survey.nodes[self.at];
        let same = match (&node.kind, &kind) {
            (Kind::Leaf(a), Kind::Leaf(b)) => a == b,
            (Kind::Same(a), Kind::Same(b)) => a == b,
            (Kind::Any, _) => true,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        if same && node.parts == parts {
            return node.first;
        }
        node.kind = match node.kind {
            Kind::Unknown => kind,
            _ => Kind::Any,
        };
        (node.first, node.parts) = (end, parts);
        survey.nodes.resize_with(end + parts, Node::default);
        end
    }

    fn leaf(self, schema: Value) {
        self.note(Kind::Leaf(schema), 0);
    }

    fn anything<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.note(Kind::Any, 0);
        visitor.visit_unit()
    }

    /// Returns the node of the type that a visitor makes.
    fn typed<V>(self, name: &'static str, members: &'static [&'static str]) -> Self {
        let mut survey = self.survey.borrow_mut();
        let key = (type_name::<V>(), name, members);
        let next = survey.nodes.len();
        let at = *survey.types.entry(key).or_insert(next);
        if at == next {
            survey.nodes.push(Node::default());
        }
        drop(survey);
        self.note(Kind::Same(at), 0);
        self.part(at)
    }

    /// Plans visits of a new node.
    fn plan(self, visits: usize) {
        let mut survey = self.survey.borrow_mut();
        if matches!(survey.nodes[self.at].kind, Kind::Unknown) {
            survey.todo += visits;
            survey.widest = survey.widest.max(visits);
            survey.nodes[self.at].planned = visits;
        }
    }

    /// Begins a visit, and returns how many there were.
    fn enter(self) -> Result<usize, Refusal> {
        let node = &mut self.survey.borrow_mut().nodes[self.at];
        if node.open {
            return Err(Refusal::Recursive);
        }
        node.open = true;
        Ok(node.visits)
    }

    /// Ends a visit, and counts it.
    fn leave(self, counts: bool) {
        let mut survey = self.survey.borrow_mut();
        let node = &mut survey.nodes[self.at];
        node.open = false;
        if counts {
            node.visits += 1;
            let was_planned = node.visits <= node.planned;
            survey.todo -= usize::from(was_planned);
        }
    }

    /// Tells whether a part should be left out: it is what is being made, or it is refused all the time.
    fn leaves_out(self, part: usize) -> bool {
        let survey = self.survey.borrow();
        let of = match survey.nodes[part].kind {
            Kind::Same(at) => &survey.nodes[at],
            Kind::Identifier => return true,
            _ => &survey.nodes[part],
        };
        of.open || survey.nodes[self.at].refused >= TRIES && survey.is_known(of)
    }

    /// Notes whether a part was refused.
    fn tried<T>(self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        if matches!(result, Err(Refusal::Other)) {
            self.survey.borrow_mut().nodes[self.at].refused += 1;
        }
        result
    }

    fn structure<'de, V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let n = names.len();
        self.plan(2 * n + 1);
        let first = self.note(Kind::Struct(Members::new(name, names)), n);
        let visit = self.enter()?;
        let (order, last) = self.order(names, visit);
        let mut access = Fields {
            probe: self,
            first,
            names,
            order: order.into_iter(),
            unknown: visit == 0,
            given: None,
        };
        let result = visitor
            .visit_map(&mut access)
            .map_err(|e| (e, access.given));
        let counts = match result {
            Err((Refusal::Recursive, _)) => false,
            // That a member is required shows only where all others are good.
            Err((Refusal::Other, _)) if last => {
                let mut survey = self.survey.borrow_mut();
                let node = &mut survey.nodes[self.at];
                node.refused += 1;
                let enough = node.refused > TRIES * (n + 1);
                survey.again += usize::from(!enough);
                enough
            }
            _ => true,
        };
        if let Err((refusal, given)) = &result {
            self.learn(*refusal, *given);
        }
        self.leave(counts);
        result.map_err(|(e, _)| e.outside())
    }

    /// Returns the members that are given in a visit, and whether one is left out. First each one comes twice, which
    /// tells its proper name. Then each one is missing. Until all parts are known, each one may come first.
    fn order(self, names: &[&str], visit: usize) -> (Vec<usize>, bool) {
        let n = names.len();
        if (1..=n).contains(&visit) {
            return (vec![visit - 1; 2], false);
        }
        let begin = visit.saturating_sub(1) % n.max(1);
        let mut order: Vec<usize> = (begin..n).chain(0..begin).collect();
        let leaves_out = (n + 1..=2 * n).contains(&visit);
        if leaves_out {
            order.pop();
        }
        if let Kind::Struct(m) = &self.survey.borrow().nodes[self.at].kind {
            let facts = m.facts.borrow();
            order.retain(|i| facts.alias_of[*i].is_none());
        }
        (order, leaves_out)
    }

    /// Learns from the error of a struct. The member that was given last is `given`.
    fn learn(self, refusal: Refusal, given: Option<usize>) {
        let survey = self.survey.borrow();
        let Kind::Struct(m) = &survey.nodes[self.at].kind else {
            return;
        };
        let at = |name| m.names.iter().position(|n| *n == name);
        let mut facts = m.facts.borrow_mut();
        match refusal {
            Refusal::Unknown => facts.closed = true,
            Refusal::Missing(name) => {
                if let Some(i) = at(name) {
                    facts.required[i] = true;
                }
            }
            Refusal::Duplicate(name) => {
                if let (Some(i), Some(of)) = (given, at(name))
                    && i != of
                {
                    facts.alias_of[i] = Some(of);
                }
            }
            _ => {}
        }
    }

    /// Gives an enum with its tag and its value beside each other each variant, once with a value and once without.
    fn tagged<'de, V: Visitor<'de>>(
        self,
        members: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let visit = self.enter()?;
        let mut entries = TagAndContent {
            probe: self,
            tag: members[0],
            content: members[1],
            visit,
            value: None,
            step: 0,
        };
        let result = visitor.visit_map(&mut entries);
        let good = result.is_ok().then_some(visit);
        let mut survey = self.survey.borrow_mut();
        let node = &mut survey.nodes[self.at];
        node.good = node.good.or(good);
        if let (Err(Refusal::Missing(_)), Kind::Tagged(t), Some(part)) =
            (&result, &node.kind, entries.value)
        {
            t.needed.borrow_mut()[part - node.first] = true;
        }
        drop(survey);
        self.leave(true);
        result.map_err(Refusal::outside)
    }

    fn integer(self, visitor: &dyn Expected) {
        let what = visitor.to_string();
        let name = what.strip_prefix("a nonzero ").unwrap_or(&what);
        let format = match name {
            "isize" => "int".to_owned(),
            "usize" => "uint".to_owned(),
            _ => format!(
                "{}int{}",
                if name.starts_with('u') { "u" } else { "" },
                name.get(1..).unwrap_or_default()
            ),
        };
        const NAMES: &[&str] = &[
            "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize",
        ];
        let schema = match (NAMES.contains(&name), name == what) {
            (true, true) => json!({"type": "integer", "format": format}),
            (true, false) => json!({"type": "integer", "format": format, "not": {"const": 0}}),
            _ => json!({"type": "number"}), // it has a reader of its own
        };
        self.leaf(schema);
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let what = (&visitor as &dyn Expected).to_string();
        let row = TEXTS.iter().find(|(expected, ..)| what.contains(expected));
        let (_, format, sample) = row.unwrap_or(&("", "", "a"));
        self.leaf(match *format {
            "" => json!({"type": "string"}),
            format => json!({"type": "string", "format": format}),
        });
        visitor.visit_str(sample)
    }
}

/// Texts of which types of the standard library and of common crates read some only: what they say that they
/// expect, the format, and an example. Those without a format read several.
const TEXTS: &[(&str, &str, &str)] = &[
    ("IPv4 socket address", "socket-address-v4", "127.0.0.1:1"),
    ("IPv6 socket address", "socket-address-v6", "[::1]:1"),
    ("socket address", "socket-address", "127.0.0.1:1"),
    ("IPv4 address", "ipv4", "127.0.0.1"),
    ("IPv6 address", "ipv6", "::1"),
    ("IP address", "ip", "127.0.0.1"),
    ("UUID", "", "00000000-0000-4000-8000-000000000000"),
    ("RFC 3339", "", "2000-01-01T00:00:00Z"),
];

macro_rules! integers {
    ($($method:ident $visit:ident,)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.integer(&visitor);
            visitor.$visit(1)
        }
    )* };
}

macro_rules! any {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.anything(visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Refusal;

    integers! {
        deserialize_i8 visit_i8,
        deserialize_i16 visit_i16,
        deserialize_i32 visit_i32,
        deserialize_i64 visit_i64,
        deserialize_i128 visit_i128,
        deserialize_u8 visit_u8,
        deserialize_u16 visit_u16,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
        deserialize_u128 visit_u128,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let what = (&visitor as &dyn Expected).to_string();
        if what.starts_with("unit variant ") {
            return self.deserialize_unit(visitor);
        }
        self.anything(visitor)
    }

    any! { deserialize_bytes deserialize_byte_buf deserialize_ignored_any }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf(json!({"type": "boolean"}));
        visitor.visit_bool(true)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf(json!({"type": "number", "format": "float"}));
        visitor.visit_f32(1.0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf(json!({"type": "number"}));
        visitor.visit_f64(1.0)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf(json!({"type": "string", "minLength": 1, "maxLength": 1}));
        visitor.visit_char('a')
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.text(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refusal> {
        self.note(Kind::Identifier, 0);
        Err(Refusal::Other)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf(json!({"type": "null"}));
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if name.starts_with("$serde_json::") {
            return self.anything(visitor); // it reads the text itself
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let first = self.note(Kind::Option, 1);
        if self.leaves_out(first) {
            return visitor.visit_none();
        }
        self.tried(visitor.visit_some(self.part(first)))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let first = self.note(Kind::List, 1);
        let end = first + usize::from(!self.leaves_out(first));
        self.tried(visitor.visit_seq(Items {
            probe: self,
            next: first,
            end,
        }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let next = self.note(Kind::Tuple, len);
        visitor.visit_seq(Items {
            probe: self,
            next,
            end: next + len,
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let first = self.note(Kind::Map, 2);
        let empty = self.leaves_out(first) || self.leaves_out(first + 1);
        let result = visitor.visit_map(Entry {
            probe: self,
            first,
            given: empty,
        });
        self.tried(result.map_err(Refusal::outside))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let what = (&visitor as &dyn Expected).to_string();
        if what.starts_with("adjacently tagged enum") {
            return self.typed::<V>(name, fields).tagged(fields, visitor);
        }
        self.typed::<V>(name, fields)
            .structure(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let this = self.typed::<V>(name, variants);
        let n = variants.len();
        this.plan(n);
        let first = this.note(Kind::Enum(name, variants), n);
        let variant = |i: usize| Variant {
            probe: this.part(first + i),
            name: variants[i],
        };
        let good = this.survey.borrow().nodes[this.at].good;
        let visit = match (this.enter(), good) {
            (Ok(visit), _) => visit,
            (Err(_), Some(good)) => {
                return visitor.visit_enum(variant(good)).map_err(Refusal::outside);
            }
            (Err(e), None) => return Err(e),
        };
        if n == 0 {
            this.leave(true);
            return Err(Refusal::Other);
        }
        let unknown = this.survey.borrow().unknown(first, n, visit);
        let i = match unknown.or(good) {
            Some(i) if visit >= n => i,
            _ => visit % n,
        };
        let result = visitor.visit_enum(variant(i));
        if result.is_ok() && good.is_none() {
            this.survey.borrow_mut().nodes[this.at].good = Some(i); // it stays, so that it is no part of itself
        }
        this.leave(true);
        result.map_err(Refusal::outside)
    }
}

/// The members of a struct.
struct Fields<'s> {
    probe: Probe<'s>,
    first: usize,
    names: &'static [&'static str],
    order: std::vec::IntoIter<usize>,
    unknown: bool, // one comes first that the struct does not have
    given: Option<usize>,
}

impl<'de> MapAccess<'de> for &mut Fields<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        let name = if self.unknown {
            "a member that no struct has"
        } else {
            self.given = self.order.next();
            match self.given {
                None => return Ok(None),
                Some(i) => self.names[i],
            }
        };
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        if std::mem::take(&mut self.unknown) {
            return seed
                .deserialize(UnitDeserializer::new())
                .map_err(Refusal::outside);
        }
        let i = self.given.unwrap_or_default();
        seed.deserialize(self.probe.part(self.first + i))
            .map_err(Refusal::outside)
    }
}

/// The entries of an enum with its tag and its value beside each other.
struct TagAndContent<'s> {
    probe: Probe<'s>,
    tag: &'static str,
    content: &'static str,
    visit: usize,
    value: Option<usize>, // the node of the variant's value
    step: usize,
}

impl<'de> MapAccess<'de> for &mut TagAndContent<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        self.step += 1;
        let name = match (self.step, self.visit % 2) {
            (1, _) => self.tag,
            (2, 0) => self.content,
            _ => return Ok(None),
        };
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        let result = match (self.step, self.value) {
            (2, Some(part)) => seed.deserialize(self.probe.part(part)),
            _ => seed.deserialize(&mut **self),
        };
        result.map_err(Refusal::outside)
    }
}

/// The tag.
impl<'de> Deserializer<'de> for &mut TagAndContent<'_> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refusal> {
        Err(Refusal::Other)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let n = variants.len();
        self.probe.plan(2 * n);
        let kind = Kind::Tagged(Tagged {
            tag: self.tag,
            content: self.content,
            variants,
            needed: RefCell::new(vec![false; n]),
        });
        let first = self.probe.note(kind, n);
        if let Some(good) = self.probe.survey.borrow().nodes[self.probe.at].good
            && self.visit >= 2 * n
        {
            self.visit = good;
        }
        let i = self.visit / 2 % n.max(1);
        self.value = Some(first + i);
        let name = variants.get(i).ok_or(Refusal::Other)?;
        visitor.visit_enum(BorrowedStrDeserializer::new(name))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The one entry of a map.
struct Entry<'s> {
    probe: Probe<'s>,
    first: usize,
    given: bool,
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        if std::mem::replace(&mut self.given, true) {
            return Ok(None);
        }
        seed.deserialize(self.probe.part(self.first)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        seed.deserialize(self.probe.part(self.first + 1))
    }
}

/// The items of a list or a tuple.
struct Items<'s> {
    probe: Probe<'s>,
    next: usize,
    end: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refusal> {
        if self.next == self.end {
            return Ok(None);
        }
        self.next += 1;
        seed.deserialize(self.probe.part(self.next - 1))
            .map_err(Refusal::outside)
            .map(Some)
    }
}

/// A variant of an enum.
struct Variant<'s> {
    probe: Probe<'s>,
    name: &'static str,
}

impl<'de, 's> EnumAccess<'de> for Variant<'s> {
    type Error = Refusal;
    type Variant = Probe<'s>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Probe<'s>), Refusal> {
        let name = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((name, self.probe))
    }
}

impl<'de> VariantAccess<'de> for Probe<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        self.note(Kind::Unit, 0);
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refusal> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.structure("", fields, visitor)
    }
}
