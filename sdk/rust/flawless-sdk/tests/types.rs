//! Types, and what serde reads as them. The file testdata/types.txt says so of many texts; a test of the engine,
//! which has the checks and not the types, reads it: a schema has to take what is read and to refuse what is not.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZeroI64, NonZeroU8};
use std::ops::{Bound, Range};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use flawless::__private::{Best, BestInput, BestShape, Input, Wanted};

fn wanted<T: Input>() -> Wanted {
    BestInput::wanted(&&&Best::<T>::NEW)
}

fn wanted_shape<T: DeserializeOwned>() -> Wanted {
    BestShape::wanted(&&Best::<T>::NEW)
}

macro_rules! read {
    ($(#[$meta:meta])* $kind:ident $($rest:tt)*) => {
        #[derive(Debug, Deserialize, Serialize, JsonSchema)]
        $(#[$meta])*
        $kind $($rest)*
    };
}

read! { #[derive(PartialEq, Eq, PartialOrd, Ord)] enum Size { S, #[serde(alias = "medium")] M, #[serde(rename = "large")] L } }
read! { enum External { Plain, One(u8), Two(u8, String), Named { a: u8, #[serde(default)] b: Option<i8> } } }
read! { #[serde(tag = "t")] enum Internal { A { x: i32 }, B { y: f64 }, C } }
read! { #[serde(tag = "t", content = "c")] enum Adjacent { N(i64), S(String), U } }
read! { #[serde(untagged)] enum Untagged { I(i64), S(String), P { x: u8 } } }
read! { struct Required { a: u8, b: String, c: Option<i32>, #[serde(default)] d: bool } }
read! { #[serde(deny_unknown_fields)] struct Strict { a: u8, #[serde(default)] b: Option<i8> } }
read! { #[serde(rename_all = "camelCase")] struct Camel { some_id: u64, #[serde(alias = "ot")] other: Option<i32> } }
read! { struct Aliased { #[serde(alias = "a1", alias = "z1")] b: u8, #[serde(alias = "a2", default)] c: Option<String>, d: u8 } }
read! { #[serde(deny_unknown_fields)] struct StrictAlias { #[serde(alias = "b")] a: u8 } }
read! { struct Flat { #[serde(flatten)] own: Required, #[serde(flatten)] rest: BTreeMap<String, i32> } }
read! { #[serde(default)] #[derive(Default)] struct Defaults { a: u8, b: String } }
read! { struct Tree { n: u8, #[serde(default)] kids: Vec<Tree>, #[serde(default)] left: Option<Box<Tree>>, #[serde(default)] by: BTreeMap<u8, Tree> } }
read! { enum Expr { N(u8), Neg(Box<Expr>), Sum(Vec<Expr>), Pair { l: Box<Expr>, r: Box<Expr> } } }
read! { struct Unit; }
read! { #[derive(PartialEq, Eq, PartialOrd, Ord)] struct Pair(u8, String); }
read! { #[derive(PartialEq, Eq, PartialOrd, Ord)] struct Key(u16); }
read! { #[derive(PartialEq, Eq, PartialOrd, Ord)] enum Mixed { S, N(u8), P { a: u8 } } }
read! { #[derive(PartialEq)] struct Share(f64); }
read! { struct Of<T> { v: T } }
read! { struct Two { a: Of<u8>, b: Of<String>, c: Required, d: Option<Required> } }
read! { struct Big { a: i128, b: u128, c: u64, d: f32, e: usize, f: Option<NonZeroU8> } }
read! { struct When { at: SystemTime, #[serde(rename = "for")] long: Duration, who: SocketAddr, from: IpAddr } }
read! { struct Maps { #[serde(default)] u8: HashMap<u8, String>, #[serde(default)] i64: BTreeMap<i64, u8>, #[serde(default)] bool: BTreeMap<bool, u8>, #[serde(default)] char: BTreeMap<char, u8>, #[serde(default)] ip: BTreeMap<IpAddr, u8>, #[serde(default)] size: BTreeMap<Size, u8>, #[serde(default)] key: BTreeMap<Key, u8>, #[serde(default)] i128: BTreeMap<i128, u8>, #[serde(default)] text: BTreeMap<String, u8> } }

impl Eq for Share {}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Values of the parts of structs, to be put in place of `%`.
const PARTS: &[&str] = &[
    "null",
    "0",
    "1",
    "-1",
    "-0",
    "1.0",
    "256",
    "3000000000",
    "18446744073709551616",
    "\"x\"",
    "\"\"",
    "true",
    "[]",
    "[1]",
    "[1,2]",
    "{}",
    "{\"a\":1}",
    "{\"n\":1}",
    "{\"n\":256}",
    "{\"v\":1}",
    "{\"v\":\"x\"}",
    "{\"secs\":1,\"nanos\":5}",
    "{\"1\":\"a\"}",
    "{\"256\":\"a\"}",
    "{\"01\":\"a\"}",
    "{\"-1\":1}",
    "{\"-0\":1}",
    "{\"9223372036854775808\":1}",
    "{\"1\":{\"n\":1}}",
    "{\"x\":{\"n\":1}}",
    "{\"true\":1}",
    "{\"True\":1}",
    "{\"a\":1,\"ab\":1}",
    "{\"\":1}",
    "{\"é\":1}",
    "{\"::1\":1}",
    "{\"S\":1}",
    "{\"medium\":1}",
    "{\"M\":1}",
    "{\"65535\":1}",
    "{\"65536\":1}",
    "{\"170141183460469231731687303715884105728\":1}",
    "\"1.2.3.4\"",
    "\"1.2.3.4:80\"",
];

/// What the parts are put into.
const WHOLES: &[&str] = &[
    "%",
    "{\"a\":%,\"b\":\"\"}",
    "{\"b\":%}",
    "{\"a\":1,\"b\":\"\",\"c\":%}",
    "{\"a\":1,\"b\":\"\",\"z\":%}",
    "{\"a1\":1,\"d\":%}",
    "{\"b\":1,\"c\":%,\"d\":1}",
    "{\"z1\":1,\"a2\":%,\"d\":1}",
    "{\"someId\":1,\"ot\":%}",
    "{\"someId\":1,\"other\":1,\"ot\":%}",
    "{\"n\":1,\"kids\":[%]}",
    "{\"n\":1,\"left\":%}",
    "{\"n\":1,\"by\":%}",
    "{\"One\":%}",
    "{\"Two\":[%,\"x\"]}",
    "{\"Named\":{\"a\":1,\"b\":%}}",
    "{\"t\":\"A\",\"x\":%}",
    "{\"t\":\"B\",\"y\":%}",
    "{\"t\":\"N\",\"c\":%}",
    "{\"t\":\"U\",\"c\":%}",
    "{\"x\":%}",
    "{\"Ok\":%}",
    "{\"Err\":%}",
    "{\"Included\":%}",
    "{\"start\":1,\"end\":%}",
    "{\"N\":%}",
    "{\"Neg\":{\"N\":%}}",
    "{\"Sum\":[{\"N\":1},{\"Neg\":%}]}",
    "{\"Pair\":{\"l\":{\"N\":1},\"r\":{\"N\":%}}}",
    "{\"u8\":%}",
    "{\"i64\":%}",
    "{\"bool\":%}",
    "{\"char\":%}",
    "{\"ip\":%}",
    "{\"size\":%}",
    "{\"key\":%}",
    "{\"i128\":%}",
    "{\"text\":%}",
    "{\"a\":{\"v\":1},\"b\":{\"v\":%},\"c\":{\"a\":1,\"b\":\"\"}}",
    "{\"a\":{\"v\":1},\"b\":{\"v\":\"\"},\"c\":{\"a\":1,\"b\":\"\"},\"d\":%}",
    "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":%}",
    "{\"a\":%,\"b\":1,\"c\":1,\"d\":1,\"e\":1}",
    "{\"at\":{\"secs_since_epoch\":1,\"nanos_since_epoch\":2},\"for\":%,\"who\":\"1.2.3.4:80\",\"from\":\"::1\"}",
    "{\"at\":{\"secs_since_epoch\":1,\"nanos_since_epoch\":2},\"for\":{\"secs\":1,\"nanos\":1},\"who\":%,\"from\":\"::1\"}",
];

/// Other values.
const TEXTS: &[&str] = &[
    "127",
    "128",
    "-128",
    "-129",
    "255",
    "32767",
    "32768",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "170141183460469231731687303715884105727",
    "170141183460469231731687303715884105728",
    "340282366920938463463374607431768211456",
    "1e2",
    "0.5",
    "-0.0",
    "1e308",
    "3.4028235e38",
    "1e-46",
    "5e-324",
    "1e309",
    "\"é\"",
    "\"e\\u0301\"",
    "\"😀\"",
    "\"ab\"",
    "\"\\u0000\"",
    "\"::1\"",
    "\"1.2.3.04\"",
    "\"1.2.3\"",
    "\"::ffff:1.2.3.4\"",
    "\"fe80::1%1\"",
    "\"1::2::3\"",
    "\"1:2:3:4:5:6:7::\"",
    "\"[::1]:80\"",
    "\"[::1]:65536\"",
    "\"[fe80::1%1]:80\"",
    "\"[fe80::1%eth0]:80\"",
    "\"1.2.3.4:080\"",
    "\"1.2.3.4:\"",
    "\"::1:80\"",
    "\"host:80\"",
    "[null]",
    "[1,\"a\"]",
    "[1,\"a\",2]",
    "[1,2,3]",
    "[1,1]",
    "[256]",
    "[1.0]",
    "{\"0\":1,\"1\":\"a\"}",
    "\"S\"",
    "\"M\"",
    "\"L\"",
    "\"medium\"",
    "\"large\"",
    "\"Plain\"",
    "\"One\"",
    "{\"Plain\":null}",
    "{\"S\":null}",
    "{\"Two\":[1,\"x\",3]}",
    "{\"Two\":[1]}",
    "{\"One\":1,\"Plain\":null}",
    "{\"One\":1,\"x\":1}",
    "{\"Named\":{}}",
    "{\"Named\":{\"a\":1,\"z\":1}}",
    "{\"Named\":[1,2]}",
    "{\"t\":\"C\"}",
    "{\"t\":\"C\",\"x\":1}",
    "{\"x\":1,\"t\":\"A\"}",
    "{\"t\":\"D\"}",
    "{\"t\":\"U\"}",
    "{\"t\":\"N\"}",
    "{\"c\":1,\"t\":\"N\"}",
    "{\"t\":\"N\",\"c\":1,\"d\":1}",
    "{\"Ok\":1,\"Err\":\"x\"}",
    "{\"Ok\":1,\"z\":2}",
    "\"Unbounded\"",
    "{\"Excluded\":1,\"z\":1}",
    "{\"start\":1}",
    "{\"start\":1,\"end\":2,\"z\":3}",
    "{\"secs\":1}",
    "{\"secs\":1,\"nanos\":5,\"z\":1}",
    "{\"secs\":18446744073709551611,\"nanos\":4294967295}",
    "{\"secs\":18446744073709551615,\"nanos\":1000000000}",
    "{\"secs\":1,\"nanos\":4294967296}",
    "{\"secs\":-1,\"nanos\":0}",
    "{\"secs_since_epoch\":1,\"nanos_since_epoch\":2}",
    "{\"secs_since_epoch\":9223372036854775803,\"nanos_since_epoch\":4294967295}",
    "{\"secs_since_epoch\":9223372036854775807,\"nanos_since_epoch\":4294967295}",
    "{\"secs_since_epoch\":18446744073709551615,\"nanos_since_epoch\":1}",
    "{\"secs_since_epoch\":1,\"nanos_since_epoch\":2,\"z\":3}",
    "{\"someId\":1}",
    "{\"some_id\":1}",
    "{\"b\":1,\"d\":1}",
    "{\"a1\":1,\"d\":1}",
    "{\"a1\":1,\"b\":1,\"d\":1}",
    "{\"a1\":1,\"z1\":1,\"d\":1}",
    "{\"b\":1,\"c\":\"x\",\"a2\":\"x\",\"d\":1}",
    "{\"d\":1}",
    "{\"a\":1,\"b\":\"\"}",
    "{\"b\":\"\"}",
    "{\"a\":1}",
    "{\"a\":1,\"z\":1}",
    "{\"a\":1,\"b\":1}",
    "{\"A\":1,\"b\":\"\"}",
    "{\"a\":1,\"A\":1,\"b\":\"\"}",
    "{\"n\":1,\"kids\":[{\"n\":1,\"by\":{\"1\":{\"n\":1,\"by\":{\"256\":{\"n\":1}}}}}]}",
    "{\"n\":1,\"left\":{\"n\":1,\"left\":{\"n\":256}}}",
    "{\"u8\":{\"1\":\"a\",\"01\":\"b\"}}",
    "{\"i64\":{\"+1\":1}}",
    "{\"i64\":{\" 1\":1}}",
    "{\"i64\":{\"1.0\":1}}",
    "{\"i64\":{\"1e2\":1}}",
    "{\"a\":1,\"a\":1,\"b\":\"\"}",
    // Escapes.
    "\"\\u0031\"",
    "\"\\u0053\"",
    "\"\\u003a:1\"",
    "{\"\\u0031\":1}",
    "{\"\\u0031\":\"a\"}",
    "{\"1\":1,\"\\u002d1\":1}",
    "{\"1\\u002e5\":1}",
    "{\"tru\\u0065\":1}",
    "{\"\\u0061\":1}",
    "{\"\\u0053\":1}",
    "{\"\\u003a:1\":1}",
    "{\"a\":1,\"b\":\"\",\"\\u0031\":1}",
    "{\"\\u0074\":\"\\u0041\",\"\\u0078\":1}",
    "{\"t\":\"A\",\"x\":1,\"\\u0031\":1}",
    "{\"O\\u006ee\":1}",
    "{\"u8\":{\"\\u0031\":\"a\"}}",
    "{\"bool\":{\"\\u0074rue\":1}}",
    "{\"char\":{\"\\u0041\":1}}",
    // The largest 64-bit floating-point number and beyond, in several ways of writing it.
    "1.7976931348623157e308",
    "-1.7976931348623157E+308",
    "17976931348623157e292",
    "1797693134862315.65e293",
    "17976931348623157000e289",
    "1.797693134862315700000e308",
    "1.7976931348623158e308",
    "-1.7976931348623158e308",
    "1.797693134862315807e308",
    "1.797693134862315809e308",
    "179769313486231570814527423731704356798070567525844996598917476803157260780028538760589558632766878171540458953514382464234321326889464182768467546703537516986049910576551282076245490090389328944075868508455133942304583236903222948165808559332123347764797926204144723168738177180919299881250404026184124858368",
    "[1.7976931348623158e308]",
    "{\"a\":1.7976931348623158e308}",
    "{\"a\":1,\"b\":\"\",\"z\":1.7976931348623158e308}",
    "{\"t\":\"A\",\"x\":1,\"z\":1.7976931348623158e308}",
    "{\"t\":\"B\",\"y\":1.7976931348623157e308}",
    "{\"t\":\"B\",\"y\":1.7976931348623158e308}",
    // Many digits and large exponents.
    "0e999",
    "-0.0e99999999999",
    "1e-400",
    "18446744073709551616.5",
    "0.00000000000000000000000000000000000000001e349",
    "100000000000000000000000000000000000000000e-40",
    "9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "3.5e38",
    // Keys of every kind.
    "{\"1.5\":1}",
    "{\"1e309\":1}",
    "{\"1.7976931348623158e308\":1}",
    "{\"N\":1}",
    "{\"null\":1}",
    "{\"[1,2]\":1}",
];

fn texts() -> Vec<String> {
    let wholes = WHOLES
        .iter()
        .flat_map(|w| PARTS.iter().map(|p| w.replacen('%', p, 1)));
    wholes
        .chain(TEXTS.iter().map(|t| (*t).to_owned()))
        .collect()
}

struct Table {
    texts: Vec<String>,
    out: String,
}

impl Table {
    /// Adds a type with an example.
    fn add<T: DeserializeOwned + Serialize>(&mut self, schemas: &[(&str, Wanted)], value: &str) {
        let name = std::any::type_name::<T>().replace("types::", "");
        let example: T = serde_json::from_str(value).unwrap_or_else(|e| panic!("{name}: {e}"));
        writeln!(self.out, "type {name}").unwrap();
        for (by, schema) in schemas {
            let schema = schema.as_deref().unwrap_or(b"{}");
            writeln!(self.out, "{by} {}", String::from_utf8_lossy(schema)).unwrap();
        }
        writeln!(
            self.out,
            "writes {}",
            serde_json::to_string(&example).unwrap()
        )
        .unwrap();
        self.out.push_str("reads");
        for (i, text) in self.texts.iter().enumerate() {
            if serde_json::from_slice::<T>(text.as_bytes()).is_ok() {
                write!(self.out, " {i}").unwrap();
            }
        }
        self.out.push('\n');
    }

    fn schemars<T: Input + Serialize>(&mut self, value: &str) {
        self.add::<T>(&[("schemars", wanted::<T>())], value);
    }

    fn both<T: Input + Serialize>(&mut self, value: &str) {
        let schemas = [("serde", wanted_shape::<T>()), ("schemars", wanted::<T>())];
        self.add::<T>(&schemas, value);
    }
}

#[test]
fn types_and_what_they_read() {
    let texts = texts();
    let mut out = String::new();
    for (i, text) in texts.iter().enumerate() {
        writeln!(out, "text {i} {text}").unwrap();
    }
    let mut t = Table { texts, out };
    t.both::<bool>("true");
    t.both::<(i8, i16, i32, i64)>("[1,2,3,4]");
    t.both::<i8>("-128");
    t.both::<i16>("-32768");
    t.both::<i32>("-2147483648");
    t.both::<i64>("-9223372036854775808");
    t.both::<i128>("-170141183460469231731687303715884105728");
    t.both::<u8>("255");
    t.both::<u16>("65535");
    t.both::<u32>("4294967295");
    t.both::<u64>("18446744073709551615");
    t.both::<u128>("340282366920938463463374607431768211455");
    t.both::<NonZeroU8>("1");
    t.both::<NonZeroI64>("-1");
    t.both::<f32>("1.5");
    t.both::<f64>("1.5");
    t.both::<char>("\"é\"");
    t.both::<String>("\"a\"");
    t.both::<Cow<'static, str>>("\"a\"");
    t.both::<PathBuf>("\"a\"");
    t.both::<()>("null");
    t.both::<Unit>("null");
    t.both::<Pair>("[1,\"a\"]");
    t.both::<Key>("1");
    t.both::<Box<u8>>("1");
    t.both::<Option<u8>>("null");
    t.both::<Option<Option<i32>>>("1");
    t.both::<Vec<u8>>("[1]");
    t.both::<BTreeSet<u8>>("[1]");
    t.both::<[u8; 2]>("[1,2]");
    t.both::<(u8, String)>("[1,\"a\"]");
    t.both::<BTreeMap<String, u8>>("{\"a\":1}");
    t.both::<HashMap<u8, String>>("{\"1\":\"a\"}");
    t.both::<BTreeMap<i64, u8>>("{\"-1\":1}");
    t.both::<BTreeMap<u128, u8>>("{\"1\":1}");
    t.both::<BTreeMap<bool, u8>>("{\"true\":1}");
    t.both::<BTreeMap<char, u8>>("{\"a\":1}");
    t.both::<BTreeMap<Ipv6Addr, u8>>("{\"::1\":1}");
    t.both::<BTreeMap<Size, u8>>("{\"large\":1}");
    t.both::<BTreeMap<Key, u8>>("{\"65535\":1}");
    t.both::<BTreeMap<Mixed, u8>>("{\"S\":1}");
    t.both::<BTreeMap<Share, u8>>("{\"1.5\":1}");
    t.both::<BTreeMap<(), u8>>("{}");
    t.both::<BTreeMap<(u8, u8), u8>>("{}");
    t.both::<BTreeMap<Vec<u8>, u8>>("{}");
    t.both::<BTreeMap<Pair, u8>>("{}");
    t.both::<serde_json::Value>("{\"a\":1}");
    t.both::<BTreeMap<String, serde_json::Value>>("{\"a\":1}");
    t.both::<Duration>("{\"secs\":1,\"nanos\":5}");
    t.both::<SystemTime>("{\"secs_since_epoch\":1,\"nanos_since_epoch\":2}");
    t.both::<IpAddr>("\"::1\"");
    t.both::<Ipv4Addr>("\"1.2.3.4\"");
    t.both::<Ipv6Addr>("\"::1\"");
    t.both::<SocketAddr>("\"1.2.3.4:80\"");
    t.both::<SocketAddrV4>("\"1.2.3.4:80\"");
    t.both::<SocketAddrV6>("\"[fe80::1%1]:80\"");
    t.both::<Range<i32>>("{\"start\":1,\"end\":2}");
    t.both::<Result<u8, String>>("{\"Ok\":1}");
    t.both::<Bound<u8>>("{\"Included\":1}");
    t.both::<Size>("\"M\"");
    t.both::<External>("{\"Named\":{\"a\":1}}");
    t.both::<Expr>("{\"Sum\":[{\"Neg\":{\"N\":1}}]}");
    t.both::<Required>("{\"a\":1,\"b\":\"\"}");
    t.both::<Strict>("{\"a\":1}");
    t.both::<Camel>("{\"someId\":1}");
    t.both::<Aliased>("{\"a1\":1,\"d\":2}");
    t.both::<StrictAlias>("{\"b\":1}");
    t.both::<Defaults>("{}");
    t.both::<Tree>("{\"n\":1,\"kids\":[{\"n\":2,\"by\":{\"3\":{\"n\":4}}}]}");
    t.both::<Two>("{\"a\":{\"v\":1},\"b\":{\"v\":\"\"},\"c\":{\"a\":1,\"b\":\"\"}}");
    t.both::<Big>("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1}");
    t.both::<When>("{\"at\":{\"secs_since_epoch\":1,\"nanos_since_epoch\":2},\"for\":{\"secs\":1,\"nanos\":1},\"who\":\"1.2.3.4:80\",\"from\":\"::1\"}");
    t.both::<Maps>("{\"u8\":{\"1\":\"a\"},\"key\":{\"1\":1}}");
    t.schemars::<Internal>("{\"t\":\"A\",\"x\":1}");
    t.both::<Adjacent>("{\"t\":\"N\",\"c\":1}");
    t.schemars::<Untagged>("1");
    t.schemars::<Flat>("{\"a\":1,\"b\":\"\"}");

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/types.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, &t.out).unwrap();
    }
    let want = std::fs::read_to_string(file).unwrap();
    for (i, (got, want)) in t.out.lines().zip(want.lines()).enumerate() {
        assert_eq!(
            got,
            want,
            "line {} of {file} is not as it was; UPDATE=1 cargo test types writes it anew",
            i + 1
        );
    }
    assert_eq!(t.out.lines().count(), want.lines().count());
}

/// Nothing is asked of a type that can be anything.
#[test]
fn what_can_be_anything_has_no_schema() {
    assert_eq!(wanted_shape::<serde_json::Value>(), None);
    assert_eq!(wanted::<serde_json::Value>(), None);
    assert_eq!(wanted_shape::<Untagged>(), None);
}
