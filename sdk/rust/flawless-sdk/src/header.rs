//! Header fields.

use serde::Deserialize;

/// The header fields of a request or a response: pairs of name and value, in the order in which they
/// are sent or came in. Upper and lower case are the same in names.
///
/// It is a list because what a run asks for must be the same in every replay and in the next version
/// of the code, and the order of a map is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Header(Vec<(String, String)>);

impl Header {
    /// Returns the first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        let same = |(n, _): &(&str, &str)| n.eq_ignore_ascii_case(name);
        self.iter().find(same).map(|(_, v)| v)
    }

    /// Returns all values of a field.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// Appends a field, beside those of the same name.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Puts a field in the place of all of the same name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
        self.add(name, value);
    }

    /// Returns all fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Tells whether there is no field.
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
    fn case_does_not_count_in_names() {
        let mut header = Header::default();
        header.add("Accept", "a");
        header.add("accept", "b");
        assert_eq!(header.values("ACCEPT").collect::<Vec<_>>(), ["a", "b"]);
        header.set("ACCEPT", "c");
        assert_eq!(header.get("accept"), Some("c"));
        assert_eq!(header.text(), br#"[["ACCEPT","c"]]"#);
    }
}
