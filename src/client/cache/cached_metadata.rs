//! Metadata of an image from stored responses.

use crate::client::wire::signed_url::expiry;
use crate::model::Fields;
use crate::model::Metadata;
use crate::record::Record;

/// The fields with signed URLs, which expire.
const URL_FIELDS: [&str; 6] =
    ["thumb_256_url", "thumb_1024_url", "thumb_2048_url", "thumb_original_url", "mesh", "sfm_cluster"];

/// The metadata of an image in the responses of an unfinished run.
#[derive(Default, Clone)]
pub(crate) struct CachedMetadata {
    pub(crate) record: Option<Metadata>,
    /// The fields that are known for the record, also those without a value.
    fields: u64,
    /// The fields that were requested in batches, whether or not the image was in the response.
    requested: Option<u64>,
    /// Whether the record is only from an earlier table, so that the image may be deleted.
    is_known_only: bool,
}

impl CachedMetadata {
    /// Returns which of the wanted fields a batch request could still add; `None` if there are none.
    pub(crate) fn missing_fields(&self, wanted: u64) -> Option<u64> {
        let known = if self.record.is_some() { Some(self.fields) } else { self.requested };
        match known {
            Some(known) => Some(wanted & !known).filter(|missing| *missing > 0),
            None => Some(wanted),
        }
    }

    /// Adds the result of a request that was sent just now.
    pub(crate) fn add_fresh(&mut self, result: Option<Metadata>, fields: &Fields) {
        self.mark_requested(fields);
        match result {
            Some(record) => self.add(record, fields, 0),
            // A request for the single image tells whether it was deleted.
            None if self.is_known_only => (self.record, self.requested) = (None, Some(u64::MAX)),
            // The image was deleted between two responses. The first response still counts.
            None => self.fields |= fields.bit_set(),
        }
    }

    /// Adds a record of an earlier table. Expired URLs count: a download replaces them.
    pub(crate) fn add_known(&mut self, record: Metadata, fields: &Fields) {
        self.is_known_only = self.record.is_none();
        self.add(record, fields, 0);
    }

    pub(crate) fn mark_requested(&mut self, fields: &Fields) {
        self.requested = Some(self.requested.unwrap_or_default() | fields.bit_set());
    }

    /// Adds the response to a request for `fields`, without the URLs that expire before `now`, in seconds since 1970.
    pub(crate) fn add(&mut self, response: Metadata, fields: &Fields, now: u64) {
        let is_valid = |field: &str| {
            !URL_FIELDS.contains(&field) || url_of(&response, field).is_none_or(|url| expiry(url) >= now)
        };
        let added = fields.retain(is_valid);
        match &mut self.record {
            Some(record) => record.copy_fields(&response, &added.without(self.fields)),
            None => self.record = Some(response),
        }
        self.fields |= added.bit_set();
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

impl Metadata {
    /// Copies the values of some fields from another record of the same image.
    fn copy_fields(&mut self, other: &Self, fields: &Fields) {
        let is_copied = |field: &'static str| fields.names().contains(&field);
        for column in Self::COLUMNS.iter().filter(|column| column.field.is_some_and(is_copied)) {
            // The value comes from a record, so it is valid.
            (column.set)(self, (column.get)(other)).ok();
        }
    }
}
