//! Walks YAML values and keeps the line of whatever is wrong with one.
//!
//! `serde_yaml` knows the line of an error that a visitor returns, but carries its cause as text only. So a
//! visitor here leaves the typed [`Problem`] in a cell and returns an empty error; the caller puts the two together.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use super::{Found, Problem};

/// What becomes of a YAML value.
pub(super) trait Take<'de>: Sized {
    type Value;

    fn take(self, found: Found) -> Result<Self::Value, Problem>;

    fn take_mapping<A: MapAccess<'de>>(
        self,
        _: A,
        problem: &mut Option<Problem>,
    ) -> Result<Self::Value, A::Error> {
        settle(self.take(Found::Mapping), problem)
    }
}

/// Visits a YAML value as a [`Found`] and leaves the problem, if there is one, in the cell.
pub(super) struct Visit<'a, T> {
    pub(super) what: T,
    pub(super) problem: &'a mut Option<Problem>,
}

/// Leaves the problem in the cell and gives the empty error that will carry its line.
fn settle<T, E: de::Error>(outcome: Result<T, Problem>, cell: &mut Option<Problem>) -> Result<T, E> {
    outcome.map_err(|problem| {
        *cell = Some(problem);
        E::custom("")
    })
}

impl<'de, T: Take<'de>> Visit<'_, T> {
    fn take<E: de::Error>(self, found: Found) -> Result<T::Value, E> {
        settle(self.what.take(found), self.problem)
    }
}

impl<'de, T: Take<'de>> DeserializeSeed<'de> for Visit<'_, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Take<'de>> Visitor<'de> for Visit<'_, T> {
    type Value = T::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }
    fn visit_none<E: de::Error>(self) -> Result<T::Value, E> {
        self.take(Found::Nothing)
    }
    fn visit_unit<E: de::Error>(self) -> Result<T::Value, E> {
        self.take(Found::Nothing)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T::Value, E> {
        self.take(Found::Boolean(value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T::Value, E> {
        self.take(Found::Integer(value.into()))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T::Value, E> {
        self.take(Found::Integer(value.into()))
    }
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<T::Value, E> {
        self.take(Found::Integer(value))
    }
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<T::Value, E> {
        self.take(Found::Integer(value.try_into().unwrap_or(i128::MAX)))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T::Value, E> {
        self.take(Found::Float(value))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<T::Value, E> {
        self.take(Found::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<T::Value, A::Error> {
        self.take(Found::List)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T::Value, A::Error> {
        self.what.take_mapping(map, self.problem)
    }
    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<T::Value, A::Error> {
        self.take(Found::Tagged)
    }
}
