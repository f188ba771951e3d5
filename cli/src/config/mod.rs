//! Settings under the flags: a flag over the environment, that over `streetflow.toml`, that over the default.
//!
//! What the environment and the file say is put behind the words of the
//! command line as flags, where these do not say it themselves; so there is one
//! place that reads and checks values, and what can't go together is told as
//! for flags. A command takes the settings that it has flags for.

mod file;
mod shown;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

pub(crate) use self::shown::{config, init};
use crate::args::Cli;
use crate::terminal::format::path_text;
use streetflow::{Error, ErrorKind, Result};

/// The file that is read where it lies in the folder that one is in.
const FILE: &str = "streetflow.toml";

/// What a variable of the environment begins with that is a setting.
const VARIABLE: &str = "STREETFLOW_";

/// The commands that take settings.
const COMMANDS: [&str; 6] = ["sequences", "images", "metadata", "download", "crawl", "config"];

/// Flags that are about one run: as settings they would be traps.
const NO_SETTINGS: [&str; 10] = [
    "help",
    "version",
    "config",
    "restart",
    "input",
    "input_format",
    "sequences",
    "images",
    "estimate",
    "yes",
];

/// The Python toolset's name of a setting, and ours.
const TOOLSET: [(&str, &str); 5] = [
    ("output_folder", "output"),
    ("img_request_batch_size", "batch_size"),
    ("image_metadata_fields", "fields"),
    ("img_download_quality", "quality"),
    ("graph_endpoint", "graph_url"),
];

/// Settings of which the command line's word puts the others' out of force.
const INSTEAD: [&[&str]; 7] = [
    &["bbox", "area", "around", "radius", "sequences", "images"],
    &["user", "org_id", "sequences", "images"],
    &["clip", "sequences", "images"],
    &["exhaustive", "sequences", "images"],
    &["pano", "flat"],
    &["quiet", "verbose"],
    &["exhaustive", "min_zoom"],
];

/// A setting that is in force, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Our name of it, which is that of the flag.
    pub(crate) name: &'static str,
    pub(crate) values: Vec<String>,
    /// As messages call where it stands.
    pub(crate) origin: String,
}

/// The parsed command line with all settings, and where these come from.
pub(crate) struct Parsed {
    pub(crate) cli: Cli,
    pub(crate) matches: ArgMatches,
    pub(crate) settings: Vec<Setting>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

impl Parsed {
    /// A file that lies about may say where the token goes, so it is told that one is read.
    pub(crate) fn file_told(&self) -> Option<String> {
        let path = self.file.as_ref().filter(|_| !self.settings.is_empty())?;
        Some(format!("settings from {}", path_text(path)))
    }
}

/// Why the words are none: the parser's own message, or ours.
pub(crate) enum Refusal {
    Words(clap::Error, Option<String>),
    Settings(Error),
}

/// Reads the words of the command line, the environment and the settings file.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> std::result::Result<Parsed, Refusal> {
    let words: Vec<OsString> = words.into_iter().collect();
    let refuse = |error| Refusal::Words(error, None);
    let matches = Cli::command().try_get_matches_from(&words).map_err(refuse)?;
    let none = |matches: ArgMatches| {
        let cli = Cli::from_arg_matches(&matches).map_err(refuse)?;
        Ok(Parsed { cli, matches, settings: Vec::new(), file: None })
    };
    let Some((name, of)) = matches.subcommand() else { return none(matches) };
    if !COMMANDS.contains(&name) {
        return none(matches);
    }
    let mut command = Cli::command();
    command.build();
    let Some(flags) = command.find_subcommand(name) else { return none(matches) };
    let (file, found) = found(&matches).map_err(Refusal::Settings)?;
    let settings: Vec<Setting> =
        found.into_iter().filter(|setting| is_in_force(setting, flags, of)).collect();
    let settings = without_idle(settings, of);
    let more = settings.iter().flat_map(|setting| as_flags(setting, flags));
    let all: Vec<OsString> = words.into_iter().chain(more).collect();
    let matches = Cli::command().try_get_matches_from(all).map_err(|error| {
        let whence = whence(&error, &settings);
        Refusal::Words(error, whence)
    })?;
    let cli = Cli::from_arg_matches(&matches).map_err(refuse)?;
    Ok(Parsed { cli, matches, settings, file })
}

