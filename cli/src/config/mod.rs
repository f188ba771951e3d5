//! Settings: a flag overrides the environment, which overrides `streetflow.toml`, which overrides the default.
//!
//! The settings are appended to the command line as flags, unless it sets them itself. So values are parsed and checked
//! in one place, and conflicts are reported as for flags. A command takes the settings that it has flags for.

mod file;
mod setting;
mod template;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Parser};

use self::setting::{ENV_PREFIX, SettingNames};
pub(crate) use self::setting::{SETTINGS_FILE, Setting, flag, setting_names, takes_settings};
pub(crate) use self::template::template;
use crate::args::{QUERY_FLAGS, StorageArgs};
use crate::job::{PLAN_NAME, PlanDirectory};
use crate::runtime::block_on_current;
use crate::terminal::format::path_text;
use streetflow::{Error, ErrorKind, Result};

/// Settings that exclude each other: one on the command line disables the others.
const EXCLUSIVE: [&[&str]; 10] = [
    &["bbox", "area", "around", "radius", "sequences", "images", "features"],
    &["user", "org_id", "sequences", "images", "features"],
    &["clip", "sequences", "images", "features"],
    &["exhaustive", "sequences", "images", "features"],
    &["thorough", "sequences", "images", "features"],
    &["lines_only", "sequences", "images", "features"],
    &["lines_only", "thorough", "exhaustive"],
    &["pano", "flat"],
    &["quiet", "verbose"],
    &["exhaustive", "min_zoom"],
];

/// The command line with all settings.
pub(crate) struct Parsed<C> {
    pub(crate) cli: C,
    pub(crate) matches: ArgMatches,
    pub(crate) settings: Vec<Setting>,
    /// Settings for which the command has no flag.
    pub(crate) others: Vec<Setting>,
    /// The settings file that was read.
    pub(crate) file: Option<PathBuf>,
}

impl<C> Parsed<C> {
    /// A note about the settings file. A file of someone else may decide where the token is sent, so the note is always
    /// printed.
    pub(crate) fn file_note(&self) -> Option<String> {
        let path = self.file.as_ref().filter(|_| !self.settings.is_empty())?;
        Some(format!("settings from {}", path_text(path)))
    }
}

/// Why the command line or the settings are invalid.
pub(crate) enum ParseError {
    /// The error of clap, and where the setting with the invalid value is set.
    Arguments(clap::Error, Option<String>),
    Settings(Error),
}

/// Parses the command line, the environment and the settings file.
pub(crate) fn parse<C: Parser>(
    args: impl IntoIterator<Item = OsString>,
) -> std::result::Result<Parsed<C>, ParseError> {
    let args: Vec<OsString> = args.into_iter().collect();
    let reject = |error| ParseError::Arguments(error, None);
    let matches = C::command().try_get_matches_from(&args).map_err(reject)?;
    let mut command = C::command();
    command.build();
    let subcommand = matches
        .subcommand()
        .and_then(|(name, of)| Some((command.find_subcommand(name)?, of)))
        .filter(|(flags, _)| takes_settings(flags));
    let Some((flags, given)) = subcommand else {
        let cli = C::from_arg_matches(&matches).map_err(reject)?;
        return Ok(Parsed { cli, matches, settings: Vec::new(), others: Vec::new(), file: None });
    };
    let (file, candidates) =
        find_settings(&SettingNames::new(&command), &matches).map_err(ParseError::Settings)?;
    let candidates = with_plan(candidates, given).map_err(ParseError::Settings)?;
    let (candidates, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|setting| has_flag(flags, &setting.name));
    let settings: Vec<Setting> =
        candidates.into_iter().filter(|setting| is_in_effect(setting, flags, given)).collect();
    let settings = without_unused(settings, given);
    let extra = settings.iter().flat_map(|setting| to_flags(setting, flags));
    let all: Vec<OsString> = args.into_iter().chain(extra).collect();
    let matches = C::command().try_get_matches_from(all).map_err(|error| {
        let origin = origin_of(&error, &settings);
        ParseError::Arguments(error, origin)
    })?;
    let cli = C::from_arg_matches(&matches).map_err(reject)?;
    Ok(Parsed { cli, matches, settings, others, file })
}

