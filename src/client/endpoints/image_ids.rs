//! The image ids of a sequence.

use std::collections::HashSet;

use url::Url;

use crate::client::cache::response_cache::Keeping;
use crate::client::class::Class;
use crate::client::endpoints::id_list::{IdList, IdPage};
use crate::client::handle::{Client, below, in_task};
use crate::client::transport::send::Ask;
use crate::client::wire::MAX_SEQUENCE_IMAGES;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, SequenceId};
use crate::observe::{Event, Step};

/// No sequence comes near so many pages; none is known to have two.
const MAX_PAGES: usize = 1000;

const DOING: &str = "list the images of sequence";

/// How many unusable entries an error names.
const NAMED: usize = 5;

impl Client {
    /// The ids of a sequence's images in capture order, at least one.
    ///
    /// Entries that are no ids are left out, and the observer is told of them
    /// ([`Event::Failed`]); if there is nothing else, the error is of kind
    /// [`ErrorKind::Malformed`].
    ///
    /// A sequence that exists no longer, or of which two answers name no image,
    /// is an error of kind [`ErrorKind::Gone`]. Where that is said of nearly all
    /// sequences it is not believed, and the kind is [`ErrorKind::Auth`].
    pub async fn image_ids(&self, sequence: &SequenceId) -> Result<Vec<ImageId>> {
        let mut list = self.id_list(sequence).await?;
        if list.is_empty() {
            tokio::time::sleep(self.wait_after_empty(0)).await;
            list = self.id_list(sequence).await?;
        }
        if list.is_empty() {
            return Err(self.gone_for_empty(sequence).await);
        }
        match unusable(sequence, &list) {
            Some(error) if list.ids.is_empty() => return Err(error),
            Some(error) => self.tell(&Event::Failed { step: Step::IMAGES, error: &error }),
            None => {}
        }
        Ok(list.ids)
    }

