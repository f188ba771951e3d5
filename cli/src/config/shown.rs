//! Settings as a person sees them: `streetflow config` and `streetflow init`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, CommandFactory};

use super::{FILE, Parsed, TOOLSET, VARIABLE, names, value};
use crate::args::Cli;
use crate::artifacts::report::bare;
use crate::terminal::format::path_text;
use streetflow::client::without_credentials;
use streetflow::{Error, ErrorKind, Result, Token};

/// The token's variables, in the order in which they are looked at.
const TOKENS: [&str; 3] = ["MAPILLARY_TOKEN", "MAPILLARY_CLIENT_TOKEN", "MAPILLARY_ACCESS_TOKEN"];

/// The settings that are URLs.
const URLS: [&str; 2] = ["graph_url", "tiles_url"];

const HEAD: &str = "\
# Settings of streetflow. It reads this file where it lies in the folder that one is in, or where --config names it.
# A flag of the command line comes before the environment (STREETFLOW_CONCURRENCY=8), that before this file, and that
# before the default. `streetflow config` shows what is in force, and why. The token has no place here: put it into
# MAPILLARY_TOKEN, or into a file of its own that `token_file` names.
#
# Take away the `# ` before a key to set it.
";

/// Prints each setting, its value and where that comes from.
pub(crate) fn config(parsed: &Parsed) -> Result<()> {
    let Some((_, matches)) = parsed.matches.subcommand() else { return Ok(()) };
    let mut rows = Vec::new();
    for name in names() {
        let set = parsed.settings.iter().find(|setting| setting.name == name);
        let origin = match (set, matches.value_source(name)) {
            (Some(setting), _) => setting.origin.clone(),
            (None, Some(ValueSource::CommandLine)) => format!("--{}", name.replace('_', "-")),
            (None, Some(ValueSource::EnvVariable)) => format!("MAPILLARY_{}", name.to_uppercase()),
            (None, _) => "default".to_owned(),
        };
        let shown = value(matches, name).unwrap_or_else(|| "not set".to_owned());
        let shown = if URLS.contains(&name) { without_credentials(&shown) } else { bare(&shown) };
        rows.push((name.to_owned(), shown, origin));
    }
    let (token, origin) = token()?;
    rows.push(("(token)".to_owned(), token.to_owned(), origin));
    let width = |of: fn(&(String, String, String)) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let (names, values) = (width(|row| row.0.len()), width(|row| row.1.len()).min(60));
    let mut text = match &parsed.file {
        Some(path) => format!("# with {}\n", path.display()),
        None => format!("# without a file: there is no {FILE} here, and `streetflow init` makes one\n"),
    };
    for (name, value, origin) in rows {
        writeln!(text, "{name:names$}  {value:values$}  {origin}").ok();
    }
    crate::terminal::stdout::print(streetflow::client::redact(&text).as_bytes())
}

/// Whether there is a token, and where; never which.
fn token() -> Result<(&'static str, String)> {
    Ok(match Token::from_env()? {
        Some(_) => {
            let set =
                TOKENS.into_iter().find(|name| std::env::var_os(name).is_some_and(|token| !token.is_empty()));
            ("set, not shown", set.unwrap_or("environment").to_owned())
        }
        None => ("not set", "default".to_owned()),
    })
}

/// Writes a settings file with every setting in a comment; never over one that is there.
pub(crate) fn init(path: Option<&Path>) -> Result<String> {
    let path = path.unwrap_or(Path::new(FILE));
    let refuse = |error: io::Error| {
        let there = error.kind() == io::ErrorKind::AlreadyExists;
        let kind = if there { ErrorKind::Usage } else { ErrorKind::Io };
        let error = Error::new(kind, "write the settings")
            .with_subject(path.display().to_string())
            .with_source(error);
        if path.is_dir() {
            error.with_hint("a folder has that name: name another file with `streetflow init FILE`")
        } else if there {
            error.with_hint("look at what is in it; name another file with `streetflow init FILE`")
        } else {
            error.with_hint("name a file in a folder that you may write to: `streetflow init FILE`")
        }
    };
    let mut file = File::create_new(path).map_err(refuse)?;
    file.write_all(template().as_bytes()).map_err(refuse)?;
    Ok(format!("wrote {}; every setting in it is a comment until you take the `# ` away", path_text(path)))
}

/// A file in which every setting stands as a comment, with its help and its default.
fn template() -> String {
    let mut command = Cli::command();
    command.build();
    let mut text = HEAD.to_owned();
    let Some(crawl) = command.find_subcommand("crawl") else { return text };
    let mut heading = None;
    for name in names() {
        let Some(arg) = crawl.get_arguments().find(|arg| arg.get_id() == name) else { continue };
        let of = arg.get_help_heading().unwrap_or("Others");
        if heading != Some(of) {
            write!(text, "\n# --- {of}\n").ok();
            heading = Some(of);
        }
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let theirs = TOOLSET.iter().find(|(_, ours)| *ours == name);
        write!(text, "\n## {}\n", help.replace("\n\n", "\n## ")).ok();
        if let Some((theirs, _)) = theirs {
            writeln!(text, "## `{theirs}`, as the Python toolset calls it, will do too.").ok();
        }
        if name == "bbox" {
            text.push_str(
                "## Or a table [AOI_bbox] with ll_lon, ll_lat, ur_lon, ur_lat at the end of the file.\n",
            );
        }
        writeln!(text, "# {name} = {}", example(arg)).ok();
    }
    writeln!(text, "\n# In the environment each is called {VARIABLE} and its name in capitals.").ok();
    text
}

/// The default, else something that could stand there.
fn example(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "false".to_owned();
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let text = default.join(",");
    let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if number { text } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_sets_nothing_and_with_its_marks_away_only_defaults() {
        let template = template();
        let table: toml::Table = template.parse().expect("TOML");
        assert!(table.is_empty());
        let bare: Vec<_> = template
            .lines()
            .filter_map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")))
            .collect();
        let table: toml::Table = bare.join("\n").parse().expect("TOML");
        assert_eq!(
            table.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
            names().into_iter().collect()
        );
        assert_eq!(table["concurrency"].as_integer(), Some(64));
        assert_eq!(table["output"].as_str(), Some("outputs"));
    }
}
