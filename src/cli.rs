//! The command line: arguments of every role, and what each starts.
//!
//! `start`, `configure` and `version` are the official plugin's. The same binary answers to the name `teleport-slack`.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use tracing::{error, info, warn};

use crate::admin::CertificateFiles;
use crate::admin::access::{self, Authentication};
use crate::config::recipient::Recipient;
use crate::config::{self, Config, DEFAULT_API_URL, DEFAULT_PATH, Environment, OVERRIDES, Origin, Wildcard};
use crate::controller::policy::Policy;
use crate::controller::resources::WorkerPods;
use crate::slack::app_manifest::{APP_TOKEN_SCOPE, Manifest, ManifestError, Needs};
use crate::telemetry::{self, Logging};
use crate::{controller, crd, file_watch, hardening, probe, worker};

const NAME: &str = "slack-access-operator";
const OFFICIAL_NAME: &str = "teleport-slack";

/// Teleport access requests in Slack.
#[derive(Debug, Parser)]
#[command(name = NAME, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run between one Teleport cluster and one Slack workspace, as a plain service
    Start(Start),
    /// Run between one Teleport cluster and one Slack workspace, as part of the operator
    Worker(Worker),
    /// Run a worker for each SlackAccessPlugin object of a Kubernetes cluster
    Controller(Controller),
    /// Print the definition of SlackAccessPlugin, for kubectl apply
    Crd,
    /// Print the manifest of the Slack app: the scopes and switches that a configuration needs
    AppManifest(AppManifest),
    /// Ask a running process's /livez or /readyz: exit code 0 when it says yes
    Probe(Probe),
    /// Print an example configuration file
    Configure,
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
struct Start {
    /// Configuration file
    #[arg(short, long, value_name = "PATH", default_value = DEFAULT_PATH)]
    config: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Worker {
    /// Configuration file, in the format of `configure`; recipients for "*" may be left out
    #[arg(short, long, value_name = "PATH")]
    config: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Controller {
    /// Watch this namespace only; may be repeated, or be a list with commas. All namespaces when left out
    #[arg(long = "watch-namespace", value_name = "NAMESPACE", value_delimiter = ',', env = "WATCH_NAMESPACE")]
    watch_namespaces: Vec<String>,
    /// Image of the workers whose object names none
    #[arg(long, value_name = "IMAGE", env = "WORKER_IMAGE")]
    worker_image: String,
    /// File with the policy for authors of SlackAccessPlugin objects (docs/security.md); the strict default when left out
    #[arg(long, value_name = "PATH")]
    policy: Option<PathBuf>,
    /// A seccomp profile for the workers' pods, as its path below the kubelets' folder of profiles; the container runtime's own when
    /// left out
    #[arg(long, value_name = "PATH")]
    worker_seccomp_profile: Option<String>,
    #[command(flatten)]
    diag: Diag,
    /// Name of this instance in events
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = NAME)]
    instance: String,
    /// Least severe lines that are logged: error, warn, info, debug
    #[arg(long, value_name = "SEVERITY", default_value_t)]
    log_severity: telemetry::Severity,
    /// How lines are logged: text, json
    #[arg(long, value_name = "FORMAT", default_value_t)]
    log_format: telemetry::Format,
}

