//! Where records come from.

mod count;
mod csv;
#[cfg(any(fuzzing, feature = "internals"))]
#[doc(hidden)]
pub mod fuzzing;
mod geojson;
mod health;
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

pub use self::count::{count_rows, has_rows};
pub use self::csv::CsvSource;
pub use self::geojson::GeoJsonSource;
pub use self::id_check::IdCheck;
pub use self::mvt::{TileLayer, tile_layers};
#[cfg(feature = "parquet")]
pub use self::parquet::ParquetSource;

pub use self::table::{HeaderOnly, TableSource};
pub use self::tiles::{FIRST_LINES, TileSource};
pub use self::user::UserSource;
use crate::error::Result;

/// The longest row or feature of a text file that is read, in bytes.
const LONGEST_ROW: usize = 16 << 20;

/// What flows: records, or the errors of records that failed.
///
/// An `Err` is one record that failed and the stream may go on; a fatal one
/// ([`Error::is_fatal`](crate::Error::is_fatal)) is the last item.
pub type RecordStream<T> = BoxStream<'static, Result<T>>;

/// Something that records come from.
///
/// Nothing happens before the stream is polled, and dropping it stops whatever
/// it had begun. Any `Stream` of `Result<T>` is a source:
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
    /// The records.
    type Item: Send + 'static;

    /// Begins: gives the stream of records.
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