/// The settings file, and the settings of the environment and the file. The environment overrides the file.
fn find_settings(names: &SettingNames, matches: &ArgMatches) -> Result<(Option<PathBuf>, Vec<Setting>)> {
    let from_flag = matches.get_one::<PathBuf>("config").cloned();
    let file = from_flag.or_else(|| Some(PathBuf::from(SETTINGS_FILE)).filter(|path| path.is_file()));
    let mut settings = from_environment(names, |name| std::env::var_os(name))?;
    if let Some(path) = &file {
        let is_new = |one: &Setting| settings.iter().all(|other| other.name != one.name);
        let new: Vec<_> = file::read(path, names)?.into_iter().filter(is_new).collect();
        settings.extend(new);
    }
    Ok((file, settings))
}

/// Puts the settings of the plan, if one is given, before the others.
fn with_plan(others: Vec<Setting>, given: &ArgMatches) -> Result<Vec<Setting>> {
    let Some(directory) = given.try_get_one::<PathBuf>("plan").ok().flatten() else { return Ok(others) };
    let origin = path_text(&directory.join(PLAN_NAME));
    let options = given.get_many::<String>("storage_option").into_iter().flatten().cloned().collect();
    let set = others.iter().find(|setting| setting.name == "state_dir").and_then(|set| set.values.first());
    let state_dir = given.get_one::<PathBuf>("state_dir").cloned().or_else(|| set.map(PathBuf::from));
    let files = PlanDirectory::open(directory, &StorageArgs::new(options, state_dir))?;
    let plan = block_on_current(files.read_plan())?.settings.into_iter();
    let mut settings: Vec<_> =
        plan.map(|(name, value)| Setting { name, values: vec![value], origin: origin.clone() }).collect();
    let is_new = |one: &Setting| settings.iter().all(|other| other.name != one.name);
    let others: Vec<_> = others.into_iter().filter(is_new).collect();
    settings.extend(others);
    Ok(settings)
}

fn from_environment(
    names: &SettingNames,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for name in &names.names {
        let origin = format!("{ENV_PREFIX}{}", name.to_uppercase());
        let Some(value) = variable(&origin).filter(|value| !value.is_empty()) else { continue };
        let value = value.into_string().map_err(|_| {
            Error::new(ErrorKind::Usage, "read the setting")
                .with_subject(&origin)
                .with_source("it is not valid UTF-8")
        })?;
        settings.push(Setting { name: name.clone(), values: vec![value], origin });
    }
    Ok(settings)
}

/// Whether the command has a flag. A hidden one belongs to a shared group, and does not apply to the command.
pub(crate) fn has_flag(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == name && !arg.is_hide_set())
}

