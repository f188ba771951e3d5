//! The metadata fields to fetch.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use super::Metadata;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;

/// Derived fields, each with the API field that it is derived from.
pub const DERIVED_FROM: [(&str, Option<&str>); 2] = [("attribution", Some("creator")), ("page_url", None)];

static KNOWN: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<_> = Metadata::COLUMNS.iter().filter_map(|column| column.field).collect();
    names.dedup();
    names
});

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Vec<&'static str>);

impl Fields {
    /// The default fields of the command, which are those of the Python toolset.
    pub const DEFAULT: &'static str = "captured_at,compass_angle,thumb_256_url,width";

    /// All known fields, in the order of the columns.
    pub fn known() -> Vec<&'static str> {
        KNOWN.clone()
    }

    /// The names, in order.
    pub fn names(&self) -> &[&'static str] {
        &self.0
    }

    /// The columns of the fields, in order, without keys.
    pub fn columns(&self) -> Vec<&'static str> {
        let of = |field: &'static str| Metadata::COLUMNS.iter().filter(move |c| c.field == Some(field));
        self.0.iter().flat_map(|field| of(field)).map(|column| column.name).collect()
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
            let geometry = (name == "geometry").then_some("geometry");
            let column = Metadata::COLUMNS.iter().find(|column| column.name == name);
            if let Some(field) = column.and_then(|column| column.field).or(geometry)
                && !fields.contains(&field)
            {
                fields.push(field);
            }
        }
        Self(fields)
    }

    /// The fields to request: derived fields are replaced by the fields that they are derived from.
    pub(crate) fn request_fields(&self) -> Self {
        let mut request: Vec<&'static str> = Vec::new();
        for name in &self.0 {
            let derivation = DERIVED_FROM.iter().find(|(derived, _)| derived == name);
            let source = derivation.map_or(Some(*name), |(_, source)| *source);
            request.extend(source.filter(|source| !request.contains(source)));
        }
        Self(request)
    }

    /// The fields sorted by name, for keys that do not depend on the order.
    pub(crate) fn sorted(&self) -> Self {
        let mut names = self.0.clone();
        names.sort_unstable();
        Self(names)
    }

    /// The fields for which `keep` returns true.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().copied().filter(|name| keep(name)).collect())
    }

    /// The fields as a bit set: one bit for each known field.
    pub(crate) fn bit_set(&self) -> u64 {
        self.0.iter().map(|name| bit(name)).sum()
    }

    /// The fields that are not in a bit set.
    pub(crate) fn without(&self, bits: u64) -> Self {
        self.retain(|name| bit(name) & bits == 0)
    }

    /// Adds a field, unless it is already included. An unknown field is an error of kind `Usage`.
    pub fn with(mut self, field: &str) -> Result<Self> {
        if !self.0.contains(&field) {
            self.0.push(lookup(field)?);
        }
        Ok(self)
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self(vec!["captured_at", "compass_angle", "thumb_256_url", "width"])
    }
}

impl FromStr for Fields {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut names = Vec::new();
        if text.split(',').all(|name| name.trim().is_empty()) {
            return Err(Error::new(ErrorKind::Usage, "read the fields")
                .with_source("the list is empty")
                .with_hint(format!("the fields are {}", Fields::known().join(", "))));
        }
        for name in text.split(',') {
            let name = lookup(name.trim())?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self(names))
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

fn bit(name: &str) -> u64 {
    KNOWN.iter().position(|known| *known == name).map_or(0, |place| 1 << place)
}

fn lookup(name: &str) -> Result<&'static str> {
    let known = Fields::known();
    known.iter().find(|field| **field == name).copied().ok_or_else(|| {
        Error::new(ErrorKind::Usage, "find the field")
            .with_subject(name)
            .with_source("images have no such field")
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
