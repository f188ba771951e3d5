//! Coordinate reference systems in files: which are longitude and latitude on WGS 84.

use serde_json::Value as Json;

/// Hint for coordinates in another system.
pub(crate) const CONVERT: &str = "`ogr2ogr -t_srs EPSG:4326 new.geojson old.geojson` converts a file";

/// Geographic systems of EPSG that differ from WGS 84 by at most about two metres today, with longitude and latitude in
/// degrees from Greenwich. The axis order in EPSG does not matter, because GeoJSON has longitude first.
const NEAR_WGS84: [u32; 53] = [
    // North America: NAD83 and its realizations, Mexico.
    4269, 4152, 4759, 6783, 6318, 8860, 4617, 4483, 6365,
    // Europe: ETRS89 and its national realizations.
    4258, 4937, 9059, 4171, 9777, 9782, // ETRS89, ETRS89 with heights, ETRF89, RGF93 v1, v2, v2b
    4619, 4173, 4670, 4180, 4661, 4669, // SWEREF99, IRENET95, IGM95, EST97, LKS-92, LKS94
    4765, 4761, 4151, 4081, 5252, // Slovenia 1996, HTRS96, CHTRS95, REGCAN95, TUREF
    4659, 5324, 8086, 4747, // ISN93, ISN2004, ISN2016, GR96
    // Oceania: GDA94, GDA2020, NZGD2000, RGPF.
    4283, 7844, 4167, 4687,
    // South America and the Caribbean: SIRGAS, MAGNA-SIRGAS, POSGAR, CR05, SIRGAS-ROU98, RGFG95, RGAF09.
    4674, 4170, 4686, 4694, 4190, 5340, 5365, 5381, 4624, 5489,
    // Asia and Africa: CGCS2000, JGD2011, KGD2002, DGN95, Hartebeesthoek94, RGR92.
    4490, 6668, 4737, 4755, 4148, 4627, // The international frames: ITRF2014, ITRF2020.
    9000, 9990, 8999,
];

/// WGS 84, its three-dimensional form and its realizations.
const WGS84: [u32; 8] = [4326, 4979, 9053, 9054, 9055, 9056, 9057, 9755];

/// A coordinate reference system, compared to WGS 84.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Crs {
    /// WGS 84, or not given.
    Wgs84,
    /// A system that is nearly the same, with its name.
    Near(String),
    /// Another system, with its name.
    Other(String),
}

impl Crs {
    /// Parses the member `crs` of older GeoJSON. RFC 7946 has none.
    pub(crate) fn from_geojson(crs: &Json) -> Self {
        let properties = &crs["properties"];
        let code = || properties["code"].as_u64().map(|code| format!("EPSG:{code}"));
        let name = [crs, &properties["name"], &properties["href"]].into_iter().find_map(Json::as_str);
        match name.map(str::to_owned).or_else(code) {
            None if crs.is_null() => Self::Wgs84,
            None => Self::Other(crs.to_string()),
            Some(name) => Self::from_name(name),
        }
    }

    /// Parses a code such as `EPSG:4269`, `urn:ogc:def:crs:EPSG::4269` or
    /// `http://www.opengis.net/def/crs/EPSG/0/4269`, or a plain name.
    fn from_name(name: String) -> Self {
        let mut parts = name.split([':', '/', '#']).filter(|part| !part.is_empty());
        let code = parts.next_back().unwrap_or_default().to_ascii_lowercase();
        let is_authority = |part: &&str| ["epsg", "ogc", "crs"].contains(&part.to_ascii_lowercase().as_str());
        let authority = parts.rfind(is_authority);
        let is_epsg = authority.is_some_and(|authority| authority.eq_ignore_ascii_case("epsg"));
        let number = code.parse::<u32>().ok().filter(|_| is_epsg);
        let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
        match (number, plain.as_str()) {
            (Some(number), _) if WGS84.contains(&number) => Self::Wgs84,
            (Some(number), _) if NEAR_WGS84.contains(&number) => Self::Near(name),
            (None, "crs84" | "crs84h" | "wgs84" | "gcswgs1984") => Self::Wgs84,
            (None, "84") if authority.is_some() => Self::Wgs84,
            (None, "83") if authority.is_some() => Self::Near(name),
            (
                None,
                "crs83" | "nad83" | "etrs89" | "gda94" | "gda2020" | "nzgd2000" | "sirgas2000" | "rgf93",
            ) => Self::Near(name),
            (None, "gcsnorthamerican1983" | "gcsetrs1989") => Self::Near(name),
            _ => Self::Other(name),
        }
    }
}

/// Reason for rejecting coordinates in another system.
pub(crate) fn unsupported(name: &str) -> String {
    let shown: String = name.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("its coordinates are in `{shown}`, not in longitude and latitude on WGS 84")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(name: &str) -> Crs {
        Crs::from_geojson(&json!({"type": "name", "properties": {"name": name}}))
    }

    #[test]
    fn systems_are_recognized_by_all_their_names() {
        for name in [
            "urn:ogc:def:crs:OGC:1.3:CRS84",
            "urn:ogc:def:crs:OGC::CRS84",
            "OGC:CRS84",
            "CRS:84",
            "EPSG:4326",
            "epsg:4326",
            "urn:ogc:def:crs:EPSG::4326",
            "urn:ogc:def:crs:EPSG:6.9:4326",
            "http://www.opengis.net/def/crs/EPSG/0/4326",
            "http://spatialreference.org/ref/epsg/4326/",
            "WGS 84",
            "GCS_WGS_1984",
        ] {
            assert_eq!(named(name), Crs::Wgs84, "{name}");
        }
        for name in [
            "urn:ogc:def:crs:EPSG::4269",
            "EPSG:4258",
            "http://www.opengis.net/def/crs/EPSG/0/7844",
            "http://spatialreference.org/ref/epsg/4171/",
            "urn:ogc:def:crs:OGC:1.3:CRS83",
            "CRS:83",
            "NAD83",
            "GCS_North_American_1983",
        ] {
            assert_eq!(named(name), Crs::Near(name.to_owned()));
        }
        // Projected systems, old datums that differ by a hundred metres, and codes with the same beginning.
        for name in [
            "EPSG:3857",
            "urn:ogc:def:crs:EPSG::25832",
            "EPSG:4267",
            "urn:ogc:def:crs:OGC:1.3:CRS27",
            "EPSG:43260",
            "ESRI:4269",
            "ESRI:102100",
            "4326x",
            "",
        ] {
            assert_eq!(named(name), Crs::Other(name.to_owned()));
        }
        assert_eq!(Crs::from_geojson(&Json::Null), Crs::Wgs84);
        assert_eq!(Crs::from_geojson(&json!({"type": "EPSG", "properties": {"code": 4326}})), Crs::Wgs84);
        let link = json!({"type": "link", "properties": {"href": "http://spatialreference.org/ref/epsg/3857/proj4/"}});
        assert!(matches!(Crs::from_geojson(&link), Crs::Other(_)));
        assert_eq!(Crs::from_geojson(&json!({})), Crs::Other("{}".to_owned()));
    }
}
