//! What the API knows of images: a batch, or one.

use std::borrow::Cow;

use super::kept::{Had, Keeping};
use super::send::Ask;
use super::wire::{Batch, Single};
use super::{Class, Client, MAX_BATCH, below, json};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, Metadata};
use crate::observe::Event;
use crate::record::Fields;

impl Client {
    /// What the API knows of some images, at most [`MAX_BATCH`]: `None` for each that the answer lacks.
    pub async fn images(&self, images: &[Image], fields: &Fields) -> Result<Vec<Option<Metadata>>> {
        if images.len() > MAX_BATCH {
            let why = format!("{} are more than {MAX_BATCH} at a time", images.len());
            return Err(Error::new(ErrorKind::Usage, "fetch metadata of images").because(why));
        }
        // A table may name an image twice; one answer serves both rows.
        let mut each: Vec<Image> = Vec::with_capacity(images.len());
        for image in images {
            if !each.iter().any(|other| other.img_id == image.img_id) {
                each.push(image.clone());
            }
        }
        let mut found = if self.remembers() || each.is_empty() {
            self.recall_or_ask(&each, fields).await?
        } else {
            self.ask_batch(each.clone(), fields.clone()).await?
        };
        self.found(Class::Entity, found.iter().flatten().count());
        if each.len() < images.len() {
            found = images.iter().map(|image| record_of(image, &each, &found)).collect();
        }
        Ok(found)
    }

    /// Asks only for what an unfinished run had not learnt.
    async fn recall_or_ask(&self, images: &[Image], fields: &Fields) -> Result<Vec<Option<Metadata>>> {
        let (mut had, wanted) = (self.recall(images, fields).await, fields.bits());
        if had.iter().any(|had| had.lacks(wanted) != Some(wanted)) {
            self.tell(&Event::Stored { class: Class::Entity });
        }
        while let Some(lacking) = had.iter().find_map(|had| had.lacks(wanted)) {
            let asked: Vec<usize> =
                (0..had.len()).filter(|at| had[*at].lacks(wanted) == Some(lacking)).collect();
            let images: Vec<Image> = asked.iter().map(|at| images[*at].clone()).collect();
            let lacking = fields.without(!lacking);
            let found = self.ask_batch(images, lacking.clone()).await?;
            for (at, answer) in asked.into_iter().zip(found) {
                had[at].answered(answer, &lacking);
            }
        }
        Ok(had.into_iter().map(|had| had.record).collect())
    }

    /// Asks for images of which nothing is known yet.
    async fn ask_batch(&self, images: Vec<Image>, fields: Fields) -> Result<Vec<Option<Metadata>>> {
        let ids: Vec<&str> = images.iter().map(|image| image.img_id.as_str()).collect();
        let url = below(&self.0.graph_url, &format!("/?ids={}&fields={}", ids.join(","), asked(&fields)))?;
        let subject = match ids[..] {
            [only] => only.to_owned(),
            _ => format!("{} and {} more", ids.first().unwrap_or(&"none"), ids.len().saturating_sub(1)),
        };
        self.note_fields(&fields)?;
        let ask = Ask { class: Class::Entity, url, doing: "fetch metadata of images", subject };
        self.ask(ask, move |body| {
            let mut batch: Batch = json(&body)?;
            let ids: Vec<&str> = images.iter().map(|image| image.img_id.as_str()).collect();
            let keeping = Keeping::batch(&fields, &ids, body);
            let found = images.iter().map(|image| batch.take(image)).collect();
            Ok((found, Some(keeping)))
        })
        .await
    }

    /// What the API knows of one image.
    pub async fn image(&self, image: &Image, fields: &Fields) -> Result<Metadata> {
        const DOING: &str = "fetch metadata of image";
        let [mut had] =
            <[Had; 1]>::try_from(self.recall(std::slice::from_ref(image), fields).await).unwrap_or_default();
        if had.record.is_none()
            && let Some(why) = self.known_gone(Class::Entity, image.img_id.as_str()).await
        {
            self.tell(&Event::Stored { class: Class::Entity });
            let error = Error::new(ErrorKind::Gone, DOING).subject(image.img_id.as_str()).because(why);
            return Err(self.gone_or_doubt(Class::Entity, error).await);
        }
        let lacking = if had.record.is_none() { Some(fields.bits()) } else { had.lacks(fields.bits()) };
        if let Some(lacking) = lacking {
            let lacking = fields.without(!lacking);
            let url = below(&self.0.graph_url, &format!("/{}?fields={}", image.img_id, asked(&lacking)))?;
            self.note_fields(&lacking)?;
            let ask = Ask { class: Class::Entity, url, doing: DOING, subject: image.img_id.to_string() };
            let answered = self.ask_single(ask, image.clone(), lacking.clone()).await;
            let found = match answered {
                Err(error) if error.kind() == ErrorKind::Gone => {
                    return Err(self
                        .gone_or_doubt(Class::Entity, error.subject(image.img_id.as_str()))
                        .await);
                }
                answered => answered?,
            };
            had.answered(Some(found), &lacking);
        } else {
            self.tell(&Event::Stored { class: Class::Entity });
        }
        self.found(Class::Entity, 1);
        had.record.ok_or_else(|| Error::new(ErrorKind::Malformed, DOING).subject(image.img_id.as_str()))
    }

    async fn ask_single(&self, ask: Ask, image: Image, fields: Fields) -> Result<Metadata> {
        self.ask(ask, move |body| {
            let found: Single = json(&body)?;
            let found = found.record(&image).ok_or_else(|| {
                Error::new(ErrorKind::Malformed, "")
                    .because("the answer is not about this image")
                    .answered(200)
            })?;
            Ok((found, Some(Keeping::single(&fields, &image, body))))
        })
        .await
    }
}

/// The record for one of the rows that name an image.
fn record_of(row: &Image, images: &[Image], found: &[Option<Metadata>]) -> Option<Metadata> {
    let at = images.iter().position(|image| image.img_id == row.img_id)?;
    found[at].clone().map(|record| Metadata { seq_id: row.seq_id.clone(), ..record })
}

/// The `fields=` of a request; the id comes always.
fn asked(fields: &Fields) -> Cow<'static, str> {
    if fields.names().is_empty() { Cow::Borrowed("id") } else { Cow::Owned(fields.to_string()) }
}
