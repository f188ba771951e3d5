//! What the client keeps of the API's answers in its store, and when it trusts them.
//!
//! | Key | Answer |
//! |---|---|
//! | `tile <z>/<x>/<y>` | the bytes of the tile |
//! | `images of <sequence>` | its image ids, one a line |
//! | `page <path and query>` | the sequences of a page of a user's images, and where the next one is |
//! | `batch <fields> <id>` | the ids that were asked for, the first of which is `id`; then the API's JSON |
//! | `image <fields> <id>` | the API's JSON |
//! | `gone <number> image <id>` | the API's word for it |
//! | `gone <number> sequence <id>` | the same |
//! | `doubts` | that number: how often the API's word was not believed after all |
//! | `fields` | every list of fields that stands in a key, one a line |
//!
//! Fields are sorted by name. What is asked for another format or quality may
//! want more fields than an unfinished run had; then only those are asked for.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::client::cache::response_store::ResponseStore;
use crate::client::class::Class;
use crate::client::handle::Client;
use crate::client::missing_guard::Gone;
use crate::client::transport::image_hosts::{expiry, now};
use crate::client::wire::{Batch, Single};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, Metadata};
use crate::record::{Fields, Record};

/// The fields that are signed URLs, which end.
const URL_FIELDS: [&str; 6] =
    ["thumb_256_url", "thumb_1024_url", "thumb_2048_url", "thumb_original_url", "mesh", "sfm_cluster"];

/// An answer so long is compressed and written where it stands, in a tenth of a millisecond; a longer one in a thread
/// of its own.
const AT_ONCE: usize = 128 << 10;

/// An answer on its way into the store.
pub(crate) struct Keeping {
    pub(crate) key: String,
    /// What goes before the body.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Bytes,
}

impl Keeping {
    pub(crate) fn new(key: String, body: Bytes) -> Self {
        Self { key, head: Vec::new(), body }
    }

    /// The answer of a batch, whose answer alone would not say what it lacks.
    pub(crate) fn batch(fields: &Fields, ids: &[&str], body: Bytes) -> Self {
        let key = format!("batch {} {}", fields.sorted(), ids.first().unwrap_or(&""));
        Self { key, head: format!("{}\n", ids.join(",")).into_bytes(), body }
    }

    pub(crate) fn single(fields: &Fields, image: &Image, body: Bytes) -> Self {
        Self::new(format!("image {} {}", fields.sorted(), image.img_id), body)
    }
}

/// The store of a client, and what it must know of it.
pub(crate) struct Kept {
    store: ResponseStore,
    /// What was said to be gone under another number does not count.
    doubts: u32,
    /// The newest last.
    lists: Mutex<Vec<Fields>>,
}

/// What an unfinished run had learnt of an image.
#[derive(Default, Clone)]
pub(crate) struct Had {
    pub(crate) record: Option<Metadata>,
    /// The fields that the record has, present or absent.
    fields: u64,
    /// The fields that were asked for, perhaps in vain.
    asked: Option<u64>,
}

impl Had {
    /// The fields of those wanted that a batch could still tell; none at all once it has nothing more to say.
    pub(crate) fn lacks(&self, wanted: u64) -> Option<u64> {
        let learnt = if self.record.is_some() { Some(self.fields) } else { self.asked };
        match learnt {
            Some(learnt) => Some(wanted & !learnt).filter(|lacking| *lacking > 0),
            None => Some(wanted),
        }
    }

    /// Takes the answer to a request that was made just now; it is as fresh as can be.
    pub(crate) fn answered(&mut self, answer: Option<Metadata>, fields: &Fields) {
        self.asked(fields);
        match answer {
            Some(answer) => self.learn(answer, fields, 0),
            // It went away between two answers: what the first one says stands.
            None => self.fields |= fields.bit_set(),
        }
    }

    fn asked(&mut self, fields: &Fields) {
        self.asked = Some(self.asked.unwrap_or_default() | fields.bit_set());
    }

    /// Takes what an answer to `fields` says, but for URLs that have ended at a time.
    pub(crate) fn learn(&mut self, answer: Metadata, fields: &Fields, now: u64) {
        let fresh = |field: &str| {
            !URL_FIELDS.contains(&field) || url_of(&answer, field).is_none_or(|url| expiry(url) >= now)
        };
        let learnt = fields.retain(fresh);
        match &mut self.record {
            Some(record) => record.take_from(&answer, &learnt.without(self.fields)),
            None => self.record = Some(answer),
        }
        self.fields |= learnt.bit_set();
    }
}

