//! The settings template that `init` writes.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::setting::{ENV_PREFIX, SettingNames, TOOLSET_NAMES, flag};

const HEAD: &str = "\
# Settings of streetflow. It reads this file if it is in the current directory, or if --config names it.
# Precedence: flags, then environment variables (STREETFLOW_CONCURRENCY=8), then this file, then defaults.
# `streetflow config` shows the settings in effect and where each is set. The token does not belong here: set
# MAPILLARY_TOKEN, or name a file that contains it with `token_file`.
#
# Remove the `# ` before a setting to set it.
";

/// All settings, commented out, with their help and default. `command` must be built.
pub(crate) fn template(command: &Command) -> String {
    let mut text = HEAD.to_owned();
    let mut heading = None;
    for name in SettingNames::new(command).names {
        let Some(arg) = flag(command, &name) else { continue };
        let its_heading = arg.get_help_heading().unwrap_or("Others");
        if heading != Some(its_heading) {
            write!(text, "\n# --- {its_heading}\n").ok();
            heading = Some(its_heading);
        }
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        write!(text, "\n## {}\n", help.replace("\n\n", "\n## ")).ok();
        if let Some((toolset_name, _)) = TOOLSET_NAMES.iter().find(|(_, ours)| *ours == name) {
            writeln!(text, "## Also accepted: `{toolset_name}`, the name in the Python toolset.").ok();
        }
        if name == "bbox" {
            text.push_str(
                "## Or a table [AOI_bbox] with ll_lon, ll_lat, ur_lon, ur_lat at the end of the file.\n",
            );
        }
        writeln!(text, "# {name} = {}", example(arg)).ok();
    }
    writeln!(text, "\n# Environment variables: {ENV_PREFIX} and the name in capitals.").ok();
    text
}

/// The default value, else a valid placeholder.
fn example(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "false".to_owned();
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let text = default.join(",");
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text } else { format!("\"{text}\"") }
}
