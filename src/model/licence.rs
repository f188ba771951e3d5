//! Attribution of pictures, as their licence requires it.

use super::{ImageId, Metadata};
use crate::model::Fields;
use crate::text::is_shown;

/// Longest user name in an attribution, in characters.
const MAX_NAME_LEN: usize = 100;

/// Makes a user name safe to print; `None` if nothing is left.
pub fn shown_name(name: &str) -> Option<String> {
    shown_line(name, MAX_NAME_LEN)
}

/// Makes a text safe to print: on one line, at most `most` characters, without invisible ones. `None` if nothing is left.
pub fn shown_line(text: &str, most: usize) -> Option<String> {
    let visible = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| is_shown(*c));
    // Also cuts before, so that a very long text needs little memory.
    let visible: String = visible.take(4 * most).collect();
    let mut shown = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = shown.char_indices().nth(most) {
        shown.truncate(end);
        shown.push('…');
    }
    Some(shown).filter(|shown| !shown.is_empty())
}

/// The attribution of a picture: `© <username> / Mapillary, CC BY-SA 4.0`.
pub fn attribution(username: Option<&str>) -> String {
    match username.and_then(shown_name) {
        Some(name) => format!("© {name} / Mapillary, CC BY-SA 4.0"),
        None => "Mapillary, CC BY-SA 4.0".to_owned(),
    }
}

/// The URL of an image's page on Mapillary.
pub fn page_url(id: &ImageId) -> String {
    format!("https://www.mapillary.com/app/?pKey={id}")
}

impl Metadata {
    /// Sets the derived fields among `fields`, `attribution` and `page_url`, if they are empty.
    ///
    /// [`FetchMetadata`](crate::FetchMetadata) calls it for its fields. The attribution contains
    /// [`Metadata::creator_username`] if it is known, shortened to a bounded length.
    ///
    /// ```
    /// use streetflow::{ImageId, Metadata};
    ///
    /// let mut image = Metadata { img_id: ImageId::new("728019821979741")?, ..Metadata::default() };
    /// image.creator_username = Some("aliki".to_owned());
    /// image.fill(&"attribution,page_url".parse()?);
    /// assert_eq!(image.attribution.as_deref(), Some("© aliki / Mapillary, CC BY-SA 4.0"));
    /// assert_eq!(image.page_url.as_deref(), Some("https://www.mapillary.com/app/?pKey=728019821979741"));
    /// # Ok::<(), streetflow::Error>(())
    /// ```
    pub fn fill(&mut self, fields: &Fields) {
        let wants = |name| fields.names().contains(&name);
        if wants("attribution") && self.attribution.is_none() {
            self.attribution = Some(attribution(self.creator_username.as_deref()));
        }
        if wants("page_url") && self.page_url.is_none() {
            self.page_url = Some(page_url(&self.img_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_one_short_line() {
        assert_eq!(shown_name(" a\u{1b}[2J\r\n\0b\u{202e}  c\t").as_deref(), Some("a[2J b c"));
        assert_eq!(shown_name("Ünï 日本 🚲").as_deref(), Some("Ünï 日本 🚲"));
        let long = shown_name(&"é".repeat(10_000)).expect("a name");
        assert!(long.ends_with('…') && long.chars().count() == MAX_NAME_LEN + 1, "{long}");
        assert_eq!((shown_name(""), shown_name(" \u{200b}\0\n")), (None, None));
        assert_eq!(attribution(Some("\u{1}")), attribution(None), "no author is better than a wrong one");
    }
}