    /// What the API says of a sequence's images now, or what an unfinished run had learnt; perhaps nothing.
    ///
    /// An empty list says little: the caller asks again later, and then says [`Client::gone_for_empty`].
    pub(crate) async fn id_list(&self, sequence: &SequenceId) -> Result<IdList> {
        let (client, sequence) = (self.clone(), sequence.clone());
        in_task(async move {
            if let Some(ids) = client.kept_image_ids(&sequence).await {
                client.tell(&Event::StoreHit { class: Class::Search });
                client.found(Class::Search, 1);
                return Ok(IdList { ids, ..IdList::default() });
            }
            if let Some(why) = client.known_gone(Class::Search, sequence.as_str()).await {
                client.tell(&Event::StoreHit { class: Class::Search });
                return Err(client.gone_or_doubt(Class::Search, gone(&sequence, why)).await);
            }
            match client.all_image_ids(&sequence).await {
                Ok(list) => {
                    client.found(Class::Search, usize::from(!list.is_empty()));
                    Ok(list)
                }
                Err(error) if error.kind() == ErrorKind::Gone => {
                    Err(client.gone_or_doubt(Class::Search, error).await)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Whether a sequence that had images has them still; asks the network, whatever is known.
    pub(crate) async fn still_has_images(&self, sequence: &SequenceId) -> bool {
        self.anew().all_image_ids(sequence).await.is_ok_and(|list| !list.is_empty())
    }

    /// The error for a sequence with an empty list that is believed.
    ///
    /// It is not kept for the next run: an empty list may be an outage after all.
    pub(crate) async fn gone_for_empty(&self, sequence: &SequenceId) -> Error {
        let why = "the sequence exists no longer, or has no images";
        self.count_gone(Class::Search).await.err().unwrap_or_else(|| gone(sequence, why.to_owned()))
    }

    async fn kept_image_ids(&self, sequence: &SequenceId) -> Option<Vec<ImageId>> {
        let kept = self.kept(&key(sequence)).await?;
        let ids: std::result::Result<Vec<_>, _> =
            std::str::from_utf8(&kept).ok()?.lines().map(ImageId::check).collect();
        ids.ok().filter(|ids| !ids.is_empty())
    }

    async fn all_image_ids(&self, sequence: &SequenceId) -> Result<IdList> {
        let named = |why: &'static str| {
            Error::new(ErrorKind::Malformed, DOING)
                .with_subject(sequence.as_str())
                .with_source(why)
                .with_status(200)
        };
        let (mut all, mut seen) = (IdList::default(), HashSet::new());
        let mut next = below(&self.0.graph_url, &format!("/image_ids?sequence_id={sequence}"))?;
        loop {
            let is_first = seen.is_empty();
            let page = if is_first {
                self.id_page(sequence, &next, true).await?
            } else {
                let is_empty = |page: &IdPage| page.list.is_empty();
                let ask = || self.id_page(sequence, &next, false);
                self.believed_page(DOING, sequence.as_str(), is_empty, ask).await?
            };
            let more = page.next;
            all.append(page.list);
            if all.ids.len() > MAX_SEQUENCE_IMAGES {
                return Err(named("it has more than a million images"));
            }
            let Some(more) = more else {
                all.drop_repeated();
                if !is_first && let Some(keeping) = keeping(sequence, &all) {
                    self.keep(keeping).await?;
                }
                return Ok(all);
            };
            seen.insert(next);
            next = self.same_host(&more).ok_or_else(|| named("its next page is on another host"))?;
            if seen.contains(&next) || seen.len() > MAX_PAGES {
                return Err(named("its pages never end"));
            }
        }
    }

    /// One page; the only page of a sequence is kept before its request counts as done.
    async fn id_page(&self, sequence: &SequenceId, url: &Url, is_first: bool) -> Result<IdPage> {
        let ask = Ask {
            class: Class::Search,
            url: self.with_login(url.clone()),
            doing: DOING,
            subject: sequence.to_string(),
        };
        let sequence = sequence.clone();
        self.ask(ask, move |body| {
            let page = IdPage::read(&body)
                .map_err(|error| Error::new(ErrorKind::Malformed, "").with_source(error).with_status(200))?;
            let keeping = if is_first && page.next.is_none() { keeping(&sequence, &page.list) } else { None };
            Ok((page, keeping))
        })
        .await
    }

    /// A next page is followed only on the host that we asked: the header would go wherever it points. The token that
    /// may stand in its query is in that header.
    pub(crate) fn same_host(&self, next: &str) -> Option<Url> {
        // `blob:` has the origin of the address behind it.
        let graph = &self.0.graph_url;
        let same = |next: &Url| next.origin() == graph.origin() && next.scheme() == graph.scheme();
        // A name before the host would be sent as one that logs in.
        let plain = |next: &Url| next.username().is_empty() && next.password().is_none();
        let mut next = Url::parse(next).ok().filter(same).filter(plain)?;
        if let Some(query) = next.query() {
            let stay = query.split('&').filter(|pair| !pair.starts_with("access_token="));
            let query = stay.collect::<Vec<_>>().join("&");
            next.set_query(Some(&query));
        }
        Some(next)
    }
}

fn gone(sequence: &SequenceId, why: String) -> Error {
    Error::new(ErrorKind::Gone, DOING).with_subject(sequence.as_str()).with_source(why)
}

/// The failure of a sequence with entries that are no ids, if there are any.
pub(crate) fn unusable(sequence: &SequenceId, list: &IdList) -> Option<Error> {
    let named = list.refused.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = list.refused.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!list.refused.is_empty()).then(|| {
        Error::new(ErrorKind::Malformed, "use some of the image ids of sequence")
            .with_subject(sequence.as_str())
            .with_source(format!("the API's list has {named}{more}; the other {} are used", list.ids.len()))
            .with_status(200)
    })
}

/// The ids as they are kept, not the answer itself: the address of its next page may have the token in it.
///
/// A list with unusable entries is not kept, so that the next run asks again.
fn keeping(sequence: &SequenceId, list: &IdList) -> Option<Keeping> {
    let usable = list.refused.is_empty() && !list.ids.is_empty();
    let lines = || list.ids.iter().map(ImageId::as_str).collect::<Vec<_>>().join("\n");
    usable.then(|| Keeping::new(key(sequence), lines().into()))
}

fn key(sequence: &SequenceId) -> String {
    format!("images of {sequence}")
}
