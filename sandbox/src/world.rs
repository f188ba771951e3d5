//! What there is to photograph: drives, their images, and where they lie.

use std::collections::HashMap;
use std::sync::Arc;

use super::ids::{image_id, image_ordinal, sequence_id};
use super::town::{Node, along, mix, unit};
use streetflow::geo::{LonLat, TileId};

/// Who some drives were made for.
#[derive(Debug)]
pub(super) struct Organization {
    pub(super) id: &'static str,
    pub(super) slug: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
}

pub(super) const ORGANIZATIONS: [Organization; 3] = [
    Organization {
        id: World::ORGANIZATION,
        slug: "open-streets-cyprus",
        name: "Open Streets Cyprus",
        description: "Every street of the island, once a year · Ανοιχτοί Δρόμοι",
    },
    Organization {
        id: "315540227849163",
        slug: "island-roads",
        name: "Island Roads",
        description: "Condition of roads",
    },
    Organization { id: "592317404886571", slug: "", name: "Bicycle Kitchen", description: "" },
];

/// Id and name of each user; the last has no name, as happens.
pub(super) const USERS: [(&str, &str); 6] = [
    (World::USER_ID, World::USER),
    ("104386195540728", "andreas_k"),
    ("117290648813505", "eleni.maps"),
    ("121945530276691", "murat-cy"),
    ("133508816094427", "walker1977"),
    ("140276638915284", ""),
];

/// Make, model, type, size of the picture, focal length and distortion.
#[derive(Debug)]
pub(super) struct Camera {
    pub(super) make: &'static str,
    pub(super) model: &'static str,
    pub(super) kind: &'static str,
    pub(super) size: (u32, u32),
    pub(super) parameters: &'static [f64],
}

pub(super) const CAMERAS: [Camera; 5] = [
    camera("GoPro", "HERO8 Black", "perspective", (2560, 1440), &[0.851_363_881_4, -6.649_967_3e-5, 0.0]),
    camera("Apple", "iPhone 13", "perspective", (3264, 2448), &[0.770_541_2, 0.012, -0.003_4]),
    camera("GoPro", "HERO11 Black ", "fisheye", (2560, 1440), &[0.468_201_9, 0.051_7, -0.011_9]),
    camera("", "", "perspective", (1920, 1080), &[0.85, 0.0, 0.0]),
    camera("GoPro", "GoPro Max", "spherical", (3840, 1920), &[]),
];

/// Which of [`CAMERAS`] makes panoramas.
pub(super) const PANO: usize = 4;

const fn camera(
    make: &'static str,
    model: &'static str,
    kind: &'static str,
    size: (u32, u32),
    parameters: &'static [f64],
) -> Camera {
    Camera { make, model, kind, size, parameters }
}

/// What is odd about a drive, if anything; the number is the index of the image it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quirk {
    None,
    /// All images carry the same time.
    SameTime,
    /// One image is deleted, but still listed and in the tiles.
    GoneImage(u32),
    /// The whole drive is deleted, but still in the tiles.
    Gone,
    /// A negative altitude was wrapped to unsigned 32 bits.
    WrappedAltitude(u32),
    /// The clock of the device said the year 318857.
    FarFuture(u32),
    /// The Graph does not know the place.
    NoGeometry(u32),
}

/// One sequence: the images of one drive or walk along a street.
#[derive(Debug)]
pub struct MockSequence {
    pub(super) id: String,
    pub(super) town: Arc<str>,
    pub(super) organization: Option<usize>,
    pub(super) creator: usize,
    pub(super) camera: usize,
    pub(super) on_foot: bool,
    pub(super) quirk: Quirk,
    /// Number of its first image in the world.
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) way: Vec<Node>,
    /// Metres from one image to the next.
    pub(super) spacing: f64,
    pub(super) salt: u64,
}

