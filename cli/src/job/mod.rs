//! The frame of a run: what happens before, around and after the flow.

pub(crate) mod context;
pub(crate) mod disk_space;
pub(crate) mod download_guard;
pub(crate) mod frame;
pub(crate) mod id_input;
pub(crate) mod keep_full_tables;
pub(crate) mod outputs;
pub(crate) mod pipeline;
pub(crate) mod prefetch;
pub(crate) mod selection;
pub(crate) mod signals;
pub(crate) mod state_dir;
pub(crate) mod summary;
pub(crate) mod table_queries;
pub(crate) mod threads;
pub(crate) mod tile_cache;
