//! From a user name to sequences, through the image search.

use std::collections::{HashSet, VecDeque};
use std::time::SystemTime;

use futures::StreamExt;
use url::Url;

use super::{RecordStream, Source};
use crate::client::{Client, UserPage, unknown_user};
use crate::dates::Dates;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, Sequence, SequenceId};
use crate::observe::{Event, Step};
use crate::timestamp::DAY_MS;

/// Enough for a hundred million images.
const MAX_PAGES: usize = 100_000;

/// Empty pages in a row, each with a next page, before the listing fails.
const MAX_EMPTY_PAGES: usize = 20;

/// Length of a time window that is not split further, in milliseconds.
const MIN_WINDOW_MS: i64 = 60_000;

/// Start of the earliest closed window, before Mapillary existed; in milliseconds since 1970.
const YEAR_2004_MS: i64 = 1_072_915_200_000;

/// End of the latest closed window; only badly wrong clocks are later; in milliseconds since 1970.
const YEAR_2200_MS: i64 = 7_258_118_400_000;

/// Finds all sequences of a user, wherever they are. Those with the newest images come first.
///
/// Requests one page of 1,000 images after another. If the API asks for less data, it requests smaller pages and then
/// splits the time into windows. An empty page is requested again before it counts. A user without images is an error
/// of kind [`Usage`](crate::ErrorKind::Usage). Memory grows by about 50 bytes per sequence.
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
    /// Finds the sequences of the user with this name.
    pub fn named(client: &Client, name: impl Into<String>) -> Self {
        Self { client: client.clone(), name: name.into(), dates: None }
    }

    /// Only finds sequences with an image captured within these dates.
    pub fn captured(mut self, dates: Dates) -> Self {
        self.dates = Some(dates);
        self
    }
}

impl Source for UserSource {
    type Item = Sequence;

    fn stream(self) -> RecordStream<Sequence> {
        let pages = Pages {
            next: None,
            windows: vec![Window { dates: self.dates }],
            window: Window { dates: self.dates },
            is_split: false,
            source: self,
            requested: HashSet::new(),
            before: None,
            empty_in_a_row: 0,
            ready: VecDeque::new(),
            passing_on: false,
            seen: HashSet::new(),
            without_sequence: HashSet::new(),
        };
        futures::stream::unfold(pages, |mut pages| async { Some((pages.next().await?, pages)) }).boxed()
    }
}

struct Pages {
    source: UserSource,
    /// `None` after the last page of a window.
    next: Option<Url>,
    /// Time windows still to list, the next one last.
    windows: Vec<Window>,
    /// The current window.
    window: Window,
    /// Whether there are several windows. Neighbours share their boundaries.
    is_split: bool,
    requested: HashSet<Url>,
    /// The latest page with images.
    before: Option<Url>,
    empty_in_a_row: usize,
    ready: VecDeque<Sequence>,
    /// Whether `ready` has the sequences of a page that is not reported as done.
    passing_on: bool,
    seen: HashSet<SequenceId>,
    /// Images without a sequence that were counted, because windows overlap at their boundaries.
    without_sequence: HashSet<ImageId>,
}

impl Pages {
    async fn next(&mut self) -> Option<Result<Sequence>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(Ok(ready));
            }
            if std::mem::take(&mut self.passing_on) {
                self.source.client.emit(&Event::InputDone { step: Step::SEQUENCES });
            }
            let url = match self.next.take() {
                Some(url) => url,
                None => match self.begin_window()? {
                    Ok(url) => url,
                    Err(error) => return Some(Err(error)),
                },
            };
            let page = self.page(&url).await;
            if page.as_ref().is_err_and(|error| error.kind() == ErrorKind::TooLarge)
                && let Some(smaller) = self.window.split(now())
            {
                self.windows.extend(smaller);
                self.is_split = true;
                continue;
            }
            // A fatal error, such as an unknown user name, is not an input.
            if page.as_ref().err().is_none_or(|error| !error.is_fatal()) {
                self.source.client.emit(&Event::InputStarted { step: Step::SEQUENCES });
            }
            // Only the response has the URL of the next page, so a failure ends the window.
            match page {
                Ok(page) => self.accept_page(url, page),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn begin_window(&mut self) -> Option<Result<Url>> {
        self.window = self.windows.pop()?;
        self.empty_in_a_row = 0;
        Some(self.source.client.first_user_page(&self.source.name, self.window.dates.as_ref()))
    }

    async fn page(&mut self, page: &Url) -> Result<UserPage> {
        let is_first = self.requested.is_empty();
        let endless = || {
            let error =
                Error::new(ErrorKind::Malformed, "list the images of user").with_subject(&self.source.name);
            error.with_source("its pages never end")
        };
        if self.requested.contains(page)
            || self.requested.len() >= MAX_PAGES
            || self.empty_in_a_row >= MAX_EMPTY_PAGES
        {
            return Err(endless());
        }
        self.requested.insert(page.clone());
        let (client, before) = (&self.source.client, self.before.as_ref());
        let page = client.confirmed_user_page(&self.source.name, page.clone(), before).await?;
        if is_first && page.is_empty() && page.next.is_none() && self.source.dates.is_none() {
            return Err(unknown_user(&self.source.name));
        }
        Ok(page)
    }

    fn accept_page(&mut self, url: Url, page: UserPage) {
        if page.is_empty() {
            self.empty_in_a_row += 1;
        } else {
            (self.before, self.empty_in_a_row) = (Some(url), 0);
        }
        let new = page.sequences.into_iter().filter(|one| self.seen.insert(one.seq_id.clone()));
        self.ready.extend(new);
        self.passing_on = true;
        self.next = page.next;
        // Another image may name their sequence, so they are only counted.
        let mut without = page.unusable;
        for image in page.without_sequence {
            without += u64::from(!self.is_split || self.without_sequence.insert(image));
        }
        for _ in 0..without {
            self.source.client.emit(&Event::Filtered { step: Step::SEQUENCES, by: "no_sequence" });
        }
    }
}

