//! HTTP client for the Mapillary API. All requests of a run go through one [`Client`].
//!
//! - `handle` is the client itself, `builder` creates it
//! - `endpoints` has one file per endpoint of the API
//! - `missing_guard` detects runs in which nearly everything is reported missing
//! - `cache` has the response store of an unfinished run and the tile cache
//! - `http_client` sets up TLS, user agent and proxy
//! - `transport` sends requests: rate limits, concurrency, retries, classification
//! - `wire` reads the API's JSON into records
//! - `token` parses the access token and removes it from responses
//!
//! Imports go down this list only.

mod builder;
mod cache;
mod endpoints;
#[cfg(any(fuzzing, feature = "internals"))]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod http_client;
mod missing_guard;
mod token;
mod transport;
mod wire;

pub use self::builder::{ClientBuilder, DEFAULT_CONCURRENCY, GRAPH_URL, TILES_URL};
pub use self::cache::known_empty::{EmptyImage, KnownEmpty};
pub use self::cache::known_records::{
    KnownDetections, KnownMetadata, KnownRecords, KnownRecordsWriter, Mark, OfImage,
};
pub use self::cache::response_store::{ResponseStore, STORE_FILES};
pub use self::cache::stored_images::StoredImages;
pub use self::cache::tile_cache::{DEFAULT_TILE_CACHE_BYTES, TileCache};
pub(crate) use self::endpoints::empty_responses::MAX_EMPTY_RETRIES;
pub(crate) use self::endpoints::features::FoundFeatures;
pub(crate) use self::endpoints::id_list::IdList;
pub(crate) use self::endpoints::image_ids::invalid_entries_error;
pub(crate) use self::endpoints::metadata::BatchFound;
pub(crate) use self::endpoints::tileset::TileAddress;
pub use self::endpoints::tileset::Tileset;
pub(crate) use self::endpoints::user::{UserPage, unknown_user};
pub use self::handle::Client;
pub use self::http_client::is_mapillary;
pub(crate) use self::http_client::web_client;
pub use self::missing_guard::nearly_all_missing;
pub use self::token::Token;
pub(crate) use self::transport::body::ResponseBody;
pub use self::transport::rate_limit::{ENTITIES_PER_MINUTE, RateLimit, SEARCHES_PER_MINUTE, TILES_PER_DAY};
pub use self::transport::rate_source::{RateLimits, RateSource};
pub(crate) use self::transport::retry::RetryOverride;
pub use self::wire::batch::MAX_BATCH;
pub(crate) use self::wire::detections::{DetectionFacts, ImageDetections};
pub(crate) use self::wire::signed_url::is_expired;
pub use crate::observe::Class;
pub use crate::text::{redact, without_credentials};
