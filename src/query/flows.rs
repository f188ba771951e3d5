//! The flows of a query.

use super::{Query, open_features, open_images, open_sequences};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::model::{Fields, Image, MapFeature, Metadata, Sequence, SequenceId};
use crate::observe::Step;
use crate::places::{NOMINATIM_URL, Place, PlaceSearch};
use crate::sources::{IdCheck, TableSource, TileSource, UserSource};
use crate::stages::{FetchFeatures, FetchMetadata, ListFeatureImages, ListImages};

/// Images in a tile, estimated low: a tile has about ten sequences of a hundred images. Decides how many tiles a limit
/// needs in flight.
const MIN_IMAGES_PER_TILE: u64 = 20;

impl Query {
    /// The sequences of the query, each once, in a deterministic order.
    ///
    /// If an area and a user are given, one request looks up the id of the user; nothing else is requested before the
    /// flow is polled. The flow reports to the observer of the client, and does not filter single images.
    pub async fn sequences(&self, client: &Client) -> Result<Flow<Sequence>> {
        self.check()?;
        if self.starts_from_images() {
            return Err(Error::new(ErrorKind::Usage, "list the sequences")
                .with_subject(if self.images.is_some() { "images" } else { "features" })
                .with_source("a query that starts from images lists no sequences"));
        }
        let flow = match &self.sequences {
            Some(list) => Flow::from(open_sequences(list, "sequences")?.only(&["seq_id"])),
            None => self.source(client).await?,
        };
        Ok(flow.observe(Step::SEQUENCES, client.shared_observer()))
    }

    /// The images of the query, in the order of their sequences and of their capture; from map features, in the order of
    /// the features, each once and without its sequence.
    ///
    /// Filters need metadata, so this flow applies none; it applies the limit if no filter is set.
    pub async fn images(&self, client: &Client) -> Result<Flow<Image>> {
        self.check()?;
        let observer = client.shared_observer();
        let selection = self.selection()?;
        if let Some(list) = &self.images {
            let source = open_images(list, "images")?.only(&["seq_id"]).on_rounded_ids(IdCheck::default());
            let flow = Flow::from(source).then(map(to_image));
            return Ok(selection.apply_before_metadata(flow, &observer));
        }
        if let Some(table) = &self.features {
            let flow = images_of_features(client, open_features(table)?);
            return Ok(selection.apply_before_metadata(flow, &observer).observe(Step::IMAGES, observer));
        }
        let list = self.list_images(client);
        let flow = self.sequences(client).await?.observe_input(Step::IMAGES, client.shared_observer());
        let flow = selection.apply_before_metadata(flow.then(list), &observer);
        Ok(flow.observe(Step::IMAGES, observer))
    }

    /// The images of the query that pass its filters, with their metadata.
    ///
    /// Besides the fields of the query, the records contain the fields that the filters and the geometry need.
    pub async fn metadata(&self, client: &Client) -> Result<Flow<Metadata>> {
        let mut fields = self.request_fields()?;
        if self.starts_from_images() {
            fields = fields.with("sequence")?;
        }
        let observer = client.shared_observer();
        let fetch = FetchMetadata::new(client).fields(&fields).batch_size(self.batch_size);
        let images = self.images(client).await?.observe_input(Step::METADATA, client.shared_observer());
        let flow = images.then(fetch);
        let flow = if self.starts_from_images() { flow.then(map(fill_sequence)) } else { flow };
        Ok(self.selection()?.apply_after_metadata(flow, &observer).observe(Step::METADATA, observer))
    }

    /// The fields to request: those of the query, of its filters and of its geometry.
    pub fn request_fields(&self) -> Result<Fields> {
        let more = self.geometry.map_or(&[][..], |choice| choice.fields());
        let fields = more.iter().try_fold(self.fields.clone(), |fields, field| fields.with(field))?;
        self.selection()?.request_fields(fields)
    }