fn url_of<'a>(record: &'a Metadata, field: &str) -> Option<&'a str> {
    let url = match field {
        "thumb_256_url" => &record.thumb_256_url,
        "thumb_1024_url" => &record.thumb_1024_url,
        "thumb_2048_url" => &record.thumb_2048_url,
        "thumb_original_url" => &record.thumb_original_url,
        "mesh" => &record.mesh_url,
        _ => &record.sfm_cluster_url,
    };
    url.as_deref()
}

impl Kept {
    pub(crate) fn new(store: &ResponseStore) -> Self {
        let text = |key| store.get(key).and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
        let lists = text("fields").lines().filter_map(|list| list.parse().ok()).collect();
        let doubts = text("doubts").parse().unwrap_or_default();
        Self { store: store.clone(), doubts, lists: Mutex::new(lists) }
    }

    fn lists(&self) -> Vec<Fields> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a list of fields before the first answer that has them.
    fn note(&self, fields: &Fields) -> Result<()> {
        let fields = fields.sorted();
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if !lists.contains(&fields) {
            lists.push(fields);
            let lines: Vec<_> = lists.iter().map(Fields::to_string).collect();
            self.store.put("fields", &[lines.join("\n").as_bytes()])?;
        }
        Ok(())
    }

    /// What is known of images; each stands in the list once.
    fn recall(&self, images: &[Image], wanted: &Fields) -> Vec<Had> {
        let (now, wanted) = (now(), wanted.bit_set());
        let mut had = vec![Had::default(); images.len()];
        for fields in self.lists().iter().rev() {
            for at in 0..images.len() {
                if had[at].lacks(wanted).is_none() {
                    continue;
                }
                if let Some((asked, mut batch)) = self.batch(fields, &images[at]) {
                    for (image, had) in images.iter().zip(&mut had) {
                        if asked.split(',').any(|id| id == image.img_id.as_str()) {
                            had.asked(fields);
                            if let Some(answer) = batch.take(image) {
                                had.learn(answer, fields, now);
                            }
                        }
                    }
                }
                if let Some(answer) = self.single(fields, &images[at]) {
                    had[at].learn(answer, fields, now);
                }
            }
        }
        had
    }

    fn batch(&self, fields: &Fields, first: &Image) -> Option<(String, Batch)> {
        let answer = self.get(&format!("batch {fields} {}", first.img_id))?;
        let asked = answer.split(|byte| *byte == b'\n').next()?;
        let batch = serde_json::from_slice(answer.get(asked.len() + 1..)?).ok()?;
        Some((String::from_utf8(asked.to_vec()).ok()?, batch))
    }

    fn single(&self, fields: &Fields, image: &Image) -> Option<Metadata> {
        let answer = self.get(&format!("image {fields} {}", image.img_id))?;
        serde_json::from_slice::<Single>(&answer).ok()?.record(image)
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        // Mostly there is none, and then nothing need be read.
        if self.store.has(key) { self.store.get(key) } else { None }
    }
}

impl Client {
    /// What the store has, if this client may use it.
    fn memory(&self) -> Option<&Arc<Kept>> {
        self.0.kept.as_ref().filter(|_| !self.1)
    }

    fn old(&self) -> Option<&Arc<Kept>> {
        self.memory().filter(|kept| !kept.store.is_empty())
    }

    /// What the store has under a key.
    pub(crate) async fn kept(&self, key: &str) -> Option<Vec<u8>> {
        let (kept, key) = (Arc::clone(self.old()?), key.to_owned());
        tokio::task::spawn_blocking(move || kept.get(&key)).await.ok()?
    }

    /// Whether an unfinished run had learnt anything.
    pub(crate) fn remembers(&self) -> bool {
        self.old().is_some()
    }

    /// What an unfinished run had learnt of some images; an entry for each.
    pub(crate) async fn recall(&self, images: &[Image], fields: &Fields) -> Vec<Had> {
        let Some(kept) = self.old() else { return vec![Had::default(); images.len()] };
        let (kept, asked, fields) = (Arc::clone(kept), images.to_vec(), fields.clone());
        let recalled = tokio::task::spawn_blocking(move || kept.recall(&asked, &fields)).await;
        recalled.unwrap_or_else(|_| vec![Had::default(); images.len()])
    }