impl MockSequence {
    /// The id of the sequence: 22 characters, sometimes beginning with `-`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id of the organisation it belongs to, if any.
    pub fn organization(&self) -> Option<&'static str> {
        self.organization.map(|number| ORGANIZATIONS[number].id)
    }

    /// The id of the user who made it.
    pub fn creator(&self) -> &'static str {
        USERS[self.creator].0
    }

    /// The name of that user; one has none.
    pub fn username(&self) -> &'static str {
        USERS[self.creator].1
    }

    /// The town where it lies or begins.
    pub fn town(&self) -> &str {
        &self.town
    }

    /// How many images it has, gone ones included.
    pub fn image_count(&self) -> u32 {
        self.count
    }

    /// Whether its images are panoramas.
    pub fn is_pano(&self) -> bool {
        self.camera == PANO
    }

    /// Whether it exists in the tiles only.
    pub fn is_gone(&self) -> bool {
        self.quirk == Quirk::Gone
    }

    pub(super) fn shot(&self, index: u32) -> MockImage<'_> {
        MockImage { drive: self, index }
    }

    pub(super) fn shots(&self) -> impl DoubleEndedIterator<Item = MockImage<'_>> {
        (0..self.count).map(|index| self.shot(index))
    }

    /// The line of the drive: its first image, the corners that it passes, its last image.
    pub(super) fn line(&self) -> Vec<LonLat> {
        let end = self.spacing * f64::from(self.count - 1);
        let corners = self.way.iter().filter(|node| node.at > 0.0 && node.at < end).map(|node| node.place);
        let last = self.shot(self.count - 1).place();
        std::iter::once(self.shot(0).place()).chain(corners).chain(std::iter::once(last)).collect()
    }
}

/// One image of a drive.
#[derive(Debug, Clone, Copy)]
pub struct MockImage<'w> {
    pub(super) drive: &'w MockSequence,
    pub(super) index: u32,
}

impl MockImage<'_> {
    /// The id, a decimal number; many are above 2^53.
    pub fn id(&self) -> String {
        self.number().to_string()
    }

    /// The exact place, as the Graph's `geometry` says it.
    pub fn place(&self) -> LonLat {
        let (place, _) = along(&self.drive.way, self.drive.spacing * f64::from(self.index));
        // Ten decimals, so that the 14 digits of the Graph's JSON say it exactly.
        let near = |degrees: f64, what| ((degrees + 3e-5 * (self.chance(what) - 0.5)) * 1e10).round() / 1e10;
        LonLat { lon: near(place.lon, 1), lat: near(place.lat, 2) }
    }

    /// When it was taken, in milliseconds since 1970.
    pub fn captured_at(&self) -> i64 {
        const YEAR_2019: u64 = 1_546_300_800_000;
        const SIX_YEARS: u64 = 189_345_600_000;
        let salt = self.drive.salt;
        let start = (YEAR_2019 + mix(salt, 11) % SIX_YEARS) / 1_000 * 1_000;
        let step = [1_000, 2_000, 1_487, 3_021][mix(salt, 12) as usize % 4];
        match self.drive.quirk {
            Quirk::SameTime => start.cast_signed(),
            Quirk::FarFuture(index) if index == self.index => 10_000_000_000_000_000,
            _ => (start + step * u64::from(self.index)).cast_signed(),
        }
    }

    /// Whether the Graph does not have it any more: then it is in the tiles and in `image_ids` only.
    pub fn is_gone(&self) -> bool {
        matches!(self.drive.quirk, Quirk::GoneImage(index) if index == self.index) || self.drive.is_gone()
    }

    /// The direction in which the camera looks, in degrees clockwise from north.
    pub(super) fn heading(&self) -> f64 {
        let (_, heading) = along(&self.drive.way, self.drive.spacing * f64::from(self.index));
        (heading + 6.0 * (self.chance(3) - 0.5)).rem_euclid(360.0)
    }

    /// Whether the camera's direction is known.
    pub(super) fn has_heading(&self) -> bool {
        self.chance(6) > 0.03
    }

    /// The id as a number.
    pub(super) fn number(&self) -> u64 {
        image_id(self.drive.first + u64::from(self.index))
    }

    /// A number from 0 to 1 that is this image's own for each `what`.
    pub(super) fn chance(&self, what: u64) -> f64 {
        unit(self.drive.salt ^ what << 40, u64::from(self.index))
    }
}

/// A deterministic world of drives for a [`Sandbox`](super::Sandbox) to serve.
pub struct World {
    drives: Vec<MockSequence>,
    by_id: HashMap<String, u32>,
    /// Quadkey position of each z14 tile with the number of a drive that touches it, sorted.
    touched: Vec<(u32, u32)>,
    images: u64,
}

