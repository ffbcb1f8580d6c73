//! Reading a few fields of a JSON object, and writing objects.
//!
//! Values that only pass through are never built: they stay text.

use alloc::string::String;
use core::fmt;

use serde_core::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How closely the name of a field must be matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spelling {
    /// Letter by letter.
    Exact,
    /// Upper and lower case are the same, as Go programs read JSON.
    AnyCase,
    /// Upper and lower case are the same and underscores do not count: `TargetID` is `target_id`.
    Loose,
}

impl Spelling {
    fn same(self, a: &str, b: &str) -> bool {
        match self {
            Self::Exact => a == b,
            Self::AnyCase => a.eq_ignore_ascii_case(b),
            Self::Loose => folded(a).eq(folded(b)),
        }
    }
}

fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_lowercase())
}

/// The named fields of the object that is all of `text`; of duplicates the last. `None` if it is no
/// object, or no JSON.
pub(crate) fn fields_or_null<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
    spelling: Spelling,
) -> Option<[Option<&'a RawValue>; N]> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Fields { names, spelling }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(found)
}

/// The same, but `null` is absent, both as a field and instead of the object.
pub(crate) fn fields<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
    spelling: Spelling,
) -> Option<[Option<&'a RawValue>; N]> {
    if text.trim_ascii() == "null" {
        return Some([None; N]);
    }
    let found = fields_or_null(text, names, spelling)?;
    Some(found.map(|value| value.filter(|value| !is_null(value))))
}

/// How many fields of the object that is all of `text` somebody may take for the one of this name.
pub(crate) fn occurrences(text: &str, name: &str) -> Option<usize> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let count = Occurrences(name).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(count)
}

pub(crate) fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// The text of a JSON string.
pub(crate) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The text of a field that may be absent: then empty.
pub(crate) fn string_or_empty(value: Option<&RawValue>) -> Option<String> {
    value.map_or_else(|| Some(String::new()), string)
}

/// A field that may be absent, but is a string if it is there.
pub(crate) fn optional_string(value: Option<&RawValue>) -> Option<Option<String>> {
    value.map_or(Some(None), |value| string(value).map(Some))
}

struct Fields<'n, const N: usize> {
    names: [&'n str; N],
    spelling: Spelling,
}

impl<'de, const N: usize> DeserializeSeed<'de> for Fields<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value()?;
            if let Some(i) = self.names.iter().position(|wanted| self.spelling.same(wanted, &name))
            {
                found[i] = Some(value);
            }
        }
        Ok(found)
    }
}

struct Occurrences<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Occurrences<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<usize, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Occurrences<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            count += usize::from(Spelling::Loose.same(self.0, &name));
        }
        Ok(count)
    }
}

/// An object that is being written, without white space, in the order of the calls.
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self("{".into())
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(name, &mut self.0);
        self.0.push(':');
    }

    pub(crate) fn string(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(value, &mut self.0);
        self
    }

    /// A field with a value that is JSON already.
    pub(crate) fn json(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.0.push_str(value);
        self
    }

    pub(crate) fn strings<'v>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Self {
        self.name(name);
        self.0.push('[');
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                self.0.push(',');
            }
            quote(value, &mut self.0);
        }
        self.0.push(']');
        self
    }

    /// The field only if there is a value.
    pub(crate) fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.string(name, value),
            None => self,
        }
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Writes a JSON string the way Go does: a frame may then stand in an HTML script.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => escape(c, out),
            c => html_safe(c, out),
        }
    }
    out.push('"');
}

/// A value without insignificant white space; strings keep their escapes and get those of [`quote`]
/// for what HTML would misread.
pub(crate) fn compact(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in value.chars() {
        if !in_string && matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
        html_safe(c, &mut out);
    }
    out
}

fn html_safe(c: char, out: &mut String) {
    match c {
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escape(c, out),
        c => out.push(c),
    }
}

fn escape(c: char, out: &mut String) {
    let code = c as u32;
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.extend(char::from_digit(code >> shift & 0xf, 16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, spelling: Spelling) -> Option<[Option<&str>; 2]> {
        fields(text, ["id", "to_id"], spelling).map(|all| all.map(|v| v.map(RawValue::get)))
    }

    #[test]
    fn fields_are_found_as_they_are_spelled_and_the_last_one_counts() {
        let text = r#" {"ID":1,"to_id":2,"x":[{"id":9}],"ToId":3,"to_id":null} "#;
        assert_eq!(found(text, Spelling::Exact), Some([None, None]));
        assert_eq!(found(text, Spelling::AnyCase), Some([Some("1"), None]));
        let text = r#"{"ID":1,"to_id":2,"ToId":3}"#;
        assert_eq!(found(text, Spelling::Exact), Some([None, Some("2")]));
        assert_eq!(found(text, Spelling::Loose), Some([Some("1"), Some("3")]));
    }

    #[test]
    fn only_an_object_and_nothing_else_is_an_object() {
        assert_eq!(found(" null ", Spelling::Exact), Some([None, None]));
        for text in ["", "[]", "\"id\"", "{} {}", "{\"id\"}", "\u{feff}{}", "{\"id\":1,}", "nul"] {
            assert_eq!(found(text, Spelling::Exact), None, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_passed_on_without_recursion() {
        let deep = alloc::format!("{{\"id\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(found(&deep, Spelling::Exact).is_some());
    }

    #[test]
    fn text_is_quoted_as_go_does() {
        let mut out = String::new();
        quote("a\"\\\n\u{8}\u{1}/<&>\u{2028}é", &mut out);
        assert_eq!(out, "\"a\\\"\\\\\\n\\b\\u0001/\\u003c\\u0026\\u003e\\u2028é\"");
    }

    #[test]
    fn compacting_keeps_strings_and_numbers() {
        let value = "{ \"a b\" : [ 1, 2.50 ,1e3 ], \"\\\\\" :\t\"\\/ \\\" <\" }";
        assert_eq!(compact(value), "{\"a b\":[1,2.50,1e3],\"\\\\\":\"\\/ \\\" \\u003c\"}");
    }
}
