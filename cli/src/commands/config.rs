//! `config`: prints all settings in effect and where each is set.

use std::fmt::Write as _;

use clap::parser::ValueSource;

use crate::config::{Parsed, SETTINGS_FILE, flag, has_flag, setting_names, value};
use crate::terminal::shell::strip_credentials;
use crate::terminal::stdout;
use streetflow::client::{redact, without_credentials};
use streetflow::{Result, Token};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow config
  STREETFLOW_QUALITY=1024 streetflow config --concurrency 8";

/// The variables of the token, in the order in which they are read.
const TOKEN_VARIABLES: [&str; 3] = ["MAPILLARY_TOKEN", "MAPILLARY_CLIENT_TOKEN", "MAPILLARY_ACCESS_TOKEN"];

/// The settings that are URLs, which may contain a password.
const URL_SETTINGS: [&str; 2] = ["graph_url", "tiles_url"];

/// Maximum width of the column of values.
const MAX_VALUE_WIDTH: usize = 60;

/// Prints each setting with its value and origin.
pub(crate) fn run<C>(parsed: &Parsed<C>, command: &clap::Command) -> Result<()> {
    let Some((own, matches)) = parsed.matches.subcommand() else { return Ok(()) };
    let own = command.find_subcommand(own);
    let mut rows = Vec::new();
    for name in setting_names(command) {
        // Other commands have the flags of some settings.
        if !own.is_some_and(|own| has_flag(own, &name)) {
            rows.push(row_of_others(parsed, command, name));
            continue;
        }
        let set = parsed.settings.iter().find(|setting| setting.name == name);
        let origin = match (set, matches.value_source(&name)) {
            (Some(setting), _) => setting.origin.clone(),
            (None, Some(ValueSource::CommandLine)) => format!("--{}", name.replace('_', "-")),
            (None, Some(ValueSource::EnvVariable)) => format!("MAPILLARY_{}", name.to_uppercase()),
            (None, _) => "default".to_owned(),
        };
        let shown = value(matches, &name).unwrap_or_else(|| "not set".to_owned());
        let is_url = URL_SETTINGS.contains(&name.as_str());
        let shown = if is_url { without_credentials(&shown) } else { strip_credentials(&shown) };
        rows.push([name, shown, origin]);
    }
    rows.push(token_row()?);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (names, values) = (width(0), width(1).min(MAX_VALUE_WIDTH));
    let mut text = match &parsed.file {
        Some(path) => format!("# with {}\n", path.display()),
        None => {
            format!("# without a file: {SETTINGS_FILE} does not exist here; `streetflow init` creates it\n")
        }
    };
    for [name, value, origin] in rows {
        writeln!(text, "{name:names$}  {value:values$}  {origin}").ok();
    }
    stdout::print(redact(&text).as_bytes())
}

/// A setting for which only other commands have a flag.
fn row_of_others<C>(parsed: &Parsed<C>, command: &clap::Command, name: String) -> [String; 3] {
    if let Some(set) = parsed.others.iter().find(|setting| setting.name == name) {
        return [name, set.values.join(";"), set.origin.clone()];
    }
    let defaults = flag(command, &name).map(clap::Arg::get_default_values).unwrap_or_default();
    let default = defaults.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
    let shown = if default.is_empty() { "not set".to_owned() } else { default };
    [name, shown, "default".to_owned()]
}

/// Whether a token is set, and where. Never the token itself.
fn token_row() -> Result<[String; 3]> {
    let (value, origin) = match Token::from_env()? {
        Some(_) => {
            let is_set = |name: &&str| std::env::var_os(name).is_some_and(|token| !token.is_empty());
            ("set, not shown", TOKEN_VARIABLES.into_iter().find(is_set).unwrap_or("environment"))
        }
        None => ("not set", "default"),
    };
    Ok(["(token)", value, origin].map(str::to_owned))
}
