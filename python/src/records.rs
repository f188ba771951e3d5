//! What a stream consists of: its columns, and the flow of its records.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::StreamExt;
use serde_json::{Map, Value};

use crate::errors::usage;
use streetflow::arrow::schema;
use streetflow::model::ValuePatterns;
use streetflow::sinks::Layout;
use streetflow::stages::Dates;
use streetflow::{
    Client, Detection, Error, ErrorKind, FeatureKind, FetchDetections, FetchFeatures, FieldList, Flow, Image,
    MapFeature, Metadata, Query, RecordStream, Result, Sequence,
};

/// The records of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Images,
    Sequences,
    Detections,
    Features,
}

impl Kind {
    fn parse(name: &str) -> Result<Self> {
        match name {
            "images" => Ok(Self::Images),
            "sequences" => Ok(Self::Sequences),
            "detections" => Ok(Self::Detections),
            "features" => Ok(Self::Features),
            other => Err(usage("use the kind of records", format!("there is no kind `{other}`"))),
        }
    }
}

/// A query, the kind of its records, and what only detections or map features have.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) query: Query,
    pub(crate) kind: Kind,
    options: Map<String, Value>,
}

impl Request {
    /// Reads a query, or an object with `query` and options.
    pub(crate) fn parse(text: &str, kind: &str) -> Result<Self> {
        let query = Query::from_json(text)?;
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let options = match value {
            Value::Object(object) if object.contains_key("query") => object,
            _ => Map::new(),
        };
        let request = Self { query, kind: Kind::parse(kind)?, options };
        // Invalid options are errors before the first request.
        match request.kind {
            Kind::Detections => {
                drop((request.fields::<Detection>()?, request.patterns()?));
                request.min_area()?;
                request.batch_size()?;
            }
            Kind::Features => {
                drop((request.fields_of_features()?, request.patterns()?));
                request.feature_kind()?;
                request.seen()?;
            }
            Kind::Images | Kind::Sequences => {}
        }
        Ok(request)
    }

    /// An option. A value that can't be read is an error, because without the option there would be other rows.
    fn option<'a, T>(
        &'a self,
        name: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
        why: &'static str,
    ) -> Result<Option<T>> {
        let Some(value) = self.options.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| usage("use the argument", why).with_subject(name))
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>> {
        self.option(name, Value::as_str, "it must be a text")
    }

    fn patterns(&self) -> Result<Option<ValuePatterns>> {
        self.text("values")?.map(str::parse).transpose()
    }

    fn fields<R: streetflow::Record>(&self) -> Result<FieldList<R>> {
        self.text("fields")?.map_or_else(|| Ok(FieldList::default()), str::parse)
    }

    /// The smallest area of a detection, as a fraction of the picture.
    fn min_area(&self) -> Result<Option<f64>> {
        let fraction = |value: &Value| value.as_f64().filter(|area| (0.0..=1.0).contains(area));
        self.option("min_area", fraction, "it must be a number from 0 to 1")
    }

    /// The number of images per request of detections.
    fn batch_size(&self) -> Result<Option<usize>> {
        let size =
            |value: &Value| usize::try_from(value.as_u64()?).ok().filter(|size| (1..=50).contains(size));
        self.option("batch_size", size, "it must be 1 to 50")
    }

    /// The kind of features: signs, objects, or both.
    fn feature_kind(&self) -> Result<Option<FeatureKind>> {
        self.text("kind")?.map(str::parse).transpose()
    }

    fn min_images(&self) -> Result<Option<u64>> {
        let count = |value: &Value| value.as_u64().filter(|count| *count > 0);
        self.option("min_images", count, "it must be a whole number from 1")
    }

    fn needs_details(&self) -> Result<bool> {
        let details = self.option("details", Value::as_bool, "it must be true or false")?;
        Ok(self.min_images()?.is_some() || details == Some(true))
    }

    fn fields_of_features(&self) -> Result<FieldList<MapFeature>> {
        let needs_details = self.needs_details()?;
        let details = MapFeature::DETAILS.iter().filter(|_| needs_details);
        details.into_iter().try_fold(self.fields()?, |fields, name| fields.with(name))
    }

    /// The first and the last millisecond of the period in which a feature was seen.
    fn seen(&self) -> Result<[Option<i64>; 2]> {
        let from = self.text("seen_from")?.map(Dates::first).transpose()?;
        let to = self.text("seen_to")?.map(Dates::last).transpose()?;
        Dates::new(from, to)?;
        Ok([from, to])
    }

    /// The options for tables.
    pub(crate) fn layout(&self) -> Result<Layout> {
        let layout = Layout::default().geometry(self.query.geometry.unwrap_or_default());
        Ok(match self.kind {
            Kind::Detections => layout.fields_of(&self.fields::<Detection>()?),
            Kind::Features => layout.fields_of(&self.fields_of_features()?),
            Kind::Images | Kind::Sequences => layout.fields(&self.query.fields),
        })
    }

    pub(crate) fn columns(&self) -> Result<Columns> {
        let layout = self.layout()?;
        let all = match self.kind {
            Kind::Images => schema::<Metadata>(&layout),
            Kind::Sequences => schema::<Sequence>(&layout),
            Kind::Detections => schema::<Detection>(&layout),
            Kind::Features => schema::<MapFeature>(&layout),
        };
        let names = self.query.fields.names();
        let has_point = self.query.geometry.is_some()
            || names.iter().any(|name| ["geometry", "computed_geometry"].contains(name));
        let is_kept = |name: &str| self.kind != Kind::Images || has_point || name != "geometry";
        let fields = all.fields().iter().enumerate();
        let places: Vec<_> = fields.filter(|(_, field)| is_kept(field.name())).map(|(at, _)| at).collect();
        // The places are those of the schema itself.
        let schema = all.project(&places).map_or_else(|_| Arc::clone(&all), Arc::new);
        Ok(Columns { schema, places })
    }
}

