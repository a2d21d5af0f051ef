//! Header fields.

use serde::Deserialize;

/// A list of header fields, each a pair of name and value, in the order in which they are sent or were
/// received. Names are case-insensitive.
///
/// It is a list because a run must make the same request in every replay and in the next version of the code,
/// and the order of a map is random.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Header(Vec<(String, String)>);

impl Header {
    /// Returns the first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        let same = |(n, _): &(&str, &str)| n.eq_ignore_ascii_case(name);
        self.iter().find(same).map(|(_, v)| v)
    }

    /// Returns all values of a field in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// Appends a field and keeps existing ones with the same name.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Replaces all fields with that name by one.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
        self.add(name, value);
    }

    /// Returns all fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes `[["Name","value"],…]`.
    pub(crate) fn text(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("pairs of strings are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_insensitive() {
        let mut header = Header::default();
        header.add("Accept", "a");
        header.add("accept", "b");
        assert_eq!(header.values("ACCEPT").collect::<Vec<_>>(), ["a", "b"]);
        header.set("ACCEPT", "c");
        assert_eq!(header.get("accept"), Some("c"));
        assert_eq!(header.text(), br#"[["ACCEPT","c"]]"#);
    }
}
