//! The parameter `fields` of a request.

/// A requested field with its requested sub-fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    /// Maximum number of items, from `name.limit(N)`.
    pub(super) limit: Option<usize>,
    pub(super) sub_fields: Vec<Field>,
}

impl Field {
    /// Returns whether a sub-field is requested, or whether it is a default one if none is.
    pub(super) fn wants(&self, name: &str, default: &[&str]) -> bool {
        if self.sub_fields.is_empty() {
            default.contains(&name)
        } else {
            self.sub_fields.iter().any(|field| field.name == name)
        }
    }
}

/// Parses a list of fields like `id,creator{id,username},organization.id,images.limit(3){id}`.
///
/// Drops `id`, because every response contains it.
pub(super) fn parse(fields: &str) -> Vec<Field> {
    let mut parsed = parse_list(fields);
    parsed.retain(|field| field.name != "id");
    parsed
}

fn parse_list(fields: &str) -> Vec<Field> {
    let mut parsed: Vec<Field> = Vec::new();
    let mut depth = 0_usize;
    let split = |c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    for part in fields.split(split).map(str::trim).filter(|part| !part.is_empty()) {
        let field = parse_one(part);
        match parsed.iter_mut().find(|known| known.name == field.name) {
            Some(known) => known.sub_fields.extend(field.sub_fields),
            None => parsed.push(field),
        }
    }
    parsed
}

fn parse_one(part: &str) -> Field {
    let end = part.find(['.', '{']).unwrap_or(part.len());
    let (name, mut rest) = part.split_at(end);
    let mut limit = None;
    if let Some((number, after)) = rest.strip_prefix(".limit(").and_then(|rest| rest.split_once(')')) {
        (limit, rest) = (number.parse().ok(), after);
    }
    let inner = rest.strip_prefix('{').map(|inner| inner.strip_suffix('}').unwrap_or(inner));
    let sub_fields = parse_list(inner.or(rest.strip_prefix('.')).unwrap_or_default());
    Field { name: name.to_owned(), limit, sub_fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_fields_are_parsed_in_both_forms() {
        let plain = |name: &str| Field { name: name.to_owned(), limit: None, sub_fields: Vec::new() };
        let field = |name: &str, sub_fields: &[&str]| Field {
            sub_fields: sub_fields.iter().map(|&part| plain(part)).collect(),
            ..plain(name)
        };
        let expected =
            [field("creator", &["id", "username"]), field("organization", &["id"]), field("make", &[])];
        assert_eq!(parse("id,creator{id,username},organization.id, make"), expected);
        assert_eq!(parse("creator.id,creator.username")[0], field("creator", &["id", "username"]));
        let nested = Field {
            limit: Some(3),
            sub_fields: vec![plain("id"), field("image", &["id"])],
            ..plain("detections")
        };
        assert_eq!(parse("detections.limit(3){id,image{id}}"), [nested]);
    }
}