impl World {
    /// The id of the organisation with the most drives in [`World::cyprus`], in several towns.
    pub const ORGANIZATION: &str = "227409318565107";
    /// The name of a user who uploads both for [`World::ORGANIZATION`] and for nobody.
    pub const USER: &str = "maria_streets";
    /// The id of [`World::USER`].
    pub const USER_ID: &str = "103109672569418";

    /// Gives drives their ids and numbers, and notes which tiles they touch.
    pub(super) fn assemble(seed: u64, mut drives: Vec<MockSequence>) -> Self {
        let mut images = 0;
        for (number, drive) in drives.iter_mut().enumerate() {
            drive.salt = mix(seed, number as u64);
            drive.id = sequence_id(drive.salt, number);
            drive.first = images;
            images += u64::from(drive.count);
        }
        let by_id = drives.iter().zip(0..).map(|(drive, number)| (drive.id.clone(), number)).collect();
        let mut touched: Vec<_> = drives
            .iter()
            .zip(0..)
            .flat_map(|(drive, number)| tiles_of(drive).into_iter().map(move |tile| (tile.z_order(), number)))
            .collect();
        touched.sort_unstable();
        touched.dedup();
        Self { drives, by_id, touched, images }
    }

    /// All sequences, gone ones included.
    pub fn sequences(&self) -> &[MockSequence] {
        &self.drives
    }

    /// The sequence of this id.
    pub fn sequence(&self, id: &str) -> Option<&MockSequence> {
        self.by_id.get(id).map(|number| &self.drives[*number as usize])
    }

    /// The images of a sequence in capture order, gone ones included.
    pub fn images_of<'w>(
        &'w self,
        sequence: &'w MockSequence,
    ) -> impl DoubleEndedIterator<Item = MockImage<'w>> + use<'w> {
        sequence.shots()
    }

    /// The image of this id, gone or not.
    pub fn image(&self, id: &str) -> Option<MockImage<'_>> {
        let ordinal = image_ordinal(id.parse().ok()?).filter(|ordinal| *ordinal < self.images)?;
        let drive = &self.drives[self.drives.partition_point(|drive| drive.first <= ordinal) - 1];
        Some(drive.shot(u32::try_from(ordinal - drive.first).ok()?))
    }

    /// How many images there are, gone ones included.
    pub fn image_count(&self) -> u64 {
        self.images
    }

    /// The drives that touch a tile, and perhaps a few that only come near.
    pub(super) fn drives_near(&self, tile: TileId) -> Vec<&MockSequence> {
        let from = tile.z_order();
        let to = u64::from(from) + (1_u64 << (2 * (14 - u32::from(tile.z))));
        let begin = self.touched.partition_point(|(order, _)| *order < from);
        let end = self.touched.partition_point(|(order, _)| u64::from(*order) < to);
        let mut numbers: Vec<_> = self.touched[begin..end].iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().map(|number| &self.drives[number as usize]).collect()
    }
}

/// The z14 tiles of a way, with a margin for images beside it.
fn tiles_of(drive: &MockSequence) -> Vec<TileId> {
    const MARGIN: f64 = 1e-4;
    let mut tiles = Vec::new();
    for pair in drive.way.windows(2) {
        let (a, b) = (pair[0].place, pair[1].place);
        let nw = LonLat { lon: a.lon.min(b.lon) - MARGIN, lat: a.lat.max(b.lat) + MARGIN };
        let se = LonLat { lon: a.lon.max(b.lon) + MARGIN, lat: a.lat.min(b.lat) - MARGIN };
        let (nw, se) = (TileId::containing(nw, 14), TileId::containing(se, 14));
        tiles.extend((nw.y..=se.y).flat_map(|y| (nw.x..=se.x).map(move |x| TileId { z: 14, x, y })));
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_by_its_id() {
        let world = World::cyprus();
        for drive in world.sequences() {
            for shot in world.images_of(drive) {
                let found = world.image(&shot.id()).expect("it exists");
                assert_eq!((found.drive.id(), found.index), (drive.id(), shot.index));
            }
        }
        assert!(world.image("1").is_none() && world.image("").is_none() && world.image("-5").is_none());
    }
}
