//! A user to their sequences, through the search by name.

use std::collections::{HashSet, VecDeque};

use futures::StreamExt;
use url::Url;

use super::{RecordStream, Source};
use crate::client::{Client, UserPage, unknown_user};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Sequence, SequenceId};
use crate::observe::Event;
use crate::stages::Dates;

/// The step's name in events.
const STEP: &str = "sequences";

/// A hundred million images.
const MOST_PAGES: usize = 100_000;

/// The sequences of a user wherever they are, each once, those with the newest images first.
///
/// It asks for a page of a thousand images after the other; a user without
/// images is a usage error. Memory grows by some 50 bytes a sequence.
///
/// ```no_run
/// use streetflow::{Client, CsvSink, Flow, UserSource};
///
/// # async fn list(client: Client) -> streetflow::Result<()> {
/// Flow::from(UserSource::named(&client, "maria_streets")).into_sink(CsvSink::create("seq_dataset.csv")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct UserSource {
    client: Client,
    name: String,
    dates: Option<Dates>,
}

impl UserSource {
    /// All sequences of the user of this name.
    pub fn named(client: &Client, name: impl Into<String>) -> Self {
        Self { client: client.clone(), name: name.into(), dates: None }
    }

    /// Only sequences with an image that was captured within these dates.
    pub fn captured(mut self, dates: Dates) -> Self {
        self.dates = Some(dates);
        self
    }
}

impl Source for UserSource {
    type Item = Sequence;

    fn stream(self) -> RecordStream<Sequence> {
        let pages = Pages {
            next: Some(self.client.pages_of(&self.name, self.dates.as_ref())),
            source: self,
            asked: HashSet::new(),
            ready: VecDeque::new(),
            giving: false,
            seen: HashSet::new(),
        };
        futures::stream::unfold(pages, |mut pages| async { Some((pages.next().await?, pages)) }).boxed()
    }
}

struct Pages {
    source: UserSource,
    /// None after the last page.
    next: Option<Result<Url>>,
    asked: HashSet<Url>,
    ready: VecDeque<Result<Sequence>>,
    /// What is ready is that of a page that has not been told of yet.
    giving: bool,
    seen: HashSet<SequenceId>,
}

impl Pages {
    async fn next(&mut self) -> Option<Result<Sequence>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if std::mem::take(&mut self.giving) {
                self.source.client.tell(&Event::Listed { step: STEP });
            }
            let page = match self.next.take()? {
                Ok(page) => page,
                Err(error) => return Some(Err(error)),
            };
            let page = self.page(page).await;
            // A name that is nobody's is a mistake in the words, and nothing has begun.
            if page.as_ref().err().is_none_or(|error| !error.is_fatal()) {
                self.source.client.tell(&Event::Entered { step: STEP });
            }
            // Without an answer nobody knows where the next page is, so a failure is the end.
            match page {
                Ok(page) => self.take(page),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    async fn page(&mut self, page: Url) -> Result<UserPage> {
        let first = self.asked.is_empty();
        if !self.asked.insert(page.clone()) || self.asked.len() > MOST_PAGES {
            let error =
                Error::new(ErrorKind::Malformed, "list the images of user").subject(&self.source.name);
            return Err(error.because("its pages never end"));
        }
        let page = self.source.client.user_page(&self.source.name, page).await?;
        let nothing = page.sequences.is_empty() && page.without_sequence.is_empty();
        if first && nothing && self.source.dates.is_none() {
            return Err(unknown_user(&self.source.name));
        }
        Ok(page)
    }

    fn take(&mut self, page: UserPage) {
        let new = page.sequences.into_iter().filter(|one| self.seen.insert(one.seq_id.clone()));
        self.ready.extend(new.map(Ok));
        self.giving = true;
        self.next = page.next.map(Ok);
        // They are counted, for their sequences may come with another image, or not.
        for _ in page.without_sequence {
            self.source.client.tell(&Event::LeftOut { step: STEP, by: "no_sequence" });
        }
    }
}
