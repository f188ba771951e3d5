//! Names of folders from text of the network.

/// Maximum length of a name, in bytes.
const MAX_LEN: usize = 100;

/// Makes a text the name of a folder on every system: only letters, digits, `-` and `_` of ASCII, at most 100 bytes.
///
/// Other characters become `_`. An empty text becomes the second argument. Two texts may have the same name.
///
/// ```
/// use streetflow::text::folder_name;
///
/// assert_eq!(folder_name("object--vehicle--car", "unknown-class"), "object--vehicle--car");
/// assert_eq!(folder_name("../a|b", "unknown-class"), "___a_b");
/// assert_eq!(folder_name("", "unknown-class"), "unknown-class");
/// ```
pub fn folder_name(text: &str, unknown: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut name: String = text.chars().take(MAX_LEN).map(|c| if is_plain(c) { c } else { '_' }).collect();
    if name.is_empty() {
        unknown.clone_into(&mut name);
    }
    let upper = name.to_ascii_uppercase();
    let is_port = |port: &str| upper.strip_prefix(port).is_some_and(|rest| rest.len() == 1);
    // Devices on Windows.
    if ["CON", "PRN", "AUX", "NUL"].contains(&upper.as_str()) || is_port("COM") || is_port("LPT") {
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_no_device() {
        assert_eq!(folder_name(&"é/".repeat(500), "x"), "_".repeat(100));
        assert_eq!(
            ["con", "Lpt1", "COM10", "nul\0"].map(|text| folder_name(text, "x")),
            ["con_", "Lpt1_", "COM10", "nul_"]
        );
    }
}
