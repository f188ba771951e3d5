//! The organizations, users and cameras of the mock data.

use super::MockData;

/// An organization that some sequences belong to.
#[derive(Debug)]
pub(crate) struct Organization {
    pub(crate) id: &'static str,
    pub(crate) slug: &'static str,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
}

pub(crate) const ORGANIZATIONS: [Organization; 3] = [
    Organization {
        id: MockData::ORGANIZATION,
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

/// Id and name of each user. The last user has no name, which also occurs at Mapillary.
pub(crate) const USERS: [(&str, &str); 6] = [
    (MockData::USER_ID, MockData::USER),
    ("104386195540728", "andreas_k"),
    ("117290648813505", "eleni.maps"),
    ("121945530276691", "murat-cy"),
    ("133508816094427", "walker1977"),
    ("140276638915284", ""),
];

/// A camera: its Mapillary fields and the size of its pictures in pixels.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) make: &'static str,
    pub(crate) model: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) size: (u32, u32),
    /// Focal length and distortion.
    pub(crate) parameters: &'static [f64],
}

pub(crate) const CAMERAS: [Camera; 5] = [
    camera("GoPro", "HERO8 Black", "perspective", (2560, 1440), &[0.851_363_881_4, -6.649_967_3e-5, 0.0]),
    camera("Apple", "iPhone 13", "perspective", (3264, 2448), &[0.770_541_2, 0.012, -0.003_4]),
    camera("GoPro", "HERO11 Black ", "fisheye", (2560, 1440), &[0.468_201_9, 0.051_7, -0.011_9]),
    camera("", "", "perspective", (1920, 1080), &[0.85, 0.0, 0.0]),
    camera("GoPro", "GoPro Max", "spherical", (3840, 1920), &[]),
];

/// Index of the panorama camera in [`CAMERAS`].
pub(crate) const PANO: usize = 4;

/// Index in [`CAMERAS`] of the camera that stores some pictures turned, with an EXIF orientation.
pub(crate) const TURNED: usize = 3;

const fn camera(
    make: &'static str,
    model: &'static str,
    kind: &'static str,
    size: (u32, u32),
    parameters: &'static [f64],
) -> Camera {
    Camera { make, model, kind, size, parameters }
}
