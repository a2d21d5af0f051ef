//! Support for the `log` crate.
//!
//! A guest needs no set-up: `log::info!` and similar macros write lines to the log of the run, with level,
//! fields and call site. Lines of all levels are kept; `trace` becomes `debug`. A line becomes durable
//! together with the turn in which it was written, and a replay does not write it again. On `wasm32-wasip1`,
//! `println!` and `eprintln!` write lines, too.

use log::kv::{Error, Key, Value, VisitSource, VisitValue};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::head::{Head, call_site};
use crate::host;
use crate::size::{MAX_TEXT, cut};

struct Logger;

/// Makes lines of the `log` crate lines of the run.
pub(crate) fn install() {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = cut(&record.args().to_string(), MAX_TEXT);
        host::call("log", &head(record), text.as_bytes());
    }

    fn flush(&self) {}
}

/// Logs a problem found by the SDK. `site` is the call site, or `""`.
pub(crate) fn complain(text: &str, site: &str) {
    let mut head = Head::new();
    head.str("level", "error");
    if !site.is_empty() {
        head.str("at", site);
    }
    host::call("log", &head.end(), cut(text, MAX_TEXT).as_bytes());
}

/// Returns the engine's name of a level.
pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

fn head(record: &Record<'_>) -> Vec<u8> {
    let mut head = Head::new();
    head.str("level", level_name(record.level()));
    let mut fields = Fields(Head::new());
    let _ = record.key_values().visit(&mut fields); // Fields returns no error
    if !fields.0.is_empty() {
        head.raw("fields", &fields.0.end());
    }
    if let (Some(file), Some(line)) = (record.file(), record.line()) {
        head.str("at", &call_site(file, line));
    }
    head.end()
}

struct Fields(Head);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        value.visit(Field(&mut self.0, key.as_str()))
    }
}

struct Field<'a>(&'a mut Head, &'a str);

impl<'v> VisitValue<'v> for Field<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.0.str(self.1, &value.to_string());
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        self.0.raw(self.1, b"null");
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.0.int(self.1, value);
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.0.int(self.1, value);
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        self.0.float(self.1, value);
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.0.bool(self.1, value);
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        self.0.str(self.1, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_level_fields_and_site() {
        let fields: [(&str, Value<'_>); 4] = [
            ("n", Value::from(7)),
            ("ok", Value::from(true)),
            ("f", Value::from(f64::INFINITY)),
            ("name", Value::from("Ann")),
        ];
        let record = Record::builder()
            .level(Level::Warn)
            .file(Some("shop/src/lib.rs"))
            .line(Some(9))
            .key_values(&fields)
            .build();
        let want = r#"{"level":"warn","fields":{"n":7,"ok":true,"f":"inf","name":"Ann"},"at":"src/lib.rs:9"}"#;
        assert_eq!(String::from_utf8(head(&record)).unwrap(), want);
        let plain = Record::builder().level(Level::Trace).build();
        assert_eq!(head(&plain), br#"{"level":"debug"}"#);
    }
}
