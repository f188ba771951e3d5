//! The network side: one client through which all requests pass.
//!
//! - `attempts` is the way of one request: rate limit, admission, `send`, judgement, back-off
//! - `quota` limits the rate of a class, `gate` admits requests to their hosts, `retry` says which failures get another
//!   attempt, and when; `place` is what an item gives back when it fails
//! - `classify` says what an answer means, `gone` when the word that images are gone is believed
//! - `network_error` says what a failure below HTTP means, `reach` what it is for a run: an outage, or a mistake in the
//!   set-up; `progress` says whether a body comes fast enough; `tls` and `proxy` are the way to a host
//! - `image_ids` asks for the images of a sequence, and `id_list` reads the answer; `empty` says when an empty one is
//!   believed
//! - `metadata` asks for what is known of images; `wire` turns JSON into records, with values as `soft` takes them
//! - `image_url` says where pictures may come from
//! - `login` takes passwords out of URLs, `secret` holds the token, `token_form` says what is no token, `percent` shows
//!   where it may hide
//! - `store` keeps the answers of an unfinished run, `kept` says what of them is trusted
//! - `user` asks for the sequences of a user
//! - `tiles` asks for tiles; `tile_cache` keeps tiles for later runs, `tile_file` is one of them

mod builder;
mod cache;
pub(crate) mod class;
mod endpoints;
#[cfg(any(fuzzing, feature = "internals"))]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod missing_guard;
mod token;
mod transport;
mod wire;

pub use self::builder::{ClientBuilder, is_mapillary};
pub use self::cache::response_store::{ResponseStore, STORE_FILES};
pub use self::cache::tile_cache::{DEFAULT_TILE_CACHE_BYTES, TileCache};
pub use self::class::Class;
pub(crate) use self::endpoints::empty_responses::EMPTY_ROUNDS;
pub(crate) use self::endpoints::id_list::IdList;
pub(crate) use self::endpoints::image_ids::unusable;
pub(crate) use self::endpoints::metadata::BatchFound;
pub(crate) use self::endpoints::user::{UserPage, unknown_user};
pub use self::handle::Client;
pub use self::token::Token;
pub(crate) use self::transport::image_hosts::has_ended;
pub use self::transport::rate_limit::RateLimit;
pub(crate) use self::transport::retry::Patience;
pub(crate) use self::transport::send::Answer;
pub use crate::text::{redact, without_credentials};

pub(crate) const MIB: usize = 1 << 20;

/// How many images one batch request may name; more than the API's other users dare.
pub const MAX_BATCH: usize = 50;

/// How many requests may be under way at once, unless the builder says otherwise.
pub const DEFAULT_CONCURRENCY: usize = 64;

/// How many tiles Mapillary documents to serve in a day; its tile host blocks addresses long before.
pub const TILES_PER_DAY: u64 = 50_000;

/// How many images Mapillary documents to tell of in a minute.
pub const ENTITIES_PER_MINUTE: u64 = 60_000;

/// How many searches Mapillary documents to answer in a minute: the images of a sequence are one.
pub const SEARCHES_PER_MINUTE: u64 = 10_000;

/// The Graph of Mapillary.
pub const GRAPH_URL: &str = "https://graph.mapillary.com";

/// The tile host of Mapillary.
pub const TILES_URL: &str = "https://tiles.mapillary.com";