#[derive(Debug, Args)]
struct AppManifest {
    /// With what it takes to approve and deny in Slack
    #[arg(long)]
    review: bool,
    /// Leave out the scopes that only serve to check recipients and to find messages whose answer was lost
    #[arg(long)]
    minimal: bool,
    /// Read from this configuration file what is needed
    #[arg(short, long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Name of the app
    #[arg(long, default_value = "Teleport Access Requests")]
    name: String,
    /// How it is written; Slack takes both
    #[arg(long, value_enum, default_value_t)]
    format: ManifestFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ManifestFormat {
    #[default]
    Yaml,
    Json,
}

#[derive(Debug, Args)]
struct Probe {
    /// What to ask, such as `http://127.0.0.1:8081/readyz`
    url: String,
}

#[derive(Debug, Args)]
struct Common {
    /// Log every decision, whatever the configuration says
    #[arg(short, long)]
    debug: bool,
    #[command(flatten)]
    diag: Diag,
}

/// The endpoints of a running process.
#[derive(Debug, Args)]
struct Diag {
    /// Serve /livez, /readyz and /metrics there
    #[arg(long = "diag-addr", value_name = "HOST:PORT")]
    address: Option<String>,
    /// What a reader of /metrics has to show: none, or kubernetes (a token of this cluster, of a user who may get the path /metrics).
    /// The controller asks it of its workers too
    #[arg(long, value_name = "KIND", default_value = "none", hide_possible_values = true)]
    metrics_auth: Authentication,
    /// PEM file of a certificate: /metrics is then served over TLS only. Read again when it changes
    #[arg(long, value_name = "PATH", requires = "metrics_tls_key")]
    metrics_tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's key
    #[arg(long, value_name = "PATH", requires = "metrics_tls_cert")]
    metrics_tls_key: Option<PathBuf>,
}

impl Diag {
    /// The address, and who may read `/metrics`.
    fn into_settings(self) -> (Option<String>, access::Settings) {
        let Self { address, metrics_auth, metrics_tls_cert, metrics_tls_key } = self;
        let certificate =
            metrics_tls_cert.zip(metrics_tls_key).map(|(certificate, key)| CertificateFiles { certificate, key });
        (address, access::Settings { authentication: metrics_auth, certificate })
    }
}

/// Why a command failed; each is one line.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    #[error(transparent)]
    Worker(#[from] worker::Error),
    #[error(transparent)]
    Controller(#[from] controller::Error),
    #[error(transparent)]
    Probe(#[from] probe::Error),
    #[error("--policy: cannot use {}: {reason}; write it as docs/security.md shows", path.display())]
    Policy { path: PathBuf, reason: String },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("cannot render the manifest: {0}")]
    ManifestJson(#[from] serde_json::Error),
    #[error("cannot render the definition: {0}")]
    Definition(#[from] serde_saphyr::SerializeError),
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

/// Runs a command: 0 when it ended well, 1 with one line on standard error when it did not, 2 for wrong arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = program_name(arguments.first());
    let parsed = command(name).try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help is an "error" for the parser; it goes to standard output, with exit code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let ended = match cli.command {
        Command::Start(Start { config, common }) => {
            run_worker((config, Wildcard::Required, Environment::from_process(), common), true)
        }
        // Its settings are the object's alone, which a policy has judged: no variable replaces one.
        Command::Worker(Worker { config, common }) => {
            run_worker((config, Wildcard::Optional, Environment::default(), common), false)
        }
        Command::Controller(arguments) => run_controller(arguments),
        Command::Crd => crd::yaml().map_err(Fatal::from).and_then(|yaml| print(&yaml)),
        Command::AppManifest(arguments) => app_manifest(arguments),
        Command::Probe(Probe { url }) => probe::ask(&url).map_err(Fatal::from).and_then(|said| print(&said)),
        Command::Configure => print(config::EXAMPLE),
        Command::Version => print(&version(name)),
    };
    match ended {
        Ok(()) => {
            telemetry::flush();
            ExitCode::SUCCESS
        }
        Err(error) => {
            telemetry::write_last(format!("error: {}", one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run_worker(
    (path, wildcard, environment, common): (PathBuf, Wildcard, Environment, Common),
    strict: bool,
) -> Result<(), Fatal> {
    let Common { debug, diag } = common;
    let (diag_addr, metrics) = diag.into_settings();
    let origin = Origin { path, wildcard, environment, debug, diag_addr };
    let loaded = origin.load()?;
    let logging = Logging::start(&loaded.config.log)?;
    hardening::apply();
    hardening::forbid_programs();
    info!("Starting Teleport Access Slack Plugin {}", env!("CARGO_PKG_VERSION"));
    for warning in &loaded.warnings {
        warn!("Configuration: {warning}");
    }
    if loaded.config.kubernetes.is_none() {
        // In a pod there is nobody else, and the kubelet makes files of Secrets readable by everybody.
        for (setting, path) in origin.secret_files(&loaded.config) {
            if file_watch::is_readable_by_others(&path) {
                warn!(file = %path.display(), "{setting}: every user of this machine can read it; chmod o-rwx");
            }
        }
    }
    let in_file = matches!(loaded.config.log.output, telemetry::Output::File(_));
    let ended = block_on(worker::run(loaded.config, worker::RunOptions { origin, metrics, logging, strict }));
    if let (Err(fatal), true) = (&ended, in_file) {
        // Standard error may be read by nobody.
        error!("Terminating: {}", one_line(fatal));
    }
    ended
}

fn run_controller(arguments: Controller) -> Result<(), Fatal> {
    let Controller {
        watch_namespaces,
        worker_image,
        policy,
        worker_seccomp_profile,
        diag,
        instance,
        log_severity,
        log_format,
    } = arguments;
    let policy = policy.map_or_else(|| Ok(Policy::default()), read_policy)?;
    let (diag_addr, metrics) = diag.into_settings();
    let worker_pods = WorkerPods {
        metrics_authentication: metrics.authentication,
        seccomp_profile: worker_seccomp_profile.filter(|path| !path.is_empty()),
    };
    Logging::start(&telemetry::Log { output: telemetry::Output::Stdout, severity: log_severity, format: log_format })?;
    hardening::apply();
    // A kubeconfig, which comes first, may name a program that logs in.
    if std::env::var_os("KUBECONFIG").is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        hardening::forbid_programs();
    }
    // `--watch-namespace=` of a template without a value means none.
    let namespaces = watch_namespaces.into_iter().filter(|namespace| !namespace.is_empty()).collect();
    block_on(controller::run(controller::Settings {
        namespaces,
        worker_image,
        policy,
        worker_pods,
        diag_addr,
        metrics,
        instance,
    }))
}

fn read_policy(path: PathBuf) -> Result<Policy, Fatal> {
    let unusable = |path: PathBuf, reason: String| Fatal::Policy { path, reason };
    match std::fs::read_to_string(&path) {
        Ok(text) => Policy::parse(&text).map_err(|error| unusable(path, error.to_string())),
        Err(error) => Err(unusable(path, error.to_string())),
    }
}

/// The manifest goes to standard output; the link that makes the app of it, to a comment in YAML and to standard error with JSON.
fn app_manifest(arguments: AppManifest) -> Result<(), Fatal> {
    let AppManifest { review, minimal, config, name, format } = arguments;
    let config = match config {
        Some(path) => Some(Config::load(&path, Wildcard::Optional, &Environment::from_process())?.config),
        None => None,
    };
    let to_channels = |config: &Config| {
        let is_channel =
            |recipient: &Recipient| matches!(recipient, Recipient::ChannelName(_) | Recipient::ChannelId(_));
        config.role_to_recipients.all().iter().any(is_channel)
    };
    let needs = Needs {
        channels: config.as_ref().is_none_or(to_channels),
        look_ups: !minimal,
        review: review || config.as_ref().is_some_and(|config| config.review.is_some()),
    };
    let manifest = Manifest::new(&name, needs)?;
    let api_url = config.as_ref().map_or(DEFAULT_API_URL, |config| &config.slack.api_url);
    let link = manifest.creation_link(api_url)?;
    let mut steps = vec![
        "1. Open the link, or paste this manifest under \"Create New App > From a manifest\":".to_owned(),
        format!("   {link}"),
        "2. Install the app to the workspace. The bot token (xoxb-...) is under \"OAuth & Permissions\".".to_owned(),
    ];
    if needs.review {
        steps.push(format!(
            "3. Generate the app-level token (xapp-...) under \"Basic Information > App-Level Tokens\", with the scope \
             {APP_TOKEN_SCOPE}: no manifest can."
        ));
    }
    match format {
        ManifestFormat::Yaml => print(&format!("# {}\n{}", steps.join("\n# "), serde_saphyr::to_string(&manifest)?)),
        ManifestFormat::Json => {
            let _ = writeln!(io::stderr(), "{}", steps.join("\n"));
            print(&format!("{}\n", serde_json::to_string_pretty(&manifest)?))
        }
    }
}

/// One thread serves everything: the work is waiting, and memory counts.
fn block_on<E>(role: impl Future<Output = Result<(), E>>) -> Result<(), Fatal>
where
    Fatal: From<E>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fatal::Runtime)?;
    Ok(runtime.block_on(role)?)
}

/// The error with its causes, unless its own words already hold them.
fn one_line(error: &Fatal) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

fn print(text: &str) -> Result<(), Fatal> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // Whoever reads has seen enough (`configure | head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Fatal::Output),
    }
}

/// `teleport-slack` when called so, for instance through a symbolic link.
fn program_name(argument: Option<&OsString>) -> &'static str {
    let called = argument.map(Path::new).and_then(Path::file_name);
    if called == Some(OsStr::new(OFFICIAL_NAME)) { OFFICIAL_NAME } else { NAME }
}

/// Like Teleport's own tools: name, version, source revision, compiler. The revision is known when the build was told it.
fn version(name: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let revision = option_env!("SOURCE_REVISION").filter(|revision| !revision.is_empty());
    let revision = revision.map(|revision| format!("-{revision}")).unwrap_or_default();
    format!("{name} v{version} git:{name}-v{version}{revision} rust{}\n", env!("RUSTC_VERSION"))
}

fn command(name: &'static str) -> clap::Command {
    let line = |variable: &str, meaning: &str| format!("  {variable:38} {meaning}");
    let overrides = OVERRIDES.iter().map(|over| line(over.variable, &format!("{}.{}", over.section, over.key)));
    let overrides: Vec<String> = overrides
        .chain([line("TELEPORT_PLUGIN_FAIL_FAST", "true: end when the connection to Teleport breaks")])
        .collect();
    let shared = [
        line("HTTPS_PROXY, NO_PROXY", "proxy for connections to Slack and Teleport"),
        line("TELEPORT_TUNNEL_PUBLIC_ADDR", "address of the Proxy's reverse tunnel, not looked up"),
        line("TELEPORT_TLS_ROUTING_CONN_UPGRADE", "whether a load balancer needs upgrades, not tested"),
        line("RUST_LOG", "what to log, instead of log.severity"),
    ]
    .join("\n");
    let environment =
        format!("Environment (takes the place of the file's settings):\n{}\n{shared}", overrides.join("\n"));
    let environment_of_worker = format!("Environment (no variable replaces a setting of the file):\n{shared}");
    let signals = "Signals:\n  HUP        read the configuration again, and open the log file anew\n  TERM, INT  \
                   end, after finishing or handing over what is in flight";
    let overview = format!(
        "Examples:\n  {name} configure | sudo tee /etc/teleport-slack.toml > /dev/null\n  {name} start\n  {name} start \
         --config=/etc/teleport-slack.toml --diag-addr=127.0.0.1:3000\n\nSee `{name} start --help` for environment \
         variables and signals."
    );
    let start = format!("Example:\n  {name} start --config={DEFAULT_PATH}\n\n{environment}\n\n{signals}");
    let worker = format!(
        "Example:\n  {name} worker --config=/etc/slack-access/worker.toml\n\n{environment_of_worker}\n\n{signals}"
    );
    let configure = format!("Example:\n  {name} configure | sudo tee {DEFAULT_PATH} > /dev/null");
    Cli::command()
        .name(name)
        .bin_name(name)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(overview)
        .mut_subcommand("start", |command| command.after_help(start))
        .mut_subcommand("worker", |command| command.after_help(worker))
        .mut_subcommand("configure", |command| command.after_help(configure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let matches = command(NAME).try_get_matches_from(arguments)?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn the_arguments_are_consistent() {
        command(NAME).debug_assert();
    }

    #[test]
    fn start_takes_the_official_flags() {
        let Command::Start(start) = parse(&["x", "start"]).unwrap().command else { panic!("start") };
        assert_eq!(start.config, Path::new("/etc/teleport-slack.toml"));
        assert!(!start.common.debug);
        for arguments in [["x", "start", "-d", "-c", "/f"], ["x", "start", "--debug", "--config", "/f"]] {
            let Command::Start(start) = parse(&arguments).unwrap().command else { panic!("start") };
            assert_eq!((start.config.as_path(), start.common.debug), (Path::new("/f"), true));
        }
    }

    #[test]
    fn a_worker_must_be_told_its_file() {
        assert!(parse(&["x", "worker"]).is_err());
    }

    #[test]
    fn only_the_official_name_is_taken_over() {
        assert_eq!(program_name(Some(&"/usr/local/bin/teleport-slack".into())), "teleport-slack");
        assert_eq!(program_name(Some(&"./renamed".into())), NAME);
        assert_eq!(program_name(None), NAME);
    }
}
