//! Filters on images.

mod heading;

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;

pub use self::heading::Heading;
use super::Stage;
use crate::dates::Dates;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::{Area, LonLat};
use crate::model::{Metadata, OwnerId, SequenceId};
use crate::observe::{Counts, Event, Observer, Step};
use crate::sources::RecordStream;

/// A stage that passes the images that match, and drops the others.
///
/// An image without the value that the filter checks is dropped. Errors pass. Filters follow
/// [`FetchMetadata`](crate::FetchMetadata), which has to fetch their
/// [`required_fields`](Filter::required_fields).
///
/// ```
/// use streetflow::stages::Filter;
/// use streetflow::{Client, CsvSink, FetchMetadata, Fields, Flow, ListImages, TileSource};
///
/// # async fn crawl(client: Client) -> streetflow::Result<()> {
/// let filter = Filter::min_quality(0.6)?;
/// let fields: Fields = "captured_at,thumb_1024_url".parse()?;
/// Flow::from(TileSource::within(&client, "33.30,35.13,33.40,35.20".parse::<streetflow::Bbox>()?))
///     .then(ListImages::new(&client))
///     .then(FetchMetadata::new(&client).fields(&filter.request_fields(&fields)?))
///     .then(filter)
///     .into_sink(CsvSink::create("good.csv").fields(&fields))
///     .await?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct Filter {
    name: &'static str,
    fields: &'static [&'static str],
    keep: Box<dyn FnMut(&Metadata) -> bool + Send>,
    observed: Option<(Step, Arc<dyn Observer>)>,
}