/// Whether the command has the flag, and the command line sets neither it nor a flag that excludes it.
fn is_in_effect(setting: &Setting, flags: &Command, given: &ArgMatches) -> bool {
    let has = |name: &str| has_flag(flags, name);
    let is_given = |name: &str| {
        let source = has(name).then(|| given.value_source(name)).flatten();
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let is_excluded = EXCLUSIVE
        .iter()
        .filter(|names| names.contains(&setting.name.as_str()))
        .any(|names| names.iter().any(|name| is_given(name)));
    // A query from a file is complete: settings do not add to it.
    let is_in_query = QUERY_FLAGS.contains(&setting.name.as_str()) && (is_given("query") || is_given("plan"))
        || setting.name == "output" && is_given("plan");
    has(&setting.name) && !is_given(&setting.name) && !is_excluded && !is_in_query
}

/// Drops settings of formats that the run does not write. As flags they would be errors.
fn without_unused(mut settings: Vec<Setting>, given: &ArgMatches) -> Vec<Setting> {
    let given = given
        .try_get_raw("format")
        .ok()
        .flatten()
        .filter(|_| matches!(given.value_source("format"), Some(ValueSource::CommandLine)));
    let formats: Vec<String> = if let Some(values) = given {
        values.map(|value| value.to_string_lossy().into_owned()).collect()
    } else {
        let set = settings.iter().find(|setting| setting.name == "format");
        set.map_or_else(|| vec!["csv".to_owned()], |setting| setting.values.clone())
    };
    let any = |is: &dyn Fn(&str) -> bool| formats.iter().flat_map(|list| list.split(',')).any(is);
    settings.retain(|setting| match setting.name.as_str() {
        "compression" | "native_geometry" => any(&|format| format == "parquet"),
        "toolset_columns" => formats.iter().flat_map(|list| list.split(',')).all(|format| format == "csv"),
        "rs" => any(&|format| format == "geojsonseq"),
        "geometry" => any(&|format| format != "csv"),
        _ => true,
    });
    settings
}

/// A setting as command line arguments.
fn to_flags(setting: &Setting, flags: &Command) -> Vec<OsString> {
    let long = setting.name.replace('_', "-");
    let takes_value = flags
        .get_arguments()
        .find(|arg| *arg.get_id() == setting.name)
        .is_some_and(|arg| arg.get_action().takes_values());
    let with_value = |value: &String| OsString::from(format!("--{long}={value}"));
    if takes_value {
        return setting.values.iter().map(with_value).collect();
    }
    match setting.values.first().map(|value| value.to_ascii_lowercase()).as_deref() {
        Some("true" | "1" | "yes") => vec![OsString::from(format!("--{long}"))],
        Some("false" | "0" | "no") => Vec::new(),
        // The parser reports the unexpected value.
        _ => setting.values.iter().map(with_value).collect(),
    }
}

/// Where the value that the parser rejects is set, if not on the command line.
fn origin_of(error: &clap::Error, settings: &[Setting]) -> Option<String> {
    let mut flags = error.context().filter_map(|(kind, value)| match (kind, value) {
        (ContextKind::InvalidArg | ContextKind::PriorArg, ContextValue::String(flag)) => {
            Some(vec![flag.clone()])
        }
        (ContextKind::InvalidArg | ContextKind::PriorArg, ContextValue::Strings(flags)) => {
            Some(flags.clone())
        }
        _ => None,
    });
    let origin = |flag: &String| {
        let name = flag.trim_start_matches('-').split([' ', '=']).next()?.replace('-', "_");
        let setting = settings.iter().find(|setting| setting.name == name)?;
        Some(format!("`{}` is set by {}", setting.name, setting.origin))
    };
    flags.find_map(|flags| flags.iter().find_map(origin))
}

/// The value of a flag in effect, if it has one.
pub(crate) fn value(matches: &ArgMatches, name: &str) -> Option<String> {
    let values = matches.try_get_raw(name).ok().flatten()?;
    let values: Vec<_> = values.map(OsStr::to_string_lossy).collect();
    Some(values.join(","))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting { name: name.to_owned(), values: vec![value.to_owned()], origin: SETTINGS_FILE.to_owned() }
    }

    #[test]
    fn environment_variables_have_the_names_of_flags() {
        let names = SettingNames { names: vec!["tile_rate".to_owned()], one_run: Vec::new() };
        let read = |set: &str, value: &str| {
            let settings = from_environment(&names, |name| (name == set).then(|| OsString::from(value)));
            settings.expect("settings").into_iter().map(|one| (one.name, one.values)).collect::<Vec<_>>()
        };
        let rate = ("tile_rate".to_owned(), vec!["10".to_owned()]);
        assert_eq!(read("STREETFLOW_TILE_RATE", "10"), [rate]);
        assert_eq!(read("STREETFLOW_TILE_RATE", ""), []);
        assert_eq!(read("STREETFLOW_CACHE_DIR", "x"), [], "not a setting");
    }

    #[test]
    fn flags_disable_the_settings_that_they_exclude() {
        let flag = |name: &'static str| Arg::new(name).long(if name == "org_id" { "org-id" } else { name });
        let crawl = Command::new("crawl")
            .args(["bbox", "around", "radius", "images", "user", "org_id"].map(flag))
            .args(["pano", "flat"].map(|name| flag(name).action(ArgAction::SetTrue)));
        let is_in_effect = |args: &[&str], setting: &Setting| {
            let given = crawl.clone().try_get_matches_from(["crawl"].iter().chain(args)).expect("arguments");
            is_in_effect(setting, &crawl, &given)
        };
        let bbox = setting("bbox", "1,2,3,4");
        assert!(is_in_effect(&[], &bbox) && !is_in_effect(&["--bbox=5,6,7,8"], &bbox));
        assert!(!is_in_effect(&["--around=5,6", "--radius=7"], &bbox));
        assert!(!is_in_effect(&["--images=7"], &bbox) && is_in_effect(&["--user=me"], &bbox));
        assert!(!is_in_effect(&[], &setting("exif", "never")), "the command has no such flag");
        assert!(!is_in_effect(&["--flat"], &setting("pano", "true")));
        assert!(!is_in_effect(&["--user=me"], &setting("org_id", "7")));
    }
}
