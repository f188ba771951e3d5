//! The module `streetflow._core` of the Python package.
//!
//! Python code in `python/streetflow` has the public interface; this crate has what needs the library.
//!
//! - `runtime`: one tokio runtime in a process; waiting that lets Ctrl-C and other Python threads through
//! - `errors`, `events`: errors as exceptions, events for `logging` and progress
//! - `interrupts`: Ctrl-C for threads of a consumer
//! - `client`, `leases`, `sandbox`: connections, and a budget of requests that processes share
//! - `report`: counts
//! - `batch`, `pylist`, `stream`, `task`: batches, and the way from a flow to a consumer
//! - `records`: the flows of each kind of records
//! - `input`, `place`: where images come from, and where tables and pictures go
//! - `query`, `download`, `map`, `estimate`, `convert`, `command`: the functions
//! - `absent`: stands for the parts that a build was made without
//!
//! Tokio's threads never call Python.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    reason = "Python passes values, and its methods have an object"
)]
#![allow(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "these comments are Python's documentation"
)]

#[cfg(not(all(feature = "buckets", feature = "command", feature = "map", feature = "sandbox")))]
mod absent;
mod batch;
mod client;
#[cfg(feature = "command")]
mod command;
#[cfg(feature = "command")]
mod convert;
mod counts;
mod download;
mod errors;
mod estimate;
mod events;
mod input;
mod interrupts;
mod leases;
#[cfg(feature = "map")]
mod map;
mod place;
mod pylist;
mod query;
mod records;
mod report;
mod runtime;
#[cfg(feature = "sandbox")]
mod sandbox;
mod stream;
mod task;

use pyo3::prelude::*;

#[pymodule(gil_used = true)]
mod _core {
    #[cfg(not(feature = "command"))]
    #[pymodule_export]
    use crate::absent::command::{convert, run_command};
    #[cfg(not(feature = "map"))]
    #[pymodule_export]
    use crate::absent::map::{MapPage, map_page};
    #[cfg(not(feature = "sandbox"))]
    #[pymodule_export]
    use crate::absent::sandbox::Sandbox;
    #[pymodule_export]
    use crate::batch::{Batch, Collected};
    #[pymodule_export]
    use crate::client::Client;
    #[cfg(feature = "command")]
    #[pymodule_export]
    use crate::command::run_command;
    #[cfg(feature = "command")]
    #[pymodule_export]
    use crate::convert::convert;
    #[pymodule_export]
    use crate::download::download;
    #[pymodule_export]
    use crate::estimate::estimate;
    #[pymodule_export]
    use crate::interrupts::listen;
    #[pymodule_export]
    use crate::leases::Leases;
    #[cfg(feature = "map")]
    #[pymodule_export]
    use crate::map::{MapPage, map_page};
    #[pymodule_export]
    use crate::query::{
        check, column_names, empty, known_fields, normalize_query, query_fields, schema, start, write,
    };
    #[pymodule_export]
    use crate::report::Report;
    #[cfg(feature = "sandbox")]
    #[pymodule_export]
    use crate::sandbox::Sandbox;
    #[pymodule_export]
    use crate::stream::Reader;

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        use super::PyModuleMethods;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