    /// Whether an unfinished run asked for a batch that begins with this image: cut the same way, it is answered
    /// from the store, whatever has come before it since.
    pub(crate) fn began_batch_with(&self, image: &Image) -> bool {
        let begins = |kept: &Arc<Kept>| {
            let lists = kept.lists.lock().unwrap_or_else(PoisonError::into_inner);
            lists.iter().any(|fields| kept.store.has(&format!("batch {fields} {}", image.img_id)))
        };
        self.old().is_some_and(begins)
    }

    /// Why an image or a sequence is gone, if an unfinished run had learnt that.
    pub(crate) async fn known_gone(&self, class: Class, id: &str) -> Option<String> {
        String::from_utf8(self.kept(&self.gone_key(class, id)?).await?).ok()
    }

    fn gone_key(&self, class: Class, id: &str) -> Option<String> {
        let thing = if class == Class::Search { "sequence" } else { "image" };
        self.memory().map(|kept| format!("gone {} {thing} {id}", kept.doubts))
    }

    /// Sequences are asked for by searches, images as entities.
    fn latest(&self, class: Class) -> &Gone {
        if class == Class::Search { &self.0.gone_sequences } else { &self.0.gone_images }
    }

    /// Takes note of images or sequences that are there.
    pub(crate) fn found(&self, class: Class, count: usize) {
        self.latest(class).found(count);
    }

    /// Takes note of the error that its subject is gone and gives it back; where nearly all are said to be gone, the
    /// error is that this is not believed, and none of it is kept.
    pub(crate) async fn gone_or_doubt(&self, class: Class, error: Error) -> Error {
        if let Err(doubt) = self.count_gone(class).await {
            return doubt;
        }
        let why = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
        let Some(key) = error.subject().and_then(|id| self.gone_key(class, id)) else { return error };
        self.keep(Keeping::new(key, crate::text::redact(&why).into_bytes().into()))
            .await
            .err()
            .unwrap_or(error)
    }

    /// Takes note of one that is gone; an error where nearly all are said to be, and that is not believed.
    pub(crate) async fn count_gone(&self, class: Class) -> Result<()> {
        match self.latest(class).gone() {
            Err(doubt) if !self.0.trust_gone => self.doubt().await.and(Err(doubt)),
            _ => Ok(()),
        }
    }

    /// At the end of a run over images or sequences: whether what was said to be gone can be believed.
    pub(crate) async fn believe_gone(&self, class: Class) -> Result<()> {
        match self.latest(class).end() {
            Err(doubt) if !self.0.trust_gone => self.doubt().await.and(Err(doubt)),
            _ => Ok(()),
        }
    }

    async fn doubt(&self) -> Result<()> {
        let Some(kept) = self.memory() else { return Ok(()) };
        let number = (kept.doubts + 1).to_string();
        self.keep(Keeping::new("doubts".to_owned(), number.into_bytes().into())).await
    }

    /// Puts an answer into the store; when this is over, a kill can't take it away.
    pub(crate) async fn keep(&self, keeping: Keeping) -> Result<()> {
        let Some(kept) = self.memory() else { return Ok(()) };
        // Whatever a server may echo, the token goes into no file.
        if self.0.token.as_ref().is_some_and(|token| token.is_in(&keeping.body)) {
            return Ok(());
        }
        if keeping.body.len() <= AT_ONCE {
            return kept.store.put(&keeping.key, &[&keeping.head, &keeping.body]);
        }
        let store = kept.store.clone();
        let put =
            tokio::task::spawn_blocking(move || store.put(&keeping.key, &[&keeping.head, &keeping.body]))
                .await;
        put.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Io, "keep an answer").with_source(panic.to_string()))
        })
    }

    /// Notes a list of fields, so that later runs find the answers that have them.
    pub(crate) fn note_fields(&self, fields: &Fields) -> Result<()> {
        self.memory().map_or(Ok(()), |kept| kept.note(fields))
    }
}

impl Metadata {
    /// Takes the values of some fields from another record of the same image.
    fn take_from(&mut self, other: &Self, fields: &Fields) {
        for column in Self::COLUMNS
            .iter()
            .filter(|column| column.field.is_some_and(|field| fields.names().contains(&field)))
        {
            // It comes from a record, so it is a value that a record can hold.
            (column.set)(self, (column.get)(other)).ok();
        }
    }
}
