//! Logging: structured, as text or JSON.

mod pipe;

use std::convert::Infallible;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

use crate::telemetry::pipe::{Pipe, Target};

pub use crate::telemetry::pipe::dropped_lines;

/// How long the end of the process may wait for a log that nobody reads.
const FAREWELL: Duration = Duration::from_secs(1);
/// Of a log file that is made: its lines name people and what they ask for.
const FILE_MODE: u32 = 0o640;

/// This process's pipe, for its last lines.
static PIPE: OnceLock<Pipe> = OnceLock::new();

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

/// The names that the official plugin accepts, in any case; anything else is a file.
impl FromStr for Output {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.to_lowercase().as_str() {
            "" | "stderr" | "error" | "2" => Self::Stderr,
            "stdout" | "out" | "1" => Self::Stdout,
            _ => Self::File(text.into()),
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

/// Logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log file cannot be opened.
    #[error("cannot open log file {}: {source}; set log.output to a file that can be written, or to stderr", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `RUST_LOG` cannot be understood.
    #[error("environment variable RUST_LOG: {0}; write it like `info` or `warn,slack_access_operator=debug`")]
    Directives(#[from] tracing_subscriber::filter::ParseError),
    /// The system gives no thread.
    #[error("cannot start the thread that writes the log: {0}; restart the process")]
    Thread(#[source] io::Error),
    /// Logging was set up before.
    #[error("logging was started twice in one process")]
    Twice,
}

/// The process's logging, once it has started; a cheap handle.
#[derive(Clone)]
pub struct Logging {
    filter: reload::Handle<Targets, Registry>,
    pipe: Pipe,
    /// Directives of `RUST_LOG`, which the configuration does not overrule.
    directives: Option<String>,
}

impl Logging {
    /// Starts logging for the whole process. `RUST_LOG`, when set, decides what is written instead of the severity.
    pub fn start(log: &Log) -> Result<Self, Error> {
        let directives = std::env::var("RUST_LOG").ok().filter(|directives| !directives.trim().is_empty());
        let (logging, subscriber) = Self::build(log, directives)?;
        tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Twice)?;
        PIPE.set(logging.pipe.clone()).map_err(|_| Error::Twice)?;
        Ok(logging)
    }

    /// Takes over a changed severity and output, and opens a log file anew, so that it can be rotated. The format stays.
    pub fn apply(&self, log: &Log) -> Result<(), Error> {
        let target = open(&log.output)?;
        let filter = filter(log.severity, self.directives.as_deref())?;
        self.pipe.switch(target);
        self.filter.reload(filter).map_err(|_| Error::Twice)
    }

    fn build(log: &Log, directives: Option<String>) -> Result<(Self, impl Subscriber + Send + Sync + use<>), Error> {
        let pipe = Pipe::start(open(&log.output)?).map_err(Error::Thread)?;
        let (filter, handle) = reload::Layer::new(filter(log.severity, directives.as_deref())?);
        let layer = tracing_subscriber::fmt::layer().with_target(false).with_writer(pipe.clone());
        let layer = match log.format {
            Format::Text => layer.with_ansi(log.output.is_terminal()).boxed(),
            Format::Json => layer.json().flatten_event(true).boxed(),
        };
        let subscriber = Registry::default().with(filter).with(layer);
        Ok((Self { filter: handle, pipe, directives }, subscriber))
    }
}

impl Output {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Stderr => io::stderr().is_terminal(),
            Self::Stdout => io::stdout().is_terminal(),
            Self::File(_) => false,
        }
    }
}

/// Libraries speak one step quieter than we do: their debug lines are about bytes. kube says every failed call as an error of its
/// own, and every refused watch as a warning, beside what we say of it.
///
/// `Targets` knows no directives for spans or fields, of which we log none; what does keeps a regex engine in memory.
fn filter(severity: Severity, directives: Option<&str>) -> Result<Targets, Error> {
    let own = match severity {
        Severity::Error => "error,kube_client::client::builder=off",
        Severity::Warn => {
            "warn,kube_client::client::builder=off,kube_runtime::watcher=error,slack_access_operator=warn"
        }
        Severity::Info => {
            "warn,kube_client::client::builder=off,kube_runtime::watcher=error,slack_access_operator=info"
        }
        Severity::Debug => "info,slack_access_operator=debug",
    };
    Ok(directives.unwrap_or(own).parse()?)
}

fn open(output: &Output) -> Result<Target, Error> {
    Ok(match output {
        Output::Stderr => Box::new(io::stderr()),
        Output::Stdout => Box::new(io::stdout()),
        Output::File(path) => Box::new(append(path)?),
    })
}