/// What the environment and the file say; the environment's word stands alone where it says something.
fn found(matches: &ArgMatches) -> Result<(Option<PathBuf>, Vec<Setting>)> {
    let named = matches.get_one::<PathBuf>("config").cloned();
    let file = named.or_else(|| Some(PathBuf::from(FILE)).filter(|path| path.is_file()));
    let mut settings = of_environment(|name| std::env::var_os(name))?;
    if let Some(path) = &file {
        let of_file = file::read(path)?;
        let new: Vec<_> =
            of_file.into_iter().filter(|one| settings.iter().all(|other| other.name != one.name)).collect();
        settings.extend(new);
    }
    Ok((file, settings))
}

fn of_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for name in names() {
        let origin = format!("{VARIABLE}{}", name.to_uppercase());
        let Some(value) = variable(&origin).filter(|value| !value.is_empty()) else { continue };
        let value = value.into_string().map_err(|_| {
            Error::new(ErrorKind::Usage, "read the setting")
                .with_subject(&origin)
                .with_source("it is no text")
        })?;
        settings.push(Setting { name, values: vec![value], origin });
    }
    Ok(settings)
}

/// Our names of all settings, in the order of the help.
fn names() -> Vec<&'static str> {
    // The names live as long as the program: each is made once.
    static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let mut command = Cli::command();
        command.build();
        let crawl = command.find_subcommand("crawl");
        let flags = crawl.into_iter().flat_map(Command::get_arguments).filter(|arg| arg.get_long().is_some());
        let names = flags.map(|arg| arg.get_id().to_string());
        names.filter(|name| !NO_SETTINGS.contains(&name.as_str())).collect()
    });
    names.iter().map(String::as_str).collect()
}

