//! What a flow runs with: client, monitor and stop signal.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::earlier::EarlierDetections;
use super::empty_result::EmptyResultGuard;
use super::input::Input;
use super::monitor::Monitor;
use super::update::Update;
use crate::args::NetworkArgs;
use streetflow::sources::IdCheck;
use streetflow::{Client, ClientBuilder, Error, ErrorKind, Observer, RateLimit, Result, Step, Token};

/// Maximum size of a token file in bytes.
const MAX_TOKEN_FILE: u64 = 4096;

/// Host name of the pictures of the built-in sandbox.
const SANDBOX_IMAGE_HOST: &str = "images.sandbox.test";

/// Open files besides those of requests: tables, the response store, failure logs, and files of the runtime.
const OTHER_FILES: u64 = 48;

/// The client, the monitor and the stop signal of a run.
pub(crate) struct RunContext {
    pub(crate) client: Client,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) stop: CancellationToken,
    /// Whether tables of an earlier run would be replaced.
    pub(super) replaces: bool,
    pub(super) guard: Arc<EmptyResultGuard>,
    /// The update of an earlier table.
    pub(crate) update: Option<Arc<Update>>,
    /// What an update takes from an earlier table of detections.
    pub(crate) earlier_detections: Option<EarlierDetections>,
    /// Serves as long as the run lasts.
    _sandbox: Option<streetflow_sandbox::Sandbox>,
}

/// Configures a client as the flags say. A missing token is a usage error if requests need one.
pub(super) fn client_builder(
    args: &NetworkArgs,
    needs_token: bool,
    monitor: &Arc<Monitor>,
) -> Result<ClientBuilder> {
    let builder = Client::builder()
        .graph_url(&args.graph_url)
        .tiles_url(&args.tiles_url)
        .concurrency(args.concurrency.into())
        .max_attempts(args.attempts)
        .rate_share(args.rate_share.0)
        .observer(Arc::clone(monitor) as _);
    let builder = args.allow_host.iter().fold(builder, ClientBuilder::allow_host);
    let builder = match args.trust_gone_after {
        _ if args.trust_gone => builder.trust_gone(),
        Some(count) => builder.trust_gone_after(count),
        None => builder,
    };
    let builder = match args.tile_rate {
        Some(rate) => builder.tile_rate_limit(RateLimit::per_minute(rate).burst(burst(rate)).jittered()),
        None => builder,
    };
    if args.sandbox || args.offline {
        return Ok(builder);
    }
    Ok(match find_token(args.token_file.as_deref(), needs_token)? {
        Some(token) => builder.token(token),
        None => builder,
    })
}

impl RunContext {
    /// Builds the client, and starts the sandbox if the flags ask for it.
    pub(crate) async fn new(
        args: &NetworkArgs,
        builder: ClientBuilder,
        monitor: Arc<Monitor>,
        replaces: bool,
        guard: Arc<EmptyResultGuard>,
    ) -> Result<Self> {
        let builder = match reduced_concurrency(args.concurrency.into(), args.sandbox) {
            None => builder,
            Some((concurrency, files)) => {
                monitor.printer.warn(&format!(
                    "the limit of open files is {files}, so at most {concurrency} of {} requests are in flight; raise the limit with `ulimit -n 4096`",
                    args.concurrency
                ));
                builder.concurrency(concurrency)
            }
        };
        let (builder, sandbox) = if args.sandbox {
            let sandbox = start_sandbox().await?;
            let builder = builder
                .graph_url(sandbox.graph_url())
                .tiles_url(sandbox.tiles_url())
                .image_proxy(sandbox.images_url())
                .allow_host(SANDBOX_IMAGE_HOST)
                .token(Token::new(streetflow_sandbox::Sandbox::TOKEN)?);
            (builder, Some(sandbox))
        } else {
            (builder, None)
        };
        let stop = CancellationToken::new();
        Ok(Self {
            client: builder.build()?,
            monitor,
            stop,
            replaces,
            guard,
            update: None,
            earlier_detections: None,
            _sandbox: sandbox,
        })
    }

    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.monitor) as _
    }

    /// Rejects tables with image ids that a spreadsheet has rounded, and warns about single ones.
    pub(crate) fn id_check(&self) -> IdCheck {
        let monitor = Arc::clone(&self.monitor);
        IdCheck::warn(move |text| monitor.printer.warn(text))
    }

    /// Sets the total of a step to the rows of its input, at most `max`.
    pub(crate) fn expect_rows(&self, step: Step, input: &Input, max: Option<u64>) {
        if let (Some(step), Some(rows)) = (self.monitor.stats.step(step), input.rows()) {
            step.set_total(rows.min(max.unwrap_or(rows)));
        }
    }
}

/// Starts a sandbox with a fixed image host, so that picture URLs, and thus tables, are the same in every run.
async fn start_sandbox() -> Result<streetflow_sandbox::Sandbox> {
    streetflow_sandbox::Sandbox::builder()
        .image_base(format!("http://{SANDBOX_IMAGE_HOST}"))
        .record_requests(false)
        .start()
        .await
        .map_err(|error| Error::new(ErrorKind::Usage, "start the sandbox").with_source(error))
}

fn find_token(file: Option<&Path>, needs_token: bool) -> Result<Option<Token>> {
    if let Some(path) = file {
        return read_token(path).map(Some);
    }
    match Token::from_env()? {
        None if needs_token => Err(Error::new(ErrorKind::Usage, "find a token")
            .with_source("MAPILLARY_TOKEN is not set and no `--token-file` was given")
            .with_hint("create a token at https://www.mapillary.com/dashboard/developers, or try `--sandbox`, which needs none")),
        token => Ok(token),
    }
}

fn read_token(path: &Path) -> Result<Token> {
    let reject = |why: std::io::Error| {
        Error::new(ErrorKind::Usage, "read the token file")
            .with_subject(path.display().to_string())
            .with_source(why)
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(reject)?;
    // The size of the file would not do: that of a device is 0.
    file.take(MAX_TOKEN_FILE + 1).read_to_string(&mut text).map_err(reject)?;
    if text.len() as u64 > MAX_TOKEN_FILE {
        return Err(reject(std::io::Error::other("the file is too large for a token")));
    }
    Token::new(&text).map_err(|error| error.with_subject(path.display().to_string()))
}

/// The burst for a tile rate: the tiles of half a minute, at most the default burst.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn burst(rate: f64) -> u32 {
    (rate / 2.0).clamp(1.0, 20.0) as u32
}

/// Raises the limit of open files. If it stays too low for the concurrency, returns the possible concurrency and the
/// limit.
fn reduced_concurrency(concurrency: u64, is_sandbox: bool) -> Option<(usize, u64)> {
    let files = rlimit::increase_nofile_limit(concurrency * 8 + 256).ok()?;
    // Connections to three hosts stay open, and each picture is a file. The sandbox also has the server's connections.
    let files_per_request = if is_sandbox { 7 } else { 4 };
    let possible = (files.saturating_sub(OTHER_FILES) / files_per_request).max(1);
    if possible >= concurrency {
        return None;
    }
    Some((usize::try_from(possible).ok()?, files))
}
