//! From the official plugin's configuration to a `SlackAccessPlugin`; pure.
//!
//! ```text
//! TOML file    ─▶ toml_file ─┐
//!                            ├─▶ Official ─▶ object ─▶ Converted ─▶ manifest
//! chart values ─▶ values ────┘
//! ```
//!
//! No secret of the input is in the output: what stood in the input becomes a Secret to be filled in.

mod manifest;
mod object;
mod official;
#[cfg(test)]
mod tests;
mod toml_file;
mod values;

use std::str::FromStr;

use crate::crd::SlackAccessPlugin;

/// In what form a configuration of the official plugin is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Found out from the text.
    #[default]
    Auto,
    /// The plugin's own file, `/etc/teleport-slack.toml`.
    Toml,
    /// Values of the chart `teleport-plugin-slack`, in YAML or JSON.
    Values,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "toml" => Ok(Self::Toml),
            "values" => Ok(Self::Values),
            _ => Err(format!("{text:?} is not one of auto, toml and values")),
        }
    }
}

/// What is asked for beside the text itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// The input's name in messages.
    pub file: String,
    /// The input's form.
    pub form: Form,
    /// The name of the object.
    pub name: String,
    /// Its namespace; left to `kubectl` when absent.
    pub namespace: Option<String>,
    /// The release of the official chart: names of Secrets derive from it.
    pub release: String,
    /// Whether the object is made suspended.
    pub suspend: bool,
}

/// What became of a configuration.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The object.
    pub object: SlackAccessPlugin,
    /// What has to exist beside it and does not yet.
    pub skeletons: Vec<Skeleton>,
    /// What was not carried over as it was.
    pub notes: Vec<Note>,
}

/// A Secret or ConfigMap to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skeleton {
    /// `Secret` or `ConfigMap`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its keys, each with what belongs there.
    pub keys: Vec<(String, String)>,
    /// The command that makes it without the skeleton.
    pub command: String,
}

/// A setting that has no counterpart, or that was changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The setting, as in `slack.secret`.
    pub setting: String,
    /// What became of it, and why.
    pub reason: String,
}

impl Note {
    fn new(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { setting: setting.into(), reason: reason.into() }
    }
}

/// Why nothing can be made of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is neither form.
    #[error("{file}: {problem}; {remedy}")]
    Unreadable {
        /// The input.
        file: String,
        /// What is wrong with it; no part of the text.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The object cannot be written as YAML.
    #[error("cannot write the object: {0}")]
    Output(String),
}

/// Converts the text of a configuration.
pub fn convert(text: &str, options: &Options) -> Result<Converted, Error> {
    let unreadable = |problem: String, remedy| Error::Unreadable { file: options.file.clone(), problem, remedy };
    let form = match options.form {
        Form::Auto if toml_file::is_one(text) => Form::Toml,
        Form::Auto => Form::Values,
        form => form,
    };
    let official = if form == Form::Toml {
        toml_file::read(text)
            .map_err(|problem| unreadable(problem, "give the file that the official plugin starts with"))?
    } else {
        values::read(text, &options.release).map_err(|problem| {
            unreadable(problem, "give the official plugin's TOML file, or its chart's values (`helm get values`)")
        })?
    };
    Ok(object::build(official, options))
}

impl Converted {
    /// The manifest: notes as comments, skeletons, and the object.
    pub fn to_yaml(&self) -> Result<String, Error> {
        manifest::render(self).map_err(|error| Error::Output(error.to_string()))
    }
}
