//! Map features by id, in batches or one at a time.

use std::collections::HashMap;

use super::url::{batch_request, endpoint_url};
use crate::client::cache::response_cache::CacheEntry;
use crate::client::handle::Client;
use crate::client::transport::request::ApiRequest;
use crate::client::transport::retry::RetryOverride;
use crate::client::wire::batch::MAX_BATCH;
use crate::client::wire::feature::{FeatureBatch, WireFeature};
use crate::client::wire::lenient::Lenient;
use crate::client::wire::parse_json;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{FeatureId, MapFeature};
use crate::observe::{Class, Event};

const DOING_BATCH: &str = "fetch map features";
const DOING_SINGLE: &str = "fetch map feature";

/// The fields of a request. The ids of images come without their coordinates.
const FIELDS: &str =
    "object_value,object_type,geometry,aligned_direction,first_seen_at,last_seen_at,images{id}";

/// The records of a batch by id.
pub(crate) type FoundFeatures = HashMap<FeatureId, MapFeature>;

impl Client {
    /// Fetches at most [`MAX_BATCH`] map features in one request. Records are matched by id; some may be absent.
    pub(crate) async fn features(&self, ids: &[FeatureId], retry: RetryOverride) -> Result<FoundFeatures> {
        if ids.len() > MAX_BATCH {
            let why = format!("{} map features are more than {MAX_BATCH}, the limit of a request", ids.len());
            return Err(Error::new(ErrorKind::Usage, DOING_BATCH).with_source(why));
        }
        let (mut found, requested) = self.stored_features(ids).await;
        let rest: Vec<_> = ids.iter().filter(|id| !requested.contains(id)).cloned().collect();
        if !rest.is_empty() {
            found.extend(self.fetch_features(rest, retry).await?);
        }
        self.record_existing(Class::Entity, found.len());
        Ok(found)
    }

    /// Returns the stored records of features, and the ids that stored responses are about.
    async fn stored_features(&self, ids: &[FeatureId]) -> (FoundFeatures, Vec<FeatureId>) {
        let (mut found, mut requested) = (FoundFeatures::new(), Vec::new());
        if !self.has_stored_responses() {
            return (found, requested);
        }
        for first in ids {
            if requested.contains(first) {
                continue;
            }
            let Some(entry) = self.stored(&batch_key(first)).await else { continue };
            let Some((of, mut batch)) = read_entry(&entry) else { continue };
            for id in ids.iter().filter(|id| of.split(',').any(|one| one == id.as_str())) {
                found.extend(batch.take(id).map(|record| (id.clone(), record)));
                requested.push(id.clone());
            }
            self.emit(&Event::StoreHit { class: Class::Entity });
        }
        (found, requested)
    }

    async fn fetch_features(&self, ids: Vec<FeatureId>, retry: RetryOverride) -> Result<FoundFeatures> {
        let texts: Vec<_> = ids.iter().map(FeatureId::as_str).collect();
        let request = batch_request(&self.shared.graph_url, &texts, FIELDS, DOING_BATCH)?;
        let list = texts.join(",");
        self.fetch(request, retry, move |body| {
            let mut batch: FeatureBatch = parse_json(&body)?;
            let entry = [list.as_bytes(), b"\n", &body].concat();
            let found = ids.iter().filter_map(|id| Some((id.clone(), batch.take(id)?))).collect();
            Ok((found, Some(CacheEntry::new(batch_key(&ids[0]), entry))))
        })
        .await
    }

    /// Fetches one map feature. One that does not exist is an error of kind [`ErrorKind::Gone`].
    pub(crate) async fn feature(&self, id: &FeatureId, retry: RetryOverride) -> Result<MapFeature> {
        if let Some(why) = self.stored_gone(Class::Entity, id.as_str()).await {
            self.emit(&Event::StoreHit { class: Class::Entity });
            let error = Error::new(ErrorKind::Gone, DOING_SINGLE).with_subject(id.as_str()).with_source(why);
            return Err(self.record_missing(Class::Entity, error).await);
        }
        if let Some(body) = self.stored(&single_key(id)).await
            && let Ok(record) = read_single(&body, id)
        {
            self.emit(&Event::StoreHit { class: Class::Entity });
            self.record_existing(Class::Entity, 1);
            return Ok(record);
        }
        let url = endpoint_url(&self.shared.graph_url, &format!("/{id}?fields={FIELDS}"))?;
        let request = ApiRequest { class: Class::Entity, url, doing: DOING_SINGLE, subject: id.to_string() };
        let retry = RetryOverride { is_single: true, ..retry };
        let wanted = id.clone();
        let fetched = self.fetch(request, retry, move |body| {
            let record = read_single(&body, &wanted)?;
            Ok((record, Some(CacheEntry::new(single_key(&wanted), body))))
        });
        match fetched.await {
            Err(error) if error.kind() == ErrorKind::Gone => {
                Err(self.record_missing(Class::Entity, error.with_subject(id.as_str())).await)
            }
            Ok(record) => {
                self.record_existing(Class::Entity, 1);
                Ok(record)
            }
            failed => failed,
        }
    }
}

fn batch_key(first: &FeatureId) -> String {
    format!("features {first}")
}

fn single_key(id: &FeatureId) -> String {
    format!("feature {id}")
}

/// Returns the requested ids and the response of a stored batch.
fn read_entry(entry: &[u8]) -> Option<(String, FeatureBatch)> {
    let ids = entry.split(|byte| *byte == b'\n').next()?;
    let batch = serde_json::from_slice(entry.get(ids.len() + 1..)?).ok()?;
    Some((String::from_utf8(ids.to_vec()).ok()?, batch))
}

fn read_single(body: &[u8], id: &FeatureId) -> Result<MapFeature> {
    let Lenient(found) = parse_json::<Lenient<Box<WireFeature>>>(body)?;
    found.and_then(|found| found.into_record(id)).ok_or_else(|| {
        Error::new(ErrorKind::Malformed, "")
            .with_source("the response is about another map feature")
            .with_status(200)
    })
}
