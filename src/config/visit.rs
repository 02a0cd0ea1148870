//! Walks YAML values: what stands where, in the order of the text.
//!
//! `serde_yaml` knows the line of a value only for an error that a visitor returns there. So a walk numbers the values as
//! it comes by, and another one that stops at a number gives the line.

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::Found;

/// A value, and its number in the walk.
#[derive(Debug)]
pub(super) struct At {
    pub(super) number: usize,
    pub(super) found: Found,
}

/// A key of a mapping, and what it stands for.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: At,
    pub(super) value: At,
}

/// One walk through a document.
#[derive(Debug, Default)]
pub(super) struct Walk {
    visited: usize,
    stop: Option<usize>,
    /// The entries of a document that is a mapping.
    pub(super) entries: Vec<Entry>,
}

impl Walk {
    /// A walk that fails at the value of this number, if the document has so many.
    pub(super) fn until(number: usize) -> Self {
        Self { stop: Some(number), ..Self::default() }
    }

    /// Walks through the document and returns what it is as a whole.
    ///
    /// # Errors
    /// The parser's, and an empty one where the walk was to stop.
    pub(super) fn through<'de, D: Deserializer<'de>>(&mut self, document: D) -> Result<At, D::Error> {
        Visit { walk: self, is_root: true }.deserialize(document)
    }
}

/// Takes the next value.
struct Visit<'a> {
    walk: &'a mut Walk,
    is_root: bool,
}

impl Visit<'_> {
    fn take<E: de::Error>(self, found: Found) -> Result<At, E> {
        let number = self.walk.visited;
        if self.walk.stop == Some(number) {
            return Err(E::custom(""));
        }
        self.walk.visited += 1;
        Ok(At { number, found })
    }

    fn next(&mut self) -> Visit<'_> {
        Visit { walk: self.walk, is_root: false }
    }
}

impl<'de> DeserializeSeed<'de> for Visit<'_> {
    type Value = At;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<At, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Visit<'_> {
    type Value = At;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }
    fn visit_none<E: de::Error>(self) -> Result<At, E> {
        self.take(Found::Nothing)
    }
    fn visit_unit<E: de::Error>(self) -> Result<At, E> {
        self.take(Found::Nothing)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<At, E> {
        self.take(Found::Boolean(value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<At, E> {
        self.take(Found::Integer(value.into()))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<At, E> {
        self.take(Found::Integer(value.into()))
    }
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<At, E> {
        self.take(Found::Integer(value))
    }
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<At, E> {
        self.take(Found::Integer(value.try_into().unwrap_or(i128::MAX)))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<At, E> {
        self.take(Found::Float(value))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<At, E> {
        self.take(Found::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<At, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.take(Found::List)
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<At, A::Error> {
        if self.is_root {
            while let Some(key) = map.next_key_seed(self.next())? {
                let value = map.next_value_seed(self.next())?;
                self.walk.entries.push(Entry { key, value });
            }
        } else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        }
        self.take(Found::Mapping)
    }
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<At, A::Error> {
        let (_, value) = tagged.variant::<IgnoredAny>()?;
        value.newtype_variant::<IgnoredAny>()?;
        self.take(Found::Tagged)
    }
}
