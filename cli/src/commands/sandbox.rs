//! `sandbox`: serves the built-in mock server until stopped.

use std::time::Duration;

use clap::Args;

use crate::job::Signals;
use crate::terminal::stdout;
use streetflow::{Error, ErrorKind, Result};
use streetflow_sandbox::{MockData, Sandbox};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow sandbox --port 8080
  streetflow sandbox --images 1000000 --latency 50";

#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Port of the Graph API and the tile host [default: any free port]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Duration of each response, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Generate mock data with N images instead of the small data set, for load tests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    images: Option<u64>,
}

pub(crate) async fn run(args: &SandboxArgs) -> Result<()> {
    let builder = Sandbox::builder().record_requests(false).latency(Duration::from_millis(args.latency));
    let builder = match args.port {
        Some(port) => builder.port(port),
        None => builder,
    };
    let builder = match args.images {
        Some(images) => builder.mock_data(MockData::with_image_count(images, 1)),
        None => builder,
    };
    let sandbox = builder.start().await.map_err(|error| {
        Error::new(ErrorKind::Usage, "start the sandbox")
            .with_source(error)
            .with_hint("choose another port with `--port`")
    })?;
    let text = format!(
        "export MAPILLARY_GRAPH_URL={}\n\
         export MAPILLARY_TILES_URL={}\n\
         export MAPILLARY_TOKEN='{}'\n\
         # then, for example: streetflow crawl --bbox 32.19,34.52,34.18,35.49\n",
        sandbox.graph_url(),
        sandbox.tiles_url(),
        Sandbox::TOKEN,
    );
    let mut signals = Signals::listen();
    stdout::print(text.as_bytes())?;
    signals.next().await;
    Ok(())
}
