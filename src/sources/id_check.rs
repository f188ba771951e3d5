//! How to treat image ids that a spreadsheet has rounded.

use std::fmt;
use std::sync::Arc;

/// Hint for ids that lost digits.
pub(super) const IMPORT_AS_TEXT: &str = "get the ids from the original table again, and import their column as text: \
in Excel with Data > From Text/CSV and the type Text, in LibreOffice with the column type Text, in pandas with `dtype=str`";

type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// How to treat a table with image ids that a spreadsheet seems to have rounded.
///
/// By default, a table is rejected with an error of kind [`Usage`](crate::ErrorKind::Usage), before its first record, if
/// nearly all ids of 16 digits and more end in zeros after the 15th digit. A few such ids cause a warning.
#[derive(Clone, Default)]
pub struct IdCheck {
    pub(super) keep: bool,
    pub(super) warn: Option<Warn>,
}

impl IdCheck {
    /// Calls `warn` with a sentence about ids that may be rounded, at most once per table.
    pub fn warn(warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { keep: false, warn: Some(Arc::new(warn)) }
    }

    /// Warns instead of rejecting the table.
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
