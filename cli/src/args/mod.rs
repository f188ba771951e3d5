//! Flag groups that several commands share, and the parsers of their values.
//!
//! A group is a struct that commands flatten into their arguments; the methods of a group are beside it. A new flag is a
//! field of its group. `to_cli_args()` gives the flags of a group back as text, for messages, for files and for the key
//! of the response store.

#![allow(clippy::doc_markdown, reason = "these comments are the help text, where backticks would be shown")]

mod area;
mod class_values;
mod detections;
mod display;
mod features;
mod fetch;
mod fetch_detections;
mod files;
mod filters;
mod network;
mod partition;
mod pictures;
mod query;
mod resolve;
mod storage;
mod tables;
mod values;

pub(crate) use self::area::{AreaArgs, FoundPlace, missing_area};
pub(crate) use self::class_values::{ClassColour, ClassNumber, fraction, margin, pixels};
pub(crate) use self::detections::{DetectionArgs, class_rules};
pub(crate) use self::display::{DisplayArgs, ProgressArg};
pub(crate) use self::features::{FeatureArgs, FeatureFilter};
pub(crate) use self::fetch::FetchArgs;
pub(crate) use self::fetch_detections::FetchDetectionArgs;
pub(crate) use self::files::{InputArgs, NameArgs, ONE_RUN, OutputArgs, empty_images_stem};
pub(crate) use self::filters::FilterArgs;
pub(crate) use self::network::NetworkArgs;
pub(crate) use self::partition::{MAX_PARTITIONS, Partition, partition};
pub(crate) use self::pictures::PictureArgs;
pub(crate) use self::query::{QUERY_FLAGS, read_query};
pub(crate) use self::storage::{Bucket, BucketLock, FetchedTable, LockOwner, Remote, StorageArgs, split_url};
pub(crate) use self::tables::{EncodingArgs, GeometryArgs, TableArgs};
pub(crate) use self::values::{CacheAge, file_name, parsed};