/// The official plugin empties the file at each start; what led to a restart is worth keeping.
fn append(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path);
    file.map_err(|source| Error::Open { path: path.to_owned(), source })
}

impl<'a> MakeWriter<'a> for Pipe {
    type Writer = Lines<'a>;

    fn make_writer(&'a self) -> Lines<'a> {
        Lines(self)
    }
}

/// What a line is written to: each is written whole.
pub(crate) struct Lines<'a>(&'a Pipe);

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until the log is written, but not long: the process is about to end.
pub fn flush() {
    if let Some(pipe) = PIPE.get() {
        pipe.flush(FAREWELL);
    }
}

/// Writes the log and a last line to standard error, neither of which may keep the process from ending.
pub fn write_last(line: String) {
    flush();
    let (sender, written) = mpsc::channel();
    let writer = std::thread::Builder::new().spawn(move || {
        let _ = writeln!(io::stderr(), "{line}");
        let _ = sender.send(());
    });
    if writer.is_ok() {
        let _ = written.recv_timeout(FAREWELL);
    }
}

/// A panic is a defect of this program: one line says where, and the process ends, to be started afresh.
pub fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message").replace('\n', " ");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        write_last(format!("error: internal error at {place}: {message}; please report this"));
        std::process::exit(101);
    }));
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing::{debug, error, info, warn};

    use super::*;

    fn log_to(path: &Path, severity: Severity, format: Format) -> Log {
        Log { output: Output::File(path.to_owned()), severity, format }
    }

    fn written(log: &Log, directives: Option<&str>, lines: impl FnOnce(&Logging)) -> String {
        let Output::File(path) = &log.output else { panic!("a file is needed") };
        let (logging, subscriber) = Logging::build(log, directives.map(str::to_owned)).unwrap();
        with_default(subscriber, || lines(&logging));
        logging.pipe.flush(Duration::from_secs(20));
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_guides_line_stands_in_the_text() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_to(&directory.path().join("log"), Severity::Info, Format::Text);
        let text = written(&log, None, |_| info!("Starting Teleport Access Slack Plugin {}", "1.2.3"));
        assert!(text.ends_with(" INFO Starting Teleport Access Slack Plugin 1.2.3\n"), "{text:?}");
    }

    #[test]
    fn json_lines_carry_the_fields() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_to(&directory.path().join("log"), Severity::Info, Format::Json);
        let text = written(&log, None, |_| warn!(request = "r-1", "Request waits"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["request"]),
            (&"WARN".into(), &"Request waits".into(), &"r-1".into())
        );
    }

    #[test]
    fn a_file_is_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_to(&directory.path().join("log"), Severity::Info, Format::Text);
        written(&log, None, |_| info!("First"));
        let text = written(&log, None, |_| info!("Second"));
        assert!(text.contains("First") && text.contains("Second"), "{text}");
    }

    #[test]
    fn a_log_file_is_not_for_everybody() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        written(&log_to(&path, Severity::Info, Format::Text), None, |_| info!("First"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !FILE_MODE, 0);
    }

    #[test]
    fn severity_and_file_can_change_while_running() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let rotated = directory.path().join("log.1");
        let log = log_to(&path, Severity::Warn, Format::Text);
        let text = written(&log, None, |logging| {
            info!("Hidden");
            warn!("Before");
            std::fs::rename(&path, &rotated).unwrap();
            logging.apply(&log_to(&path, Severity::Debug, Format::Text)).unwrap();
            debug!("After");
        });
        assert!(text.contains("After") && !text.contains("Before"), "{text}");
        let old = std::fs::read_to_string(&rotated).unwrap();
        assert!(old.contains("Before") && !old.contains("Hidden"), "{old}");
    }

    #[test]
    fn rust_log_is_stronger_than_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_to(&directory.path().join("log"), Severity::Error, Format::Text);
        let text = written(&log, Some("slack_access_operator=debug"), |logging| {
            logging.apply(&log).unwrap();
            debug!("Shown");
        });
        assert!(text.contains("Shown"), "{text}");
    }

    #[test]
    fn what_kube_says_beside_our_own_words_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_to(&directory.path().join("log"), Severity::Info, Format::Text);
        let text = written(&log, None, |_| {
            warn!(target: "kube_runtime::watcher", "watch list error with 403");
            error!(target: "kube_client::client::builder", "failed with status 403");
            error!(target: "kube_runtime::watcher", "a defect");
        });
        assert!(text.lines().count() == 1 && text.contains("a defect"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_to(&directory.path().join("missing").join("log"), Severity::Info, Format::Text);
        let error = Logging::build(&log, None).err().unwrap().to_string();
        assert!(error.starts_with("cannot open log file "), "{error}");
        assert!(error.contains("set log.output"), "{error}");
    }
}
