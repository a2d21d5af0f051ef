//! Heads of calls: JSON objects, written without reflection.

use std::panic::Location;

/// A JSON object that is being written.
pub(crate) struct Head {
    text: Vec<u8>,
}

impl Head {
    pub(crate) fn new() -> Self {
        Head {
            text: Vec::with_capacity(256),
        }
    }

    /// Begins a member.
    fn key(&mut self, name: &str) {
        self.text
            .push(if self.text.is_empty() { b'{' } else { b',' });
        string(&mut self.text, name);
        self.text.push(b':');
    }

    pub(crate) fn str(&mut self, name: &str, value: &str) {
        self.key(name);
        string(&mut self.text, value);
    }

    /// A member whose value is already JSON.
    pub(crate) fn raw(&mut self, name: &str, value: &[u8]) {
        self.key(name);
        self.text.extend_from_slice(value);
    }

    pub(crate) fn int(&mut self, name: &str, value: impl Into<i128>) {
        self.raw(name, value.into().to_string().as_bytes());
    }

    pub(crate) fn bool(&mut self, name: &str, value: bool) {
        self.raw(name, if value { b"true" } else { b"false" });
    }

    /// A number, or its name as a string if JSON cannot express it.
    pub(crate) fn float(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.raw(name, format!("{value:?}").as_bytes());
        } else {
            self.str(name, &value.to_string());
        }
    }

    /// The call site.
    pub(crate) fn at(&mut self, site: &Location<'_>) {
        self.str("at", &call_site(site.file(), site.line()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        if self.text.is_empty() {
            self.text.push(b'{');
        }
        self.text.push(b'}');
        self.text
    }
}

/// Appends a JSON string.
pub(crate) fn string(text: &mut Vec<u8>, value: &str) {
    serde_json::to_writer(text, value).expect("a string is JSON, and a Vec takes it");
}

/// Returns the last two elements of a file's path, and the line.
pub(crate) fn call_site(file: &str, line: u32) -> String {
    let short = match file.rmatch_indices(['/', '\\']).nth(1) {
        Some((at, _)) => &file[at + 1..],
        None => file,
    };
    format!("{}:{line}", short.replace('\\', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_every_kind_of_member() {
        let mut head = Head::new();
        head.str("s", "a\"\n\u{1}ü");
        head.int("i", -5);
        head.bool("b", true);
        head.float("f", 1.5);
        head.float("nan", f64::NAN);
        head.raw("r", b"[1]");
        let value: serde_json::Value = serde_json::from_slice(&head.end()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"s": "a\"\n\u{1}ü", "i": -5, "b": true, "f": 1.5, "nan": "NaN", "r": [1]})
        );
    }

    #[test]
    fn an_empty_head_is_an_object() {
        assert_eq!(Head::new().end(), b"{}");
    }

    #[test]
    fn call_site_is_short() {
        for (file, want) in [
            ("src/lib.rs", "src/lib.rs:7"),
            ("/home/me/shop/src/lib.rs", "src/lib.rs:7"),
            ("lib.rs", "lib.rs:7"),
            ("shop\\src\\lib.rs", "src/lib.rs:7"),
        ] {
            assert_eq!(call_site(file, 7), want);
        }
    }
}
