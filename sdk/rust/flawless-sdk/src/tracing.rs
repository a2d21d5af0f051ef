//! Support for the `tracing` crate.
//!
//! A guest needs no set-up: with the feature `tracing`, `tracing::info!` and similar macros write lines to
//! the log of the run. A line has the fields of the event and of the spans around it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Level, Metadata, Subscriber, dispatcher, span};

use crate::head::{Head, call_site};
use crate::host;
use crate::size::{MAX_TEXT, cut};

/// Makes lines of the `tracing` crate lines of the run.
pub(crate) fn install() {
    let _ = dispatcher::set_global_default(dispatcher::Dispatch::new(Lines));
}

struct Span {
    metadata: &'static Metadata<'static>,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, Vec<u8>>,
    handles: usize,
}

/// The spans of the guest, which is one thread.
#[derive(Default)]
struct Spans {
    made: u64,
    open: BTreeMap<u64, Span>,
    entered: Vec<u64>,
}

thread_local! {
    static SPANS: RefCell<Spans> = RefCell::default();
}

impl Spans {
    fn fields_around(&self, mut at: Option<u64>) -> BTreeMap<&'static str, Vec<u8>> {
        let mut all = BTreeMap::new();
        while let Some(span) = at.and_then(|id| self.open.get(&id)) {
            for (name, value) in &span.fields {
                all.entry(*name).or_insert_with(|| value.clone());
            }
            at = span.parent;
        }
        all
    }

    fn parent(&self, explicit: Option<&Id>, contextual: bool) -> Option<u64> {
        match explicit {
            Some(id) => Some(id.into_u64()),
            None if contextual => self.entered.last().copied(),
            None => None,
        }
    }
}

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        SPANS.with_borrow_mut(|s| {
            s.made += 1;
            let span = Span {
                metadata: attributes.metadata(),
                parent: s.parent(attributes.parent(), attributes.is_contextual()),
                fields: fields.others,
                handles: 1,
            };
            s.open.insert(s.made, span);
            Id::from_u64(s.made)
        })
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        SPANS.with_borrow_mut(|s| {
            if let Some(span) = s.open.get_mut(&id.into_u64()) {
                span.fields.extend(fields.others);
            }
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let around = SPANS.with_borrow(|s| {
            let parent = s.parent(event.parent(), event.is_contextual());
            s.fields_around(parent)
        });
        let (head, text) = line(event.metadata(), fields, around);
        host::call("log", &head, cut(&text, MAX_TEXT).as_bytes());
    }

    fn enter(&self, id: &Id) {
        SPANS.with_borrow_mut(|s| s.entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        SPANS.with_borrow_mut(|s| {
            if let Some(at) = s.entered.iter().rposition(|e| *e == id.into_u64()) {
                s.entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        SPANS.with_borrow_mut(|s| {
            if let Some(span) = s.open.get_mut(&id.into_u64()) {
                span.handles += 1;
            }
        });
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        SPANS.with_borrow_mut(|s| {
            let Some(span) = s.open.get_mut(&id.into_u64()) else {
                return false;
            };
            span.handles -= 1;
            let last = span.handles == 0;
            if last {
                s.open.remove(&id.into_u64());
            }
            last
        })
    }

    fn current_span(&self) -> span::Current {
        SPANS.with_borrow(|s| {
            s.entered
                .last()
                .and_then(|id| Some((*id, s.open.get(id)?.metadata)))
                .map_or_else(span::Current::none, |(id, metadata)| {
                    span::Current::new(Id::from_u64(id), metadata)
                })
        })
    }
}

/// Returns the head of a line and its text.
fn line(
    metadata: &Metadata<'_>,
    fields: Fields,
    mut all: BTreeMap<&'static str, Vec<u8>>,
) -> (Vec<u8>, String) {
    all.extend(fields.others);
    let mut head = Head::new();
    let level = match *metadata.level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    };
    head.str("level", level);
    if !all.is_empty() {
        let mut inner = Head::new();
        for (name, value) in &all {
            inner.raw(name, value);
        }
        head.raw("fields", &inner.end());
    }
    if let (Some(file), Some(number)) = (metadata.file(), metadata.line()) {
        head.str("at", &call_site(file, number));
    }
    (head.end(), fields.message)
}

/// The message and the other fields of an event or a span, as JSON.
#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<&'static str, Vec<u8>>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: serde_json::Value) {
        self.others
            .insert(field.name(), value.to_string().into_bytes());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.put(field, value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.put(field, value.into());
        } else {
            self.put(field, value.to_string().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Collects what Lines would hand to the engine.
    struct Collect(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Collect {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, a: &Attributes<'_>) -> Id {
            Lines.new_span(a)
        }
        fn record(&self, id: &Id, values: &Record<'_>) {
            Lines.record(id, values);
        }
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let around = SPANS.with_borrow(|s| s.fields_around(s.parent(None, true)));
            let (head, text) = line(event.metadata(), fields, around);
            let head: serde_json::Value = serde_json::from_slice(&head).unwrap();
            let line = format!("{} {} {}", head["level"], text, head["fields"]);
            self.0.lock().unwrap().push(line);
        }
        fn enter(&self, id: &Id) {
            Lines.enter(id);
        }
        fn exit(&self, id: &Id) {
            Lines.exit(id);
        }
        fn clone_span(&self, id: &Id) -> Id {
            Lines.clone_span(id)
        }
        fn try_close(&self, id: Id) -> bool {
            Lines.try_close(id)
        }
        fn current_span(&self) -> span::Current {
            Lines.current_span()
        }
    }

    #[test]
    fn line_has_the_fields_of_its_spans() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        ::tracing::subscriber::with_default(Collect(lines.clone()), || {
            let outer =
                ::tracing::info_span!("outer", a = 1, b = "x", late = ::tracing::field::Empty);
            let _outer = outer.enter();
            outer.record("late", true);
            {
                let _inner = ::tracing::info_span!("inner", a = 2).entered();
                ::tracing::warn!(c = 1.5, "hello {}", "Ann");
            }
            ::tracing::trace!("bye");
        });
        assert_eq!(
            *lines.lock().unwrap(),
            [
                r#""warn" hello Ann {"a":2,"b":"x","c":1.5,"late":true}"#,
                r#""debug" bye {"a":1,"b":"x","late":true}"#
            ]
        );
        assert!(SPANS.with_borrow(|s| s.open.is_empty() && s.entered.is_empty()));
    }
}