/// Whether the command has the flag, and its words do not say it themselves or something that rules it out.
fn is_in_force(setting: &Setting, flags: &Command, said: &ArgMatches) -> bool {
    let has = |name: &str| flags.get_arguments().any(|arg| arg.get_id() == name);
    let is_said = |name: &str| {
        let source = has(name).then(|| said.value_source(name)).flatten();
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let ruled_out = INSTEAD.iter().filter(|names| names.contains(&setting.name)).any(|names| {
        // `min_zoom` says nothing against `exhaustive` but itself.
        names.iter().any(|name| is_said(name))
    });
    has(setting.name) && !is_said(setting.name) && !ruled_out
}

/// How tables are written is no mistake for being set where the formats of this run do not heed it.
fn without_idle(mut settings: Vec<Setting>, said: &ArgMatches) -> Vec<Setting> {
    let said = said
        .try_get_raw("format")
        .ok()
        .flatten()
        .filter(|_| matches!(said.value_source("format"), Some(ValueSource::CommandLine)));
    let formats: Vec<String> = if let Some(values) = said {
        values.map(|value| value.to_string_lossy().into_owned()).collect()
    } else {
        let set = settings.iter().find(|setting| setting.name == "format");
        set.map_or_else(|| vec!["csv".to_owned()], |setting| setting.values.clone())
    };
    let any = |of: &dyn Fn(&str) -> bool| formats.iter().flat_map(|list| list.split(',')).any(of);
    settings.retain(|setting| match setting.name {
        "compression" | "native_geometry" => any(&|format| format == "parquet"),
        "rs" => any(&|format| format == "geojsonseq"),
        "geometry" => any(&|format| format != "csv"),
        _ => true,
    });
    settings
}

/// A setting as words of the command line.
fn as_flags(setting: &Setting, flags: &Command) -> Vec<OsString> {
    let long = setting.name.replace('_', "-");
    let takes_value = flags
        .get_arguments()
        .find(|arg| arg.get_id() == setting.name)
        .is_some_and(|arg| arg.get_action().takes_values());
    let word = |value: &String| OsString::from(format!("--{long}={value}"));
    if takes_value {
        return setting.values.iter().map(word).collect();
    }
    match setting.values.first().map(|value| value.to_ascii_lowercase()).as_deref() {
        Some("true" | "1" | "yes") => vec![OsString::from(format!("--{long}"))],
        Some("false" | "0" | "no") => Vec::new(),
        // The parser says that no value was expected, and which.
        _ => setting.values.iter().map(word).collect(),
    }
}

/// Where the value stands that the parser refuses, if not on the command line.
fn whence(error: &clap::Error, settings: &[Setting]) -> Option<String> {
    let mut flags = error.context().filter_map(|(kind, value)| match (kind, value) {
        (ContextKind::InvalidArg | ContextKind::PriorArg, ContextValue::String(flag)) => {
            Some(vec![flag.clone()])
        }
        (ContextKind::InvalidArg | ContextKind::PriorArg, ContextValue::Strings(flags)) => {
            Some(flags.clone())
        }
        _ => None,
    });
    let of = |flag: &String| {
        let name = flag.trim_start_matches('-').split([' ', '=']).next()?.replace('-', "_");
        let setting = settings.iter().find(|setting| setting.name == name)?;
        Some(format!("`{}` is set by {}", setting.name, setting.origin))
    };
    flags.find_map(|flags| flags.iter().find_map(of))
}

/// The value of a flag as it is in force; none if it has none.
fn value(matches: &ArgMatches, name: &str) -> Option<String> {
    let values = matches.try_get_raw(name).ok().flatten()?;
    let values: Vec<_> = values.map(OsStr::to_string_lossy).collect();
    Some(values.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &'static str, value: &str) -> Setting {
        Setting { name, values: vec![value.to_owned()], origin: FILE.to_owned() }
    }

    #[test]
    fn every_flag_of_a_crawl_is_a_setting_but_those_of_one_run() {
        let names = names();
        for name in
            ["bbox", "org_id", "concurrency", "format", "quiet", "token_file", "seq_out_file", "limit"]
        {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
        assert!(NO_SETTINGS.iter().all(|name| !names.contains(name)));
        for (_, ours) in TOOLSET {
            assert!(names.contains(&ours), "{ours}");
        }
        for name in INSTEAD.into_iter().flatten() {
            assert!(names.contains(name) || NO_SETTINGS.contains(name), "{name}");
        }
    }

    #[test]
    fn the_environment_names_each_as_the_flag_does() {
        let of = |set: &str, value: &str| {
            let settings = of_environment(|name| (name == set).then(|| OsString::from(value)));
            settings.expect("settings").into_iter().map(|one| (one.name, one.values)).collect::<Vec<_>>()
        };
        assert_eq!(of("STREETFLOW_TILE_RATE", "10"), [("tile_rate", vec!["10".to_owned()])]);
        assert_eq!(of("STREETFLOW_TILE_RATE", ""), []);
        assert_eq!(of("STREETFLOW_CACHE_DIR", "x"), [], "that is no setting");
    }

    #[test]
    fn what_the_words_say_rules_out_what_is_set() {
        let mut command = Cli::command();
        command.build();
        let holds = |words: &[&str], setting: &Setting| {
            let words = ["streetflow"].iter().chain(words);
            let matches = Cli::command().try_get_matches_from(words).expect("words");
            let (name, of) = matches.subcommand().expect("a command");
            is_in_force(setting, command.find_subcommand(name).expect("a command"), of)
        };
        let bbox = set("bbox", "1,2,3,4");
        assert!(holds(&["crawl"], &bbox) && !holds(&["crawl", "--bbox=5,6,7,8"], &bbox));
        assert!(!holds(&["crawl", "--around=5,6", "--radius=7"], &bbox));
        assert!(!holds(&["crawl", "--images=7"], &bbox) && holds(&["crawl", "--user=me"], &bbox));
        assert!(!holds(&["images"], &bbox), "it has no such flag");
        assert!(!holds(&["crawl", "--flat"], &set("pano", "true")));
        assert!(!holds(&["crawl", "--user=me"], &set("org_id", "7")));
    }
}