/// The columns of a stream: those of the tables of the command, without a geometry that was not asked for.
#[derive(Clone)]
pub(crate) struct Columns {
    pub(crate) schema: SchemaRef,
    /// Their places among the columns of the library.
    places: Vec<usize>,
}

impl Columns {
    pub(crate) fn project(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        batch
            .project(&self.places)
            .map_err(|error| Error::new(ErrorKind::Io, "build the record batch").with_source(error))
    }
}

/// Returns the images of a query. A place is looked up first.
pub(crate) async fn images(mut query: Query, client: Client) -> Result<Flow<Metadata>> {
    query.find_place().await?;
    query.metadata(&client).await
}

/// Returns the sequences of a query. A place is looked up first.
pub(crate) async fn sequences(mut query: Query, client: Client) -> Result<Flow<Sequence>> {
    query.find_place().await?;
    query.sequences(&client).await
}

/// Returns the detections in the images of a query.
pub(crate) async fn detections(request: Request, client: Client) -> Result<Flow<Detection>> {
    let mut fetch = FetchDetections::new(&client);
    if let Some(patterns) = request.patterns()? {
        fetch = fetch.values(&patterns);
    }
    if let Some(least) = request.min_area()? {
        fetch = fetch.min_area(least);
    }
    if let Some(size) = request.batch_size()? {
        fetch = fetch.batch_size(size);
    }
    let mut query = request.query;
    query.find_place().await?;
    let images = if filters_images(&query) {
        // The filters add the fields that they need.
        query.fields = "width".parse()?;
        query.metadata(&client).await?.then(to_images)
    } else {
        query.images(&client).await?
    };
    Ok(images.then(fetch))
}

/// Whether the query drops images by their metadata.
fn filters_images(query: &Query) -> bool {
    let has_dates = query.from.is_some() || query.to.is_some();
    has_dates
        || query.pano
        || query.flat
        || query.clip
        || !query.exclude_owner.is_empty()
        || query.needs_metadata()
}

fn to_images(records: RecordStream<Metadata>) -> RecordStream<Image> {
    let image = |row: Metadata| Image { seq_id: row.seq_id, img_id: row.img_id };
    records.map(move |row| row.map(image)).boxed()
}

/// Returns the map features in the area of a query.
pub(crate) async fn features(request: Request, client: Client) -> Result<Flow<MapFeature>> {
    let mut query = request.query.clone();
    query.find_place().await?;
    query.check()?;
    let area = query.selected_area()?.ok_or_else(|| {
        usage("find map features", "the query has no area")
            .with_hint("set `bbox`, `area`, `place` or `around`")
    })?;
    let mut source = streetflow::FeatureSource::inside(&client, area);
    if let Some(kind) = request.feature_kind()? {
        source = source.only(kind);
    }
    if query.exhaustive {
        source = source.exhaustive();
    }
    let (patterns, [from, to]) = (request.patterns()?, request.seen()?);
    let flow = Flow::from(source).filter(move |feature: &MapFeature| {
        let is_named = patterns
            .as_ref()
            .is_none_or(|patterns| feature.value.as_deref().is_some_and(|value| patterns.matches(value)));
        let since = from.is_none_or(|from| feature.last_seen_at.is_some_and(|at| at >= from));
        is_named && since && to.is_none_or(|to| feature.first_seen_at.is_some_and(|at| at <= to))
    });
    let flow = if request.needs_details()? {
        let least = request.min_images()?.unwrap_or(0);
        flow.then(FetchFeatures::new(&client)).filter(move |feature| {
            let count = feature.n_images.and_then(|count| u64::try_from(count).ok());
            least == 0 || count.is_some_and(|count| count >= least)
        })
    } else {
        flow
    };
    Ok(match query.limit {
        Some(limit) => flow.take(limit),
        None => flow,
    })
}
