//! How metadata is requested.

use clap::{Args, value_parser};

use super::values::parsed;
use streetflow::Fields;
use streetflow::client::MAX_BATCH;

#[derive(Debug, Args)]
#[command(next_help_heading = "Metadata")]
pub(crate) struct FetchArgs {
    /// Fields to request, in column order
    #[arg(long, value_name = "FIELD,…", default_value = Fields::DEFAULT, value_parser = parsed::<Fields>)]
    pub(crate) fields: Fields,
    /// Images per request
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u16).range(1..=MAX_BATCH as i64), hide_short_help = true)]
    pub(crate) batch_size: u16,
}