impl Filter {
    /// Creates a filter from a closure. `name` is its name in counts, `fields` are the fields that it checks.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let wide = Filter::new("wide", &["width"], |image| image.width >= Some(2000));
    /// let images = [1920, 2560].map(|width| Ok(Metadata { width: Some(width), ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(wide).try_collect().await?;
    /// assert_eq!(passed[0].width, Some(2560));
    /// # assert_eq!(passed.len(), 1); Ok(()) }
    /// ```
    pub fn new(
        name: &'static str,
        fields: &'static [&'static str],
        keep: impl FnMut(&Metadata) -> bool + Send + 'static,
    ) -> Self {
        Self { name, fields, keep: Box::new(keep), observed: None }
    }

    /// Passes images captured within a time range.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::{Dates, Filter}};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let since_2024 = Filter::captured(Dates::parse(Some("2024-01-01"), None)?);
    /// let images = [1_500_000_000_000, 1_710_000_000_000]
    ///     .map(|at| Ok(Metadata { captured_at: Some(at), ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(since_2024).try_collect().await?;
    /// assert_eq!(passed.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn captured(dates: Dates) -> Self {
        Self::new("dates", &["captured_at"], move |image| {
            image.captured_at.is_some_and(|at| dates.contains(at))
        })
    }

    /// Passes panoramas only.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = [Some(true), Some(false), None].map(|is_pano| Ok(Metadata { is_pano, ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(Filter::panoramas()).try_collect().await?;
    /// assert_eq!(passed.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn panoramas() -> Self {
        Self::new("pano", &["is_pano"], |image| image.is_pano == Some(true))
    }

    /// Passes images that are not panoramas.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = [Some(true), Some(false), None].map(|is_pano| Ok(Metadata { is_pano, ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(Filter::flat()).try_collect().await?;
    /// assert_eq!(passed[0].is_pano, Some(false));
    /// # Ok(()) }
    /// ```
    pub fn flat() -> Self {
        Self::new("flat", &["is_pano"], |image| image.is_pano == Some(false))
    }

    /// Passes images with at least this quality score, 0 to 1.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = [0.3, 0.8].map(|score| Ok(Metadata { quality_score: Some(score), ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(Filter::min_quality(0.6)?).try_collect().await?;
    /// assert_eq!(passed[0].quality_score, Some(0.8));
    /// assert!(Filter::min_quality(60.0).is_err());
    /// # Ok(()) }
    /// ```
    pub fn min_quality(least: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&least) {
            return Err(Error::new(ErrorKind::Usage, "use the quality score")
                .with_subject(least.to_string())
                .with_source("the score must be between 0 and 1"));
        }
        Ok(Self::new("min_quality", &["quality_score"], move |image| {
            image.quality_score.is_some_and(|score| score >= least)
        }))
    }

    /// Passes images facing a range of headings, as recorded by the device.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = [5.0, 180.0, 355.0].map(|angle| Ok(Metadata { compass_angle: Some(angle), ..Metadata::default() }));
    /// let passed: Vec<_> =
    ///     Flow::from(stream::iter(images)).then(Filter::heading("350..10".parse()?)).try_collect().await?;
    /// assert_eq!(passed.len(), 2);
    /// # Ok(()) }
    /// ```
    pub fn heading(heading: Heading) -> Self {
        Self::new("heading", &["compass_angle"], move |image| {
            image.compass_angle.is_some_and(|degrees| heading.contains(degrees))
        })
    }

    /// Passes images of cameras of these makers. Case and surrounding blanks are ignored.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = ["GoPro", "Apple"].map(|make| Ok(Metadata { make: Some(make.into()), ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(Filter::make(["gopro"])).try_collect().await?;
    /// assert_eq!(passed[0].make.as_deref(), Some("GoPro"));
    /// # Ok(()) }
    /// ```
    pub fn make(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = lowered(names);
        Self::new("make", &["make"], move |image| is_one_of(image.make.as_deref(), &names))
    }

    /// Passes images of cameras of these models. Case and surrounding blanks are ignored.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = ["HERO11 Black ", "iPhone 13"]
    ///     .map(|model| Ok(Metadata { model: Some(model.into()), ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(Filter::model(["hero11 black"])).try_collect().await?;
    /// assert_eq!(passed.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn model(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = lowered(names);
        Self::new("model", &["model"], move |image| is_one_of(image.model.as_deref(), &names))
    }

    /// Passes images inside an area, by the coordinates that the device recorded.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, LonLat, Metadata, geo::Area, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let around = Area::around(LonLat { lon: 33.36, lat: 35.17 }, 100.0)?;
    /// let images = [35.1701, 35.18].map(|lat| LonLat { lon: 33.36, lat });
    /// let images = images.map(|point| Ok(Metadata { geometry: Some(point), ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(Filter::inside(around)).try_collect().await?;
    /// assert_eq!(passed.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn inside(area: impl Into<Area>) -> Self {
        let area = area.into();
        Self::new("clip", &["geometry"], move |image| {
            image.geometry.is_some_and(|point| area.contains(point))
        })
    }

    /// Drops images of these organizations and users. Images without an owner pass.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, OwnerId, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = ["7", "8"].map(|id| Ok(Metadata { creator_id: Some(id.into()), ..Metadata::default() }));
    /// let others = Filter::not_owned_by([OwnerId::new("7")?]);
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(others).try_collect().await?;
    /// assert_eq!(passed[0].creator_id.as_deref(), Some("8"));
    /// # Ok(()) }
    /// ```
    pub fn not_owned_by(owners: impl IntoIterator<Item = OwnerId>) -> Self {
        let owners: Vec<_> = owners.into_iter().collect();
        Self::new("exclude_owner", &["creator", "organization"], move |image| {
            let ids = [&image.creator_id, &image.organization_id];
            ids.into_iter().flatten().all(|id| owners.iter().all(|owner| owner.as_str() != id.as_str()))
        })
    }

    /// Thins out sequences to one image every `metres` metres.
    ///
    /// Passes an image if it is at least this far from the last image of its sequence that passed. Uses the recorded
    /// coordinates, and memory for one point per sequence.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, LonLat, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// // A metre and a tenth from one to the next.
    /// let images = (0..100).map(|step| LonLat { lon: 33.36, lat: 35.17 + f64::from(step) * 1e-5 });
    /// let images = images.map(|point| Ok(Metadata { geometry: Some(point), ..Metadata::default() }));
    /// let passed: Vec<_> = Flow::from(stream::iter(images)).then(Filter::every(10.5)?).try_collect().await?;
    /// assert_eq!(passed.len(), 10);
    /// # Ok(()) }
    /// ```
    pub fn every(metres: f64) -> Result<Self> {
        if !(metres.is_finite() && metres > 0.0) {
            return Err(Error::new(ErrorKind::Usage, "use the distance")
                .with_subject(metres.to_string())
                .with_source("it must be a number of metres above 0"));
        }
        let mut last: HashMap<SequenceId, LonLat> = HashMap::new();
        Ok(Self::new("every", &["geometry"], move |image| {
            let Some(point) = image.geometry else { return false };
            match last.get_mut(&image.seq_id) {
                Some(last) if last.metres_to(point) < metres => return false,
                Some(last) => *last = point,
                None => drop(last.insert(image.seq_id.clone(), point)),
            }
            true
        }))
    }

    /// The filter's name in counts.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The API fields that the filter checks.
    pub fn required_fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// The fields to fetch: those of `base`, and those that the filter checks.
    pub fn request_fields(&self, base: &crate::Fields) -> Result<crate::Fields> {
        self.fields.iter().try_fold(base.clone(), |fields, field| fields.with(field))
    }

    /// Reports each dropped image as [`Event::Filtered`] of a step.
    pub fn observe(mut self, step: Step, observer: Arc<dyn Observer>) -> Self {
        self.observed = Some((step, observer));
        self
    }

    fn passes(&mut self, image: &Metadata) -> bool {
        let keep = (self.keep)(image);
        if !keep && let Some((step, observer)) = &self.observed {
            observer.on_event(&Event::Filtered { step: *step, by: self.name });
        }
        keep
    }
}

impl Stage<Metadata> for Filter {
    type Out = Metadata;

    fn apply(self, images: RecordStream<Metadata>) -> RecordStream<Metadata> {
        self.apply_counted(images, &Counts::default())
    }

    fn apply_counted(mut self, images: RecordStream<Metadata>, counts: &Counts) -> RecordStream<Metadata> {
        let counts = counts.clone();
        let passes = move |item: &Result<Metadata>| {
            let passes = item.as_ref().map_or(true, |image| self.passes(image));
            if !passes {
                counts.add_filtered();
            }
            std::future::ready(passes)
        };
        images.filter(passes).boxed()
    }
}

fn lowered(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    names.into_iter().map(|name| name.as_ref().trim().to_lowercase()).collect()
}

fn is_one_of(name: Option<&str>, names: &[String]) -> bool {
    name.is_some_and(|name| names.contains(&name.trim().to_lowercase()))
}
