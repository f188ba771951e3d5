//! What a command runs with: the client, the screen, and the signal to stop.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::args::NetworkArgs;
use crate::job::keep_full_tables::FullTables;
use crate::job::outputs::Input;
use crate::progress::screen::Screen;
use crate::terminal::printer::Tone;
use streetflow::sources::IdCheck;
use streetflow::{Bbox, Client, ClientBuilder, Error, ErrorKind, Observer, RateLimit, Result, Token};

/// No token file is larger.
const MOST_TOKEN: u64 = 4096;

pub(crate) struct Run {
    pub(crate) client: Client,
    pub(crate) screen: Arc<Screen>,
    pub(crate) stop: CancellationToken,
    /// Tables of an earlier run stand where those of this one go.
    pub(crate) replaces: bool,
    /// Those of them that have rows, which a run that finds nothing leaves alone.
    pub(crate) full: Arc<FullTables>,
    /// The area of the embedded sandbox.
    pub(crate) default_bbox: Option<Bbox>,
    sandbox: Option<streetflow_sandbox::Sandbox>,
}

impl Run {
    /// Refuses tables of which a spreadsheet has rounded the image ids, and warns of single ones.
    pub(crate) fn id_check(&self) -> IdCheck {
        let screen = Arc::clone(&self.screen);
        IdCheck::warn(move |text| screen.voice.say(Tone::Warning, text))
    }

    /// What the words say of the client; no token where one is needed is a usage error.
    pub(crate) fn builder(
        args: &NetworkArgs,
        needs_token: bool,
        screen: &Arc<Screen>,
    ) -> Result<ClientBuilder> {
        let builder = Client::builder()
            .graph_url(&args.graph_url)
            .tiles_url(&args.tiles_url)
            .concurrency(args.concurrency.into())
            .max_attempts(args.attempts)
            .observer(Arc::clone(screen) as _);
        let builder = args.allow_host.iter().fold(builder, ClientBuilder::allow_host);
        let builder = if args.trust_gone { builder.trust_gone() } else { builder };
        let builder = match args.tile_rate {
            Some(rate) => builder.tile_rate_limit(RateLimit::per_minute(rate).burst(burst(rate)).jittered()),
            None => builder,
        };
        if args.is_sandbox() {
            return Ok(builder);
        }
        Ok(match token(args.token_file.as_deref(), needs_token)? {
            Some(token) => builder.token(token),
            None => builder,
        })
    }

    /// Makes the client, with the sandbox behind it if that is asked for.
    pub(crate) async fn new(
        args: &NetworkArgs,
        builder: ClientBuilder,
        screen: Arc<Screen>,
        replaces: bool,
        full: Arc<FullTables>,
    ) -> Result<Self> {
        let builder = match within_file_limit(args.concurrency.into(), args.is_sandbox()) {
            None => builder,
            Some((concurrency, files)) => {
                screen.warn(&format!(
                    "only {files} files may be open at once, so {concurrency} of {} requests are under way at once; raise the limit with `ulimit -n 4096`",
                    args.concurrency
                ));
                builder.concurrency(concurrency)
            }
        };
        let stop = CancellationToken::new();
        if args.sandbox {
            let sandbox = embedded().await?;
            let builder = builder
                .graph_url(sandbox.graph_url())
                .tiles_url(sandbox.tiles_url())
                .image_proxy(sandbox.images_url())
                .allow_host(EMBEDDED_IMAGES)
                .token(Token::new(streetflow_sandbox::Sandbox::TOKEN)?);
            let default_bbox = Some("32.19,34.52,34.18,35.49".parse()?);
            return Ok(Self {
                client: builder.build()?,
                screen,
                stop,
                replaces,
                full,
                default_bbox,
                sandbox: Some(sandbox),
            });
        }
        Ok(Self { client: builder.build()?, screen, stop, replaces, full, default_bbox: None, sandbox: None })
    }

    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.screen) as _
    }

    /// Tells the screen how much a step has before it, of which it takes `most`.
    pub(crate) fn expect(&self, step: &str, input: &Input, most: Option<u64>) {
        if let (Some(step), Some(rows)) = (self.screen.step(step), input.rows()) {
            step.expect(rows.min(most.unwrap_or(rows)));
        }
    }

    /// Whether this run asks the embedded sandbox.
    pub(crate) fn is_sandbox(&self) -> bool {
        self.sandbox.is_some()
    }
}

/// The image host of the embedded sandbox.
const EMBEDDED_IMAGES: &str = "images.sandbox.test";

/// Picture URLs name a host that only this run's proxy knows, so that tables are the same in every run.
async fn embedded() -> Result<streetflow_sandbox::Sandbox> {
    streetflow_sandbox::Sandbox::builder()
        .image_base(format!("http://{EMBEDDED_IMAGES}"))
        .record_requests(false)
        .start()
        .await
        .map_err(|error| Error::new(ErrorKind::Usage, "start the sandbox").with_source(error))
}

fn token(file: Option<&Path>, needed: bool) -> Result<Option<Token>> {
    if let Some(path) = file {
        let refuse = |why: std::io::Error| {
            Error::new(ErrorKind::Usage, "read the token file")
                .with_subject(path.display().to_string())
                .with_source(why)
        };
        // By what is read, not by what the file says of its size: a device says nothing.
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(refuse)?;
        file.take(MOST_TOKEN + 1).read_to_string(&mut text).map_err(refuse)?;
        if text.len() as u64 > MOST_TOKEN {
            return Err(refuse(std::io::Error::other("it is larger than any token")));
        }
        return Token::new(&text).map(Some).map_err(|error| error.with_subject(path.display().to_string()));
    }
    match Token::from_env()? {
        None if needed => Err(Error::new(ErrorKind::Usage, "find a token")
            .with_source("MAPILLARY_TOKEN is not set and no `--token-file` was given")
            .with_hint("make a token at https://www.mapillary.com/dashboard/developers, or try `--sandbox`, which needs none")),
        token => Ok(token),
    }
}

/// Half a minute's worth may go at once, but never more than the default burst.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn burst(rate: f64) -> u32 {
    (rate / 2.0).clamp(1.0, 20.0) as u32
}

/// Files that are open whatever is under way: tables, the store, lists, and what the runtime needs.
const OTHER_FILES: u64 = 48;

/// Raises the limit of open files to what so many requests may need. Where it stays too low, gives how many requests it
/// is enough for, and the limit.
fn within_file_limit(concurrency: u64, is_sandbox: bool) -> Option<(usize, u64)> {
    let files = rlimit::increase_nofile_limit(concurrency * 8 + 256).ok()?;
    // Connections to three hosts stay open, and each picture has a file; the sandbox has the other ends too.
    let each = if is_sandbox { 7 } else { 4 };
    let enough_for = (files.saturating_sub(OTHER_FILES) / each).max(1);
    if enough_for >= concurrency {
        return None;
    }
    Some((usize::try_from(enough_for).ok()?, files))
}
