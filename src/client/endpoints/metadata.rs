//! What the API knows of images: a batch, or one.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::client::MAX_BATCH;
use crate::client::cache::response_cache::{Had, Keeping};
use crate::client::class::Class;
use crate::client::handle::{Client, below, host_of, json};
use crate::client::transport::retry::Patience;
use crate::client::transport::send::Ask;
use crate::client::wire::{Batch, Single, Unrequested};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, ImageId, Metadata};
use crate::observe::Event;
use crate::record::Fields;

const DOING_BATCH: &str = "fetch metadata of images";

/// What a batch request found, by image id.
#[derive(Default)]
pub(crate) struct BatchFound {
    pub(crate) records: HashMap<ImageId, Metadata>,
    /// Answers that held images which were not requested; one error an answer.
    pub(crate) unrequested: Vec<Error>,
}

impl Client {
    /// What the API knows of some images, at most [`MAX_BATCH`]: `None` for each that the answer lacks.
    ///
    /// Records are matched to images by id. Images in an answer that were not requested are left out.
    pub async fn images(&self, images: &[Image], fields: &Fields) -> Result<Vec<Option<Metadata>>> {
        let found = self.batch(images, fields, Patience::default()).await?.records;
        // A table may name an image twice, with different sequences.
        let row = |image: &Image| {
            let record = found.get(&image.img_id)?.clone();
            Some(Metadata { seq_id: image.seq_id.clone(), ..record })
        };
        Ok(images.iter().map(row).collect())
    }

    /// What the API knows of some images, at most [`MAX_BATCH`], by id; an image named twice is requested once.
    pub(crate) async fn batch(
        &self,
        images: &[Image],
        fields: &Fields,
        patience: Patience,
    ) -> Result<BatchFound> {
        if images.len() > MAX_BATCH {
            let why = format!("{} are more than {MAX_BATCH} at a time", images.len());
            return Err(Error::new(ErrorKind::Usage, DOING_BATCH).with_source(why));
        }
        let mut each: Vec<Image> = Vec::with_capacity(images.len());
        for image in images {
            if !each.iter().any(|other| other.img_id == image.img_id) {
                each.push(image.clone());
            }
        }
        if each.is_empty() {
            return Ok(BatchFound::default());
        }
        let found = if self.remembers() {
            self.recall_or_ask(each, fields, patience).await?
        } else {
            self.ask_batch(each, fields.clone(), patience).await?
        };
        self.found(Class::Entity, found.records.len());
        Ok(found)
    }

    /// Asks only for what an unfinished run had not learnt.
    async fn recall_or_ask(
        &self,
        images: Vec<Image>,
        fields: &Fields,
        patience: Patience,
    ) -> Result<BatchFound> {
        let (mut had, wanted) = (self.recall(&images, fields).await, fields.bit_set());
        if had.iter().any(|had| had.lacks(wanted) != Some(wanted)) {
            self.tell(&Event::StoreHit { class: Class::Entity });
        }
        let mut all = BatchFound::default();
        while let Some(lacking) = had.iter().find_map(|had| had.lacks(wanted)) {
            let lacks_same = |at: &usize| had[*at].lacks(wanted) == Some(lacking);
            let asked: Vec<usize> = (0..had.len()).filter(lacks_same).collect();
            let batch: Vec<Image> = asked.iter().map(|at| images[*at].clone()).collect();
            let lacking = fields.without(!lacking);
            let mut found = self.ask_batch(batch, lacking.clone(), patience).await?;
            for at in asked {
                had[at].answered(found.records.remove(&images[at].img_id), &lacking);
            }
            all.unrequested.append(&mut found.unrequested);
        }
        let known = images.into_iter().zip(had).filter_map(|(image, had)| Some((image.img_id, had.record?)));
        all.records.extend(known);
        Ok(all)
    }

    /// Asks for images of which nothing is known yet.
    async fn ask_batch(&self, images: Vec<Image>, fields: Fields, patience: Patience) -> Result<BatchFound> {
        let ids: Vec<&str> = images.iter().map(|image| image.img_id.as_str()).collect();
        let url = below(&self.0.graph_url, &format!("/?ids={}&fields={}", ids.join(","), asked(&fields)))?;
        let subject = match ids[..] {
            [only] => only.to_owned(),
            _ => format!("{} and {} more", ids.first().unwrap_or(&"none"), ids.len().saturating_sub(1)),
        };
        self.note_fields(&fields)?;
        let ask = Ask { class: Class::Entity, url, doing: DOING_BATCH, subject };
        self.ask_patiently(ask, patience, move |body| {
            let mut batch: Batch = json(&body)?;
            let ids: Vec<&str> = images.iter().map(|image| image.img_id.as_str()).collect();
            let keeping = Keeping::batch(&fields, &ids, body);
            let found = |image: &Image| Some((image.img_id.clone(), batch.take(image)?));
            let records = images.iter().filter_map(found).collect();
            let unrequested = batch.unrequested().map(not_requested).into_iter().collect();
            Ok((BatchFound { records, unrequested }, Some(keeping)))
        })
        .await
    }

