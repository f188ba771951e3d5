//! Sources: where records come from.

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "arrow")]
mod arrow_head;
#[cfg(feature = "arrow")]
mod column_channel;
mod count;
mod csv;
mod features;
#[cfg(any(fuzzing, feature = "internals"))]
#[doc(hidden)]
pub mod fuzzing;
mod geojson;
mod id_check;
mod messages;
mod mvt;
#[cfg(feature = "parquet")]
mod parquet;
mod reader_channel;
mod rounded_ids;
mod table;
mod tiles;
mod user;

use futures::stream::{BoxStream, Stream, StreamExt};

#[cfg(feature = "arrow")]
pub use self::arrow::{ArrowSource, records};
pub use self::count::{count_rows, has_rows};
pub use self::csv::CsvSource;
pub use self::features::{FeatureSource, FeatureTiles};
pub use self::geojson::GeoJsonSource;
pub use self::id_check::IdCheck;
pub use self::mvt::{TileLayer, tile_layers};
#[cfg(feature = "parquet")]
pub use self::parquet::ParquetSource;

pub(crate) use self::reader_channel::BLOCK_LEN;
pub use self::table::{HeaderOnly, TableSource};
pub use self::tiles::{FIRST_LINES, TileSource};
pub use self::user::UserSource;
use crate::error::Result;

/// Longest row or feature of a text file, in bytes.
const MAX_ROW_LEN: usize = 16 << 20;

/// A stream of records.
///
/// An `Err` is a record that failed; the stream may continue after it. A fatal error
/// ([`Error::is_fatal`](crate::Error::is_fatal)) is the last item.
pub type RecordStream<T> = BoxStream<'static, Result<T>>;

/// A source of records.
///
/// Nothing happens before the stream is polled. Dropping the stream cancels its requests. Any `Stream` of `Result<T>`
/// is a source:
///
/// ```
/// use streetflow::{Flow, Image, ImageId, SequenceId};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let image = Image { seq_id: SequenceId::new("abc")?, img_id: ImageId::new("1")? };
/// let flow = Flow::from(futures::stream::iter([Ok(image)]));
/// # let _ = flow; Ok(()) }
/// ```
pub trait Source {
    /// The type of the records.
    type Item: Send + 'static;

    /// Returns the stream of records.
    fn stream(self) -> RecordStream<Self::Item>;
}

impl<S, T> Source for S
where
    S: Stream<Item = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        self.boxed()
    }
}
