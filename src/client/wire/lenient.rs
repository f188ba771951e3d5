//! JSON values of any type: a value of an unexpected type is absent, and long values are dropped.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::{ImageId, SequenceId};
use crate::record::MAX_TEXT_LEN;

/// The longest list of numbers or ids. It fits into a cell of a table.
pub(crate) const MAX_LIST_LEN: usize = 32_768;

/// A value that is absent when it is null, empty text, or of another type.
pub(crate) struct Lenient<T>(pub(crate) Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// Conversion from a JSON value. Each type implements the methods for the JSON types that it accepts.
pub(crate) trait FromJson: Sized {
    fn text(_: &str) -> Option<Self> {
        None
    }
    fn float(_: f64) -> Option<Self> {
        None
    }
    fn integer(_: i64) -> Option<Self> {
        None
    }
    fn truth(_: bool) -> Option<Self> {
        None
    }
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl FromJson for String {
    fn text(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() < MAX_TEXT_LEN).then(|| text.to_owned())
    }
    fn integer(number: i64) -> Option<Self> {
        Some(number.to_string())
    }
}

/// Any decimal id, also of users, organisations and meshes.
impl FromJson for ImageId {
    fn text(text: &str) -> Option<Self> {
        Self::check(text).ok()
    }
    fn integer(number: i64) -> Option<Self> {
        Self::check(&number.to_string()).ok()
    }
}

impl FromJson for SequenceId {
    fn text(text: &str) -> Option<Self> {
        Self::check(text).ok().filter(|id| !id.as_str().is_empty())
    }
}

impl FromJson for f64 {
    fn float(number: f64) -> Option<Self> {
        Some(number)
    }
    #[expect(clippy::cast_precision_loss, reason = "JSON has whole numbers in float fields")]
    fn integer(number: i64) -> Option<Self> {
        Some(number as Self)
    }
}

impl FromJson for i64 {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    fn float(number: f64) -> Option<Self> {
        (number.fract() == 0.0 && number.abs() < 9e18).then_some(number as Self)
    }
    fn integer(number: i64) -> Option<Self> {
        Some(number)
    }
}

impl FromJson for i32 {
    fn float(number: f64) -> Option<Self> {
        Self::integer(i64::float(number)?)
    }
    fn integer(number: i64) -> Option<Self> {
        Self::try_from(number).ok()
    }
}

impl FromJson for bool {
    fn truth(truth: bool) -> Option<Self> {
        Some(truth)
    }
    fn integer(number: i64) -> Option<Self> {
        Some(number != 0)
    }
}

impl FromJson for Vec<f64> {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut numbers = Some(Self::new());
        while let Some(Lenient(number)) = list.next_element::<Lenient<f64>>()? {
            match (number, &mut numbers) {
                (Some(number), Some(all)) if all.len() < MAX_LIST_LEN => all.push(number),
                _ => numbers = None,
            }
        }
        Ok(numbers)
    }
}

impl<'de, T: FromJson> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData)).map(Self)
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: FromJson> Visitor<'de> for LenientVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::text(text))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(T::float(number))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(T::integer(number))
    }
    #[expect(clippy::cast_precision_loss, reason = "above 2^63 only a float can hold it")]
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or_else(|_| T::float(number as f64), T::integer))
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(T::truth(truth))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::list(list)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::map(map).map_err(A::Error::custom)
    }
}

/// Implements [`FromJson`] for structs that derive `Deserialize`: any JSON object.
macro_rules! lenient_objects {
    ($($type:ty),*) => { $(
        impl $crate::client::wire::lenient::FromJson for $type {
            fn map<'de, A: serde::de::MapAccess<'de>>(map: A) -> std::result::Result<Option<Self>, A::Error> {
                serde::Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
            }
        }
    )* };
}
pub(crate) use lenient_objects;
