//! The frame of a command that writes an output directory: begin, flow, close.
//!
//! - `begin` locks the directory, checks what is in it, and opens the response store and the client
//! - the command composes its flow from `pipeline`, `input`, `outputs` and `download_guard`
//! - `close` writes the report, prints the summary and decides the exit code

mod begin;
mod close;
mod context;
mod detections;
mod download_guard;
mod earlier;
mod empty_result;
mod feature_images;
mod id_list;
mod input;
mod join;
mod join_text;
mod known_queries;
mod monitor;
mod outputs;
mod partition;
mod picture_size;
mod pipeline;
mod place;
mod plan_directory;
mod prefetch;
mod pull;
mod remote;
mod run;
mod sequence_source;
mod signals;
mod spec;
mod state_dir;
mod summary;
mod supervise;
mod table_content;
mod table_queries;
mod tile_cache;
mod update;

pub(crate) use self::begin::configure_client;
pub(crate) use self::context::RunContext;
pub(crate) use self::detections::{DetectionBranch, detection_stage, fetch_detections, tap_all_but_last};
pub(crate) use self::download_guard::{CountEstimate, MAX_UNCONFIRMED_PICTURES};
pub(crate) use self::feature_images::{FeatureTable, tap_images};
pub(crate) use self::id_list::{IdList, open_images, open_sequences};
pub(crate) use self::input::Input;
pub(crate) use self::join::tables_to_join;
pub(crate) use self::monitor::Monitor;
pub(crate) use self::outputs::{TableOutputs, layout, table_path};
pub(crate) use self::partition::{CrawlPlanFile, PLAN_NAME, PlanPart};
pub(crate) use self::picture_size::picture_size;
pub(crate) use self::pipeline::{
    PicturePlan, append_query, download_pictures, finish, finish_stoppable, map_records, query_text,
};
pub(crate) use self::plan_directory::{PlanDirectory, is_done};
pub(crate) use self::prefetch::prefetch;
pub(crate) use self::run::{reject, resolve_area};
pub(crate) use self::sequence_source::SequenceSource;
pub(crate) use self::signals::Signals;
pub(crate) use self::spec::{Job, JobInput};
pub(crate) use self::state_dir::running_store;
pub(crate) use self::supervise::supervise;
pub(crate) use self::table_content::TableContent;
pub(crate) use self::update::Update;
