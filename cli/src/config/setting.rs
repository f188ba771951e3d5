//! The names of settings, derived from the flags.

use clap::{Arg, ArgGroup, Command};

use crate::args::ONE_RUN;

/// The settings file in the current directory.
pub(crate) const SETTINGS_FILE: &str = "streetflow.toml";

/// The prefix of environment variables that are settings.
pub(super) const ENV_PREFIX: &str = "STREETFLOW_";

/// The command that has all settings as flags.
const REFERENCE_COMMAND: &str = "crawl";

/// The flag of commands that take settings: those that write an output directory.
const SETTINGS_MARKER: &str = "output";

/// Global flags that are no settings.
const GLOBAL_FLAGS: [&str; 3] = ["help", "version", "config"];

/// Settings of the commands that draw detections and build training sets. `crawl` has no flags for them.
pub(super) const DRAWING_SETTINGS: [&str; 4] =
    ["detection_colours", "detection_masks", "image_detections_folder", "image_cropped_detections_folder"];

/// Names of settings in the Python toolset, and ours.
pub(super) const TOOLSET_NAMES: [(&str, &str); 5] = [
    ("output_folder", "output"),
    ("img_request_batch_size", "batch_size"),
    ("image_metadata_fields", "fields"),
    ("img_download_quality", "quality"),
    ("graph_endpoint", "graph_url"),
];

/// A setting in effect, and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The name, which is that of the flag.
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    /// Where it is set, for messages.
    pub(crate) origin: String,
}

/// The names of settings, and the flags that are none.
pub(super) struct SettingNames {
    /// In the order of the help.
    pub(super) names: Vec<String>,
    /// Flags that apply to one run: as settings they would be traps.
    pub(super) one_run: Vec<String>,
}

impl SettingNames {
    /// Reads the flags of a built command.
    pub(super) fn new(command: &Command) -> Self {
        let groups = command.get_subcommands().flat_map(Command::get_groups);
        let one_run = groups.filter(|group| *group.get_id() == ONE_RUN).flat_map(ArgGroup::get_args);
        let mut one_run: Vec<_> = one_run.map(ToString::to_string).collect();
        one_run.extend(GLOBAL_FLAGS.map(str::to_owned));
        let reference = command.find_subcommand(REFERENCE_COMMAND);
        let flags = reference.into_iter().flat_map(Command::get_arguments);
        let names = flags.filter(|flag| flag.get_long().is_some()).map(|flag| flag.get_id().to_string());
        let names = names.filter(|name| !one_run.contains(name));
        let has = |name: &&str| flag(command, name).is_some();
        let drawing = DRAWING_SETTINGS.into_iter().filter(has).map(str::to_owned);
        let names = names.chain(drawing).collect();
        Self { names, one_run }
    }
}

/// The flag of a setting: that of `crawl`, else that of the first command that has it.
pub(crate) fn flag<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let find = |command: &'a Command| command.get_arguments().find(|arg| *arg.get_id() == name);
    let reference = command.find_subcommand(REFERENCE_COMMAND).and_then(find);
    reference.or_else(|| command.get_subcommands().find_map(find))
}

/// The names of all settings, in the order of the help. `command` must be built.
pub(crate) fn setting_names(command: &Command) -> Vec<String> {
    SettingNames::new(command).names
}

/// Whether a command takes settings: it writes an output directory.
pub(crate) fn takes_settings(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == Some(SETTINGS_MARKER))
}
