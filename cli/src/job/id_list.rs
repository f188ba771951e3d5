//! Ids of sequences or images to start a crawl from: in a file, on standard input, or on the command line.

use tokio_util::sync::CancellationToken;

use super::input::open_in_background;
use super::partition::PlanPart;
use crate::args::InputArgs;
use streetflow::{Metadata, Result, Sequence, TableSource, query};

/// The value of `--sequences` or `--images`: a file, ids separated by commas, or `-`; or a table of map features, which
/// names images; or a partition of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IdList<'a> {
    Sequences(&'a str),
    Images(&'a str),
    Features(&'a InputArgs),
    Part(&'a PlanPart),
}

impl IdList<'_> {
    /// The flag as command line arguments.
    pub(crate) fn to_cli_args(self) -> String {
        match self {
            Self::Sequences(text) => format!("--sequences {text}"),
            Self::Images(text) => format!("--images {text}"),
            Self::Features(table) => table.features_flag(),
            Self::Part(part) => format!("--plan {} --partition {}", part.hash, part.partition),
        }
    }
}

/// Opens the sequences of `--sequences`.
pub(crate) async fn open_sequences(text: &str, stop: &CancellationToken) -> Result<TableSource<Sequence>> {
    let text = text.to_owned();
    let open = move || query::open_sequences(&text, "--sequences");
    open_in_background("open the list of ids", open, stop).await
}

/// Opens the images of `--images`. Only a table contains their sequences.
pub(crate) async fn open_images(text: &str, stop: &CancellationToken) -> Result<TableSource<Metadata>> {
    let text = text.to_owned();
    let open = move || query::open_images(&text, "--images");
    open_in_background("open the list of ids", open, stop).await
}
