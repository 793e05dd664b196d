//! Logging: structured, as text or JSON.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where, how much and how to log; the configuration file's `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// `output`.
    pub output: Output,
    /// `severity`.
    pub severity: Severity,
    /// `format`.
    pub format: Format,
}

/// Where log lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, created when missing and appended to.
    File(PathBuf),
}

/// The names that the official plugin accepts; anything else is a file.
impl FromStr for Output {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "" | "stderr" | "error" | "2" => Self::Stderr,
            "stdout" | "out" | "1" => Self::Stdout,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("stderr"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The least important lines that are still written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// Only what needs a person.
    Error,
    /// Also what looks wrong but was dealt with.
    Warn,
    /// Also the course of events.
    #[default]
    Info,
    /// Also every decision.
    Debug,
}

/// A severity that has no meaning.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported logger severity: '{0}'")]
pub struct UnsupportedSeverity(String);

/// The names that the official plugin accepts, in any case.
impl FromStr for Severity {
    type Err = UnsupportedSeverity;

    fn from_str(text: &str) -> Result<Self, UnsupportedSeverity> {
        Ok(match text.to_lowercase().as_str() {
            "err" | "error" => Self::Error,
            "warn" | "warning" => Self::Warn,
            "" | "info" => Self::Info,
            "debug" => Self::Debug,
            _ => return Err(UnsupportedSeverity(text.to_owned())),
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        })
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// A format that has no meaning.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported logger format: '{0}'")]
pub struct UnsupportedFormat(String);

impl FromStr for Format {
    type Err = UnsupportedFormat;

    fn from_str(text: &str) -> Result<Self, UnsupportedFormat> {
        Ok(match text.to_lowercase().as_str() {
            "" | "text" => Self::Text,
            "json" => Self::Json,
            _ => return Err(UnsupportedFormat(text.to_owned())),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}