/// A time window that is listed separately; open-ended without dates.
#[derive(Clone, Copy)]
struct Window {
    dates: Option<Dates>,
}

impl Window {
    /// Splits the window into smaller ones, the newest last; `None` if it is too short.
    ///
    /// Neighbours share their boundary: the API includes the end, and rounds to seconds.
    fn split(self, now: i64) -> Option<Vec<Self>> {
        let (from, to) = (self.dates.and_then(|dates| dates.from()), self.dates.and_then(|dates| dates.to()));
        let is_open = from.is_none() || to.is_none();
        // Wrong clocks have times outside, so the open ends stay windows.
        let later = |end: &i64| from.is_none_or(|from| from < *end);
        let end = to.or_else(|| [now + DAY_MS, YEAR_2200_MS].into_iter().find(later))?;
        let earlier = |begin: &i64| *begin < end;
        let begin = from.or_else(|| [YEAR_2004_MS, 0].into_iter().find(earlier))?;
        let window = |from, to| Dates::new(from, to).ok().map(|dates| Self { dates: Some(dates) });
        let mut windows = Vec::new();
        if is_open {
            windows.extend(if from.is_none() { window(None, Some(begin)) } else { None });
            windows.extend(window(Some(begin), Some(end)));
            windows.extend(if to.is_none() { window(Some(end), None) } else { None });
            return Some(windows);
        }
        if end - begin <= MIN_WINDOW_MS {
            return None;
        }
        let middle = begin + (end - begin) / 2;
        windows.extend(window(Some(begin), Some(middle)));
        windows.extend(window(Some(middle), Some(end)));
        Some(windows)
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a window recursively and returns the bounds of the smallest windows.
    fn smallest_windows(window: Window, depth: usize, now: i64) -> Vec<(Option<i64>, Option<i64>)> {
        let edges = window.dates.map_or((None, None), |dates| (dates.from(), dates.to()));
        match window.split(now).filter(|_| depth > 0) {
            Some(windows) => {
                windows.into_iter().flat_map(|window| smallest_windows(window, depth - 1, now)).collect()
            }
            None => vec![edges],
        }
    }

    #[test]
    fn windows_cover_all_time_without_a_gap_and_end() {
        let now = 1_790_000_000_000;
        for dates in [
            None,
            Dates::new(Some(now - 3 * DAY_MS), None).ok(),
            Dates::new(None, Some(1_000)).ok(),
            Dates::new(None, Some(-5_000)).ok(),
            Dates::new(Some(YEAR_2200_MS + DAY_MS), None).ok(),
            Dates::new(Some(0), Some(DAY_MS)).ok(),
        ] {
            let edges = smallest_windows(Window { dates }, 9, now);
            let whole = dates.map_or((None, None), |dates| (dates.from(), dates.to()));
            assert_eq!((edges[0].0, edges[edges.len() - 1].1), whole);
            assert!(edges.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].1.is_some()), "{edges:?}");
        }
        let hour = Window { dates: Dates::new(Some(0), Some(3_600_000)).ok() };
        let edges = smallest_windows(hour, 100, now);
        let is_short = |(from, to): &(Option<i64>, Option<i64>)| {
            from.zip(*to).is_some_and(|(from, to)| to - from <= MIN_WINDOW_MS)
        };
        assert!(edges.len() > 10 && edges.iter().all(is_short));
    }
}
