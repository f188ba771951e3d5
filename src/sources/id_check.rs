//! What to do about image ids that a spreadsheet has rounded.

use std::fmt;
use std::sync::Arc;

/// What to do about ids that lost digits.
pub(super) const IMPORT_AS_TEXT: &str = "get the ids from the original table again, and import their column as text: \
in Excel with Data > From Text/CSV and the type Text, in LibreOffice with the column type Text, in pandas with `dtype=str`";

type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// What to do where a spreadsheet seems to have rounded the image ids of a table.
///
/// Where nearly all ids of 16 digits and more end in zeros after the 15th digit, a table is refused with a usage error
/// before its first record, unless [`IdCheck::keep`] says otherwise. A few such ids among others are told to whoever
/// listens.
#[derive(Clone, Default)]
pub struct IdCheck {
    pub(super) keep: bool,
    pub(super) warn: Option<Warn>,
}

impl IdCheck {
    /// Calls `warn` with a sentence about ids that may be rounded, at most once a table.
    pub fn warn(warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { keep: false, warn: Some(Arc::new(warn)) }
    }

    /// Warns where a table would be refused, and passes its records on.
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }
}

impl fmt::Debug for IdCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdCheck").field("keep", &self.keep).finish_non_exhaustive()
    }
}
