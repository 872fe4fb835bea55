//! Strict YAML of the files below `secrets/`: a tree in which everything knows its place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::manifest::mistake::{Mistake, Span};

/// A value and where it stands.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) data: Data,
}

/// Line and column, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What a value is.
pub(super) enum Data {
    Null,
    Bool(bool),
    Integer(u64),
    /// A negative or broken number: nothing below `secrets/` wants one.
    OtherNumber,
    Text(String),
    List,
    Map(Vec<Entry>),
}

/// A key with its value.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Data {
    /// What it is, for messages: never what it holds.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::OtherNumber => "a number",
            Self::Text(_) => "a text",
            Self::List => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Why a text is not YAML: where, and what the reader says. The reader's words may quote the text.
pub(super) struct Broken {
    pub(super) place: Place,
    pub(super) reason: String,
}

/// Reads one document. An empty text is [`Data::Null`].
pub(super) fn read(text: &str) -> Result<Node, Broken> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options::<Option<Node>>(text, options)
        .map(|node| node.unwrap_or(Node { place: Place { line: 1, column: 1 }, data: Data::Null }))
        .map_err(|error| Broken {
            place: error.location().map_or(Place { line: 1, column: 1 }, place),
            reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
        })
}

/// A mistake at a place of a file that may be shown.
pub(super) fn mistake(code: &'static str, file: &str, text: &str, at: (Place, usize), message: String) -> Mistake {
    let (place, length) = at;
    let span = Span::on_line(text, place.line, place.column, length);
    Mistake { code, message, file: file.to_owned(), span: Some(span), hint: None }
}

fn place(location: serde_saphyr::Location) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or_default();
    Place { line: number(location.line()), column: number(location.column()) }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Data>::deserialize(deserializer)?;
        Ok(Self { place: place(spanned.referenced), data: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        Data::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Integer(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(u64::try_from(value).map_or(Data::OtherNumber, Data::Integer))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Data, E> {
        Ok(Data::OtherNumber)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Data, E> {
        Ok(Data::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Data, E> {
        Ok(Data::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Data, A::Error> {
        while list.next_element::<Node>()?.is_some() {}
        Ok(Data::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Node>()?;
            entries.push(Entry { key: key.value, place: place(key.referenced), value });
        }
        Ok(Data::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn map(text: &str) -> Vec<Entry> {
        match read(text).ok().unwrap().data {
            Data::Map(entries) => entries,
            other => panic!("{} is {}", text, other.what()),
        }
    }

    #[test]
    fn everything_knows_its_place() {
        let entries = map("# words\na: 1\nbb:\n  c: no\n  d: [x]\n");
        let seen: Vec<_> = entries.iter().map(|e| (e.key.as_str(), e.place.line, e.place.column)).collect();
        assert_eq!(seen, [("a", 2, 1), ("bb", 3, 1)]);
        assert_eq!(entries[0].value.place, Place { line: 2, column: 4 });
        let Data::Map(inner) = &entries[1].value.data else { panic!() };
        assert_eq!((inner[1].place.line, inner[1].place.column), (5, 3));
        assert!(matches!(&inner[0].value.data, Data::Text(no) if no == "no"));
    }

    #[test]
    fn refuses_what_is_not_one_sound_document() {
        assert!(matches!(read("").ok().unwrap().data, Data::Null));
        assert!(matches!(read("# only words\n").ok().unwrap().data, Data::Null));
        for (text, line) in [("a: 1\na: 2\n", 2), ("a: [1\n", 1), ("a: 1\n b: 2\n", 2), ("a: \"x\n", 1)] {
            assert_eq!(read(text).err().map(|broken| broken.place.line), Some(line), "{text}");
        }
        assert!(read("a: 1\n---\nb: 2\n").is_err());
    }
}