    /// The sequences of an area or a user, without an observer.
    pub async fn source(&self, client: &Client) -> Result<Flow<Sequence>> {
        let Some(name) = &self.user else { return Ok(Flow::from(self.tiles(client)?)) };
        if self.is_user_alone() {
            let source = UserSource::named(client, name);
            return Ok(Flow::from(match self.dates()? {
                Some(dates) => source.captured(dates),
                None => source,
            }));
        }
        // Tiles contain ids and no names.
        let tiles = self.tiles(client)?;
        Ok(Flow::from(tiles.owned_by(client.user_id(name).await?)))
    }

    /// The walk over the tiles of the area, for any owner if the query names a user. Without an area it is a usage
    /// error.
    pub fn tiles(&self, client: &Client) -> Result<TileSource> {
        let area = self.selected_area()?.ok_or_else(Self::missing_area)?;
        let mut source = TileSource::inside(client, area).zooms(self.min_zoom, self.max_zoom);
        source = self.org_id.iter().fold(source, |source, owner| source.owned_by(owner.clone()));
        source = self.exclude_owner.iter().fold(source, |source, owner| source.not_owned_by(owner.clone()));
        if let Some(dates) = self.dates()? {
            source = source.captured(dates);
        }
        if let Some(is_pano) = self.panoramas() {
            source = source.panoramas(is_pano);
        }
        if let Some(limit) = self.limit {
            source = source.max_in_flight(usize::try_from(limit / MIN_IMAGES_PER_TILE).unwrap_or(usize::MAX));
        }
        Ok(match (self.exhaustive, self.lines_only, self.thorough) {
            (true, ..) => source.exhaustive(),
            (_, true, _) => source.lines_only(),
            (.., true) => source.thorough(),
            _ => source,
        })
    }

    /// The stage that lists the images of sequences.
    pub fn list_images(&self, client: &Client) -> ListImages {
        let list = ListImages::new(client);
        match self.limit.and_then(|limit| usize::try_from(limit).ok()) {
            Some(max) => list.max_in_flight(max),
            None => list,
        }
    }

    /// Finds the polygons of `place` with one request to its Nominatim server, and sets `area`. Does nothing without a
    /// place, and if `area` is set already.
    pub async fn find_place(&mut self) -> Result<()> {
        let Some(name) = self.place.as_deref().filter(|_| self.area.is_none()) else { return Ok(()) };
        let server = self.place_url.as_deref().unwrap_or(NOMINATIM_URL);
        let candidates = PlaceSearch::at(server)?.search(name).await?;
        let area = candidates.first().and_then(Place::area).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "find the place")
                .with_subject(name)
                .with_source("no place with this name and an area was found")
                .with_hint("check the spelling, add the country, or give the area with `bbox` or `area`")
        })?;
        self.area = Some(area);
        Ok(())
    }
}

/// A stage that maps each record.
fn map<A: Send + 'static, B: Send + 'static>(
    map: fn(A) -> B,
) -> impl FnOnce(crate::RecordStream<A>) -> crate::RecordStream<B> {
    use futures::StreamExt;
    move |records| records.map(move |record| record.map(map)).boxed()
}

/// The images that saw the map features of a table, each once and without its sequence. Features are inputs of the step
/// [`Step::IMAGES`] of the client's observer. If the table has no column `image_ids`, the ids are requested.
pub fn images_of_features(client: &Client, table: TableSource<MapFeature>) -> Flow<Image> {
    let has_images = table.header().iter().any(|name| name == "image_ids");
    let features = Flow::from(table.only(&["image_ids", "n_images"]));
    let features = features.observe_input(Step::IMAGES, client.shared_observer());
    let features = if has_images { features } else { features.then(FetchFeatures::new(client)) };
    features.then(ListFeatureImages::new(client))
}

/// The image of a row, without its metadata.
pub fn to_image(row: Metadata) -> Image {
    Image { seq_id: row.seq_id, img_id: row.img_id }
}

/// Fills in the sequence from the metadata if the list of ids did not contain it.
pub fn fill_sequence(mut image: Metadata) -> Metadata {
    if image.seq_id.as_str().is_empty()
        && let Some(sequence) = image.sequence.as_deref().and_then(|id| SequenceId::new(id).ok())
    {
        image.seq_id = sequence;
    }
    image
}