    /// What the API knows of one image.
    pub async fn image(&self, image: &Image, fields: &Fields) -> Result<Metadata> {
        self.single(image, fields, Patience::default()).await
    }

    /// The same with another patience.
    pub(crate) async fn single(
        &self,
        image: &Image,
        fields: &Fields,
        patience: Patience,
    ) -> Result<Metadata> {
        const DOING: &str = "fetch metadata of image";
        let [mut had] =
            <[Had; 1]>::try_from(self.recall(std::slice::from_ref(image), fields).await).unwrap_or_default();
        if had.record.is_none()
            && let Some(why) = self.known_gone(Class::Entity, image.img_id.as_str()).await
        {
            self.tell(&Event::StoreHit { class: Class::Entity });
            let error =
                Error::new(ErrorKind::Gone, DOING).with_subject(image.img_id.as_str()).with_source(why);
            return Err(self.gone_or_doubt(Class::Entity, error).await);
        }
        let lacking = if had.record.is_none() { Some(fields.bit_set()) } else { had.lacks(fields.bit_set()) };
        if let Some(lacking) = lacking {
            let lacking = fields.without(!lacking);
            let url = below(&self.0.graph_url, &format!("/{}?fields={}", image.img_id, asked(&lacking)))?;
            self.note_fields(&lacking)?;
            let ask = Ask { class: Class::Entity, url, doing: DOING, subject: image.img_id.to_string() };
            let answered = self.ask_single(ask, image.clone(), lacking.clone(), patience).await;
            let found = match answered {
                Err(error) if error.kind() == ErrorKind::Gone => {
                    return Err(self
                        .gone_or_doubt(Class::Entity, error.with_subject(image.img_id.as_str()))
                        .await);
                }
                answered => answered?,
            };
            had.answered(Some(found), &lacking);
        } else {
            self.tell(&Event::StoreHit { class: Class::Entity });
        }
        self.found(Class::Entity, 1);
        had.record.ok_or_else(|| Error::new(ErrorKind::Malformed, DOING).with_subject(image.img_id.as_str()))
    }

    async fn ask_single(
        &self,
        ask: Ask,
        image: Image,
        fields: Fields,
        patience: Patience,
    ) -> Result<Metadata> {
        let patience = Patience { is_single: true, ..patience };
        self.ask_patiently(ask, patience, move |body| {
            let found: Single = json(&body)?;
            let found = found.record(&image).ok_or_else(|| {
                Error::new(ErrorKind::Malformed, "")
                    .with_source("the answer is not about this image")
                    .with_status(200)
            })?;
            Ok((found, Some(Keeping::single(&fields, &image, body))))
        })
        .await
    }
}

impl Client {
    /// Good answers of the host of a class so far.
    pub(crate) fn answers(&self, class: Class) -> u64 {
        self.0.gate.answers(host_of(class))
    }

    /// Whether most of what is asked of the host of a class is answered.
    pub(crate) fn is_host_healthy(&self, class: Class) -> bool {
        self.0.gate.is_healthy(host_of(class))
    }

    /// How often a request is sent at the most.
    pub(crate) fn max_attempts(&self) -> u32 {
        self.0.retry.attempts
    }
}

/// The error that an answer holds images which were not requested. They belong to no row, so they are used for none.
fn not_requested(Unrequested { first, count }: Unrequested) -> Error {
    let error = Error::new(ErrorKind::Malformed, "use an image that was not requested").with_status(200);
    let others = if count > 1 { format!(" and {} others", count - 1) } else { String::new() };
    match first {
        Some(id) => error.with_subject(id.as_str()).with_source(format!(
            "the answer to a batch request holds this image{others}, though no row names it"
        )),
        None => error
            .with_source(format!("the answer to a batch request holds {count} keys that are no image ids")),
    }
}

/// The `fields=` of a request; the id comes always.
fn asked(fields: &Fields) -> Cow<'static, str> {
    if fields.names().is_empty() { Cow::Borrowed("id") } else { Cow::Owned(fields.to_string()) }
}
