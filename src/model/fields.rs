//! The fields of a record type: what to fetch and to write.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::LazyLock;

use super::Metadata;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Kind, Record};

/// Derived fields, each with the API field that it is derived from.
pub const DERIVED_FROM: [(&str, Option<&str>); 2] = [("attribution", Some("creator")), ("page_url", None)];

/// The names of [`Fields::known`], for bit sets.
static KNOWN: LazyLock<Vec<&'static str>> = LazyLock::new(Fields::known);

/// Metadata fields of images, in order.
///
/// The API does not have two of them: `attribution` is derived from `creator`, and `page_url` from the id.
///
/// ```
/// use streetflow::Fields;
///
/// let fields: Fields = "captured_at,geometry,creator".parse()?;
/// assert_eq!(fields.columns(), ["captured_at", "lon", "lat", "creator_id", "creator_username"]);
/// assert!("captured_at,colour".parse::<Fields>().is_err());
/// # Ok::<(), streetflow::Error>(())
/// ```
pub type Fields = FieldList<Metadata>;

/// Fields of a record type, in order. The keys of a record belong to every table and are no fields.
///
/// ```
/// use streetflow::{Detection, model::FieldList};
///
/// let fields: FieldList<Detection> = "value,polygons".parse()?;
/// assert_eq!(fields.names(), ["value", "polygons"]);
/// assert!("value,colour".parse::<FieldList<Detection>>().is_err());
/// # Ok::<(), streetflow::Error>(())
/// ```
pub struct FieldList<R> {
    names: Vec<&'static str>,
    record: PhantomData<fn() -> R>,
}

impl Fields {
    /// The default fields of the command, which are those of the Python toolset.
    pub const DEFAULT: &'static str = "captured_at,compass_angle,thumb_256_url,width";
}

impl<R> FieldList<R> {
    fn new(names: Vec<&'static str>) -> Self {
        Self { names, record: PhantomData }
    }
}

impl<R: Record> FieldList<R> {
    /// All known fields, in the order of the columns.
    pub fn known() -> Vec<&'static str> {
        let mut names: Vec<_> = R::COLUMNS.iter().filter_map(|column| column.field).collect();
        names.dedup();
        names
    }

    /// The names, in order.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The columns of the fields, in order, without keys.
    pub fn columns(&self) -> Vec<&'static str> {
        let of = |field: &'static str| R::COLUMNS.iter().filter(move |c| c.field == Some(field));
        self.names.iter().flat_map(|field| of(field)).map(|column| column.name).collect()
    }

    /// The fields of columns, in order. Columns without a field are ignored.
    ///
    /// ```
    /// use streetflow::Fields;
    ///
    /// let fields = Fields::from_columns(["img_id", "creator_id", "note", "geometry"]);
    /// assert_eq!(fields.names(), ["creator", "geometry"]);
    /// ```
    pub fn from_columns<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut fields = Vec::new();
        for name in names {
            // The geometry of a file is the first point of the record.
            let is_geometry = name == R::GEOMETRY_COLUMN;
            let column = R::COLUMNS
                .iter()
                .find(|column| column.name == name || (is_geometry && column.kind == Kind::Longitude));
            if let Some(field) = column.and_then(|column| column.field)
                && !fields.contains(&field)
            {
                fields.push(field);
            }
        }
        Self::new(fields)
    }

    /// Adds a field, unless it is already included. An unknown field is an error of kind `Usage`.
    pub fn with(mut self, field: &str) -> Result<Self> {
        if !self.names.contains(&field) {
            self.names.push(lookup::<R>(field)?);
        }
        Ok(self)
    }
}

impl Fields {
    /// The fields to request: derived fields are replaced by the fields that they are derived from.
    pub(crate) fn request_fields(&self) -> Self {
        let mut request: Vec<&'static str> = Vec::new();
        for name in &self.names {
            let derivation = DERIVED_FROM.iter().find(|(derived, _)| derived == name);
            let source = derivation.map_or(Some(*name), |(_, source)| *source);
            request.extend(source.filter(|source| !request.contains(source)));
        }
        Self::new(request)
    }

    /// The fields sorted by name, for keys that do not depend on the order.
    pub(crate) fn sorted(&self) -> Self {
        let mut names = self.names.clone();
        names.sort_unstable();
        Self::new(names)
    }

    /// The fields for which `keep` returns true.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self::new(self.names.iter().copied().filter(|name| keep(name)).collect())
    }

    /// The fields as a bit set: one bit for each known field.
    pub(crate) fn bit_set(&self) -> u64 {
        self.names.iter().map(|name| bit(name)).sum()
    }

    /// The fields that are not in a bit set.
    pub(crate) fn without(&self, bits: u64) -> Self {
        self.retain(|name| bit(name) & bits == 0)
    }
}

impl<R> Clone for FieldList<R> {
    fn clone(&self) -> Self {
        Self::new(self.names.clone())
    }
}

impl<R> PartialEq for FieldList<R> {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl<R> Eq for FieldList<R> {}

impl<R> fmt::Debug for FieldList<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FieldList").field(&self.names).finish()
    }
}

impl<R: Record> Default for FieldList<R> {
    /// The fields of a table for which no fields were chosen.
    fn default() -> Self {
        Self::new(R::DEFAULT_FIELDS.map_or_else(Self::known, <[_]>::to_vec))
    }
}

impl<R: Record> FromStr for FieldList<R> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut names = Vec::new();
        if text.split(',').all(|name| name.trim().is_empty()) {
            return Err(Error::new(ErrorKind::Usage, "read the fields")
                .with_source("the list is empty")
                .with_hint(format!("the fields are {}", Self::known().join(", "))));
        }
        for name in text.split(',') {
            let name = lookup::<R>(name.trim())?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self::new(names))
    }
}

impl<R> fmt::Display for FieldList<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(","))
    }
}

fn bit(name: &str) -> u64 {
    KNOWN.iter().position(|known| *known == name).map_or(0, |place| 1 << place)
}

fn lookup<R: Record>(name: &str) -> Result<&'static str> {
    let known = FieldList::<R>::known();
    known.iter().find(|field| **field == name).copied().ok_or_else(|| {
        Error::new(ErrorKind::Usage, "find the field")
            .with_subject(name)
            .with_source(format!("there is no such field of {}", R::NAME))
            .with_hint(format!("the fields are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_without_duplicates() {
        let fields: Fields = "width, captured_at,width".parse().expect("fields");
        assert_eq!(fields.names(), ["width", "captured_at"]);
        let error = "wdith".parse::<Fields>().expect_err("no such field");
        assert!(error.hint().is_some_and(|hint| hint.contains("captured_at")));
        assert!("".parse::<Fields>().is_err() && "width,,height".parse::<Fields>().is_err());
        assert_eq!(Fields::default().to_string(), Fields::DEFAULT);
    }

    #[test]
    fn derived_fields_are_not_requested() {
        let requested = |fields: &str| fields.parse::<Fields>().expect("fields").request_fields().to_string();
        assert_eq!(requested("width,attribution,page_url,creator"), "width,creator");
        assert_eq!(requested("page_url"), "");
    }
}
