//! The image ids of a sequence.

use std::collections::HashSet;

use url::Url;

use super::kept::Keeping;
use super::send::Ask;
use super::wire::{IdPage, MOST_IMAGES};
use super::{Class, Client, below, in_task, json};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, SequenceId};
use crate::observe::Event;

/// No sequence comes near so many pages; none is known to have two.
const MOST_PAGES: usize = 1000;

const DOING: &str = "list the images of sequence";

impl Client {
    /// The ids of a sequence's images in capture order, at least one.
    ///
    /// A sequence that exists no longer, or of which two answers name no image,
    /// is an error of kind [`ErrorKind::Gone`]. Where that is said of nearly all
    /// sequences it is not believed, and the kind is [`ErrorKind::Auth`].
    pub async fn image_ids(&self, sequence: &SequenceId) -> Result<Vec<ImageId>> {
        let (client, sequence) = (self.clone(), sequence.clone());
        in_task(async move {
            let gone =
                |why: String| Error::new(ErrorKind::Gone, DOING).subject(sequence.as_str()).because(why);
            if let Some(ids) = client.kept_image_ids(&sequence).await {
                client.tell(&Event::Stored { class: Class::Search });
                client.found(Class::Search, 1);
                return Ok(ids);
            }
            if let Some(why) = client.known_gone(Class::Search, sequence.as_str()).await {
                client.tell(&Event::Stored { class: Class::Search });
                return Err(client.gone_or_doubt(Class::Search, gone(why)).await);
            }
            let mut ids = client.all_image_ids(&sequence).await;
            if matches!(&ids, Ok(ids) if ids.is_empty()) {
                // An outage was seen to answer with nothing for things that exist, and this is how a sequence is lost.
                tokio::time::sleep(client.0.retry.first_wait).await;
                ids = client.all_image_ids(&sequence).await;
            }
            let error = match ids {
                Ok(ids) if ids.is_empty() => {
                    gone("the sequence exists no longer, or has no images".to_owned())
                }
                Ok(ids) => {
                    client.found(Class::Search, 1);
                    return Ok(ids);
                }
                Err(error) if error.kind() == ErrorKind::Gone => error,
                Err(error) => return Err(error),
            };
            Err(client.gone_or_doubt(Class::Search, error).await)
        })
        .await
    }

    async fn kept_image_ids(&self, sequence: &SequenceId) -> Option<Vec<ImageId>> {
        let kept = self.kept(&key(sequence)).await?;
        let ids: std::result::Result<Vec<_>, _> =
            std::str::from_utf8(&kept).ok()?.lines().map(ImageId::check).collect();
        ids.ok().filter(|ids| !ids.is_empty())
    }

    async fn all_image_ids(&self, sequence: &SequenceId) -> Result<Vec<ImageId>> {
        let malformed = |why: &'static str| Error::new(ErrorKind::Malformed, "").because(why).answered(200);
        // Not the answer itself: the address of its next page may have the token in it.
        let key = key(sequence);
        let keeping = move |ids: &[ImageId]| {
            let lines = ids.iter().map(ImageId::as_str).collect::<Vec<_>>().join("\n");
            Keeping::new(key.clone(), lines.into())
        };
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        let mut next = below(&self.0.graph_url, &format!("/image_ids?sequence_id={sequence}"))?;
        loop {
            let subject = sequence.to_string();
            let ask = Ask { class: Class::Search, url: next.clone(), doing: DOING, subject: subject.clone() };
            let (first, keeping_all) = (all.is_empty(), keeping.clone());
            let (ids, more) = self
                .ask(ask, move |body| {
                    let page: IdPage = json(&body)?;
                    let ids = page.data.0.map_err(malformed)?;
                    let more = page.paging.0.and_then(|paging| paging.next.0).filter(|_| !ids.is_empty());
                    // Mostly there is one page, and it is kept before its request counts as done.
                    let keeping = (first && more.is_none() && !ids.is_empty()).then(|| keeping_all(&ids));
                    Ok(((ids, more), keeping))
                })
                .await?;
            all.extend(ids);
            if all.len() > MOST_IMAGES {
                return Err(malformed("it has more than a million images").rename(DOING, &subject));
            }
            let Some(more) = more else {
                if !first {
                    self.keep(keeping(&all)).await?;
                }
                return Ok(all);
            };
            seen.insert(next);
            let named = |error: Error| error.rename(DOING, &subject);
            next =
                self.same_host(&more).ok_or_else(|| named(malformed("its next page is on another host")))?;
            if seen.contains(&next) || seen.len() > MOST_PAGES {
                return Err(named(malformed("its pages never end")));
            }
        }
    }

    /// A next page is followed only on the host that we asked: the header would go wherever it points. The token that
    /// may stand in its query is in that header.
    pub(super) fn same_host(&self, next: &str) -> Option<Url> {
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

fn key(sequence: &SequenceId) -> String {
    format!("images of {sequence}")
}
