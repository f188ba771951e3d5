//! Which hosts are used, how fast, and with which token.

use std::path::PathBuf;

use clap::{Args, value_parser};

use super::values::{RateShare, rate_share, tile_rate};
use streetflow::Bbox;
use streetflow::client::{DEFAULT_CONCURRENCY, GRAPH_URL, TILES_URL};

/// The area of a run with `--sandbox` that names none: Cyprus.
const SANDBOX_AREA: &str = "32.19,34.52,34.18,35.49";

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Use the built-in mock server; needs no token
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// Maximum number of requests in flight
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY as u16, value_parser = value_parser!(u16).range(1..=1024), hide_short_help = true)]
    pub(crate) concurrency: u16,
    /// Tiles per minute [default: 40 with a burst of 20 for Mapillary, else unlimited]
    ///
    /// Mapillary blocks faster addresses for about a day. Requests to its own host are sent at random intervals.
    #[arg(long, value_name = "N", value_parser = tile_rate, hide_short_help = true)]
    pub(crate) tile_rate: Option<f64>,
    /// Use one of K equal parts of the rate limits, for K processes at once on one token: 1/K
    ///
    /// Divides the default limits of all classes of requests. A rate of --tile-rate is not divided.
    #[arg(long, value_name = "1/K", default_value = "1/1", value_parser = rate_share, hide_short_help = true)]
    pub(crate) rate_share: RateShare,
    /// Attempts per request
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = value_parser!(u32).range(1..=20), hide_short_help = true)]
    pub(crate) attempts: u32,
    /// Accept that nearly all images are gone
    ///
    /// Without it such a run fails, because Mapillary sends the same response if the token has no access to the images.
    #[arg(long, hide_short_help = true)]
    pub(crate) trust_gone: bool,
    /// For a partition: accept it, unless none of the first images, so many, exists.
    #[arg(skip)]
    pub(crate) trust_gone_after: Option<usize>,
    /// Allow pictures from another host: name, name:port or *.name
    ///
    /// Mapillary's hosts and the host of the API are always allowed.
    #[arg(long, value_name = "HOST", value_delimiter = ',', hide_short_help = true)]
    pub(crate) allow_host: Vec<String>,
    /// Read the token from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Another Graph API host, such as a mirror
    #[arg(long, value_name = "URL", env = "MAPILLARY_GRAPH_URL", default_value = GRAPH_URL, hide_env_values = true, hide_short_help = true)]
    pub(crate) graph_url: String,
    /// Another tile host
    #[arg(long, value_name = "URL", env = "MAPILLARY_TILES_URL", default_value = TILES_URL, hide_env_values = true, hide_short_help = true)]
    pub(crate) tiles_url: String,
    /// The command sends no requests.
    #[arg(skip)]
    pub(crate) offline: bool,
}

impl NetworkArgs {
    /// The arguments of a command that sends no requests.
    pub(crate) fn offline() -> Self {
        Self {
            sandbox: false,
            concurrency: 1,
            tile_rate: None,
            rate_share: RateShare(1),
            attempts: 1,
            trust_gone: false,
            trust_gone_after: None,
            allow_host: Vec::new(),
            token_file: None,
            graph_url: GRAPH_URL.to_owned(),
            tiles_url: TILES_URL.to_owned(),
            offline: true,
        }
    }

    /// The area to crawl if none is named; only the sandbox has one.
    pub(crate) fn default_bbox(&self) -> Option<Bbox> {
        self.sandbox.then(|| SANDBOX_AREA.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_of_the_sandbox_is_a_box() {
        assert!(SANDBOX_AREA.parse::<Bbox>().is_ok());
    }
}
