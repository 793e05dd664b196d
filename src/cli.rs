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
use crate::{check, controller, convert, crd, file_watch, hardening, join_resources, probe, worker};

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
    /// Try a configuration against the real Teleport and Slack: what does not work, and what to do
    Check(Check),
    /// Make a SlackAccessPlugin of the official plugin's TOML file, or of its chart's values
    Convert(Convert),
    /// Print the definition of SlackAccessPlugin, for kubectl apply
    Crd,
    /// Print what Teleport needs so that a worker can join with its ServiceAccount, for tctl create
    JoinResources(JoinResources),
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
struct Check {
    /// Configuration file: the official plugin's, or a worker's
    #[arg(short, long, value_name = "PATH", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// A SlackAccessPlugin of the cluster, instead of a file
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    object: Option<String>,
    /// The object's namespace; the kubeconfig's own when left out
    #[arg(short, long, value_name = "NAMESPACE", requires = "object")]
    namespace: Option<String>,
    /// Post a marked message to each recipient, and remove it
    #[arg(long)]
    send_test: bool,
    /// Say who would be told about a request for --roles
    #[arg(long, requires = "roles")]
    explain: bool,
    /// The roles of that request, with commas
    #[arg(long, value_name = "ROLE", value_delimiter = ',', requires = "explain")]
    roles: Vec<String>,
    /// Who makes that request
    #[arg(long, value_name = "USER", default_value = "somebody", requires = "explain")]
    user: String,
    /// Whom its requester suggests as reviewers, with commas
    #[arg(long, value_name = "USER", value_delimiter = ',', requires = "explain")]
    reviewers: Vec<String>,
    /// How findings are written: text, json
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
    /// End with exit code 1 when something is only warned of
    #[arg(long)]
    fail_on_warning: bool,
}

#[derive(Debug, Args)]
struct Convert {
    /// The official plugin's TOML file, or its chart's values; `-` for standard input
    #[arg(value_name = "FILE", default_value = DEFAULT_PATH)]
    file: PathBuf,
    /// What the file is: auto, toml, values
    #[arg(long, value_name = "FORM", default_value = "auto")]
    form: convert::Form,
    /// Name of the object
    #[arg(long, value_name = "NAME", default_value = "slack")]
    name: String,
    /// Namespace of the object and of the Secrets beside it
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Release of the official chart that the values are of: names of its Secrets derive from it
    #[arg(long, value_name = "RELEASE", default_value = "teleport-plugin-slack")]
    release: String,
    /// Make the object with spec.suspend, so that nothing is announced before it is set to false
    #[arg(long)]
    suspend: bool,
}

#[derive(Debug, Args)]
struct JoinResources {
    /// Name of the SlackAccessPlugin object; it need not be there yet
    name: String,
    /// Its namespace
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Name of the token resource; the object's spec.teleport.join.token, or NAME-k8s, when left out
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
    /// Name of the bot; that of the object when left out
    #[arg(long, value_name = "NAME")]
    bot: Option<String>,
    /// Role that the bot takes on; the object's spec.teleport.join.role, or access-plugin, when left out
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// How Teleport is to check the tokens; chosen by the cluster's issuer when left out
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<join_resources::Kind>,
    /// Major version of Teleport: 14 has no bot resource, and gets the command for the bot instead
    #[arg(long, value_name = "MAJOR", default_value_t = 18)]
    teleport: u32,
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
    Convert(#[from] convert::Error),
    #[error("cannot read {path}: {source}; name the official plugin's file, or - for standard input")]
    Input { path: String, source: io::Error },
    #[error(transparent)]
    JoinResources(#[from] join_resources::Error),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
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
        Command::Check(arguments) => match run_check(arguments) {
            Ok(code) => return ExitCode::from(code),
            Err(error) => Err(error),
        },
        Command::Convert(arguments) => run_convert(&arguments),
        Command::Crd => crd::yaml().map_err(Fatal::from).and_then(|yaml| print(&yaml)),
        Command::JoinResources(arguments) => run_join_resources(arguments),
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

/// The exit code: 0, 1 for warnings on request, 2 for failures.
fn run_check(arguments: Check) -> Result<u8, Fatal> {
    let Check { config, object, namespace, send_test, explain, roles, user, reviewers, output, fail_on_warning } =
        arguments;
    let source = match object {
        Some(name) => check::Where::Object { name, namespace },
        None => check::Where::File(config),
    };
    let imagined = explain.then_some(check::judge::Imagined { user, roles, reviewers });
    let options = check::Options { source, environment: Environment::from_process(), send_test, imagined };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fatal::Runtime)?;
    let report = runtime.block_on(check::run(options));
    print(&if output == "json" { report.to_json()? } else { report.to_text() })?;
    Ok(report.exit_code(fail_on_warning))
}

fn run_convert(arguments: &Convert) -> Result<(), Fatal> {
    let Convert { file, form, name, namespace, release, suspend } = arguments;
    let is_stdin = file == Path::new("-");
    let shown = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
    let text = if is_stdin { io::read_to_string(io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|source| Fatal::Input { path: shown.clone(), source })?;
    let options = convert::Options {
        file: shown,
        form: *form,
        name: name.clone(),
        namespace: namespace.clone(),
        release: release.clone(),
        suspend: *suspend,
    };
    print(&convert::convert(&text, &options)?.to_yaml()?)
}

fn run_join_resources(arguments: JoinResources) -> Result<(), Fatal> {
    let JoinResources { name, namespace, token, bot, role, kind, teleport } = arguments;
    let settings = join_resources::Settings { name, namespace, token, bot, role, kind, teleport };
    print(&block_on(join_resources::documents(&settings))?)
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
fn block_on<T, E>(role: impl Future<Output = Result<T, E>>) -> Result<T, Fatal>
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
        .chain([
            line("TELEPORT_PLUGIN_FAIL_FAST", "true: end when the connection to Teleport breaks"),
            line("KUBERNETES_TOKEN_PATH", "ServiceAccount token, when teleport.join_token_path is not set"),
        ])
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
    let check = format!(
        "Examples:\n  {name} check --config={DEFAULT_PATH}\n  {name} check --object=slack --namespace=teleport\n  {name} \
         check --explain --roles=dba,dev --user=alice\n\nExit code: 0, 1 for warnings with --fail-on-warning, 2 for failures. \
         The first line names the cause."
    );
    let convert = format!(
        "Examples:\n  {name} convert {DEFAULT_PATH} > slack.yaml\n  helm get values -o yaml slack | {name} convert - \
         --release=slack > slack.yaml\n\nNo secret of the input is in the output."
    );
    let join =
        format!("Example:\n  {name} join-resources slack -n teleport > teleport.yaml\n  tctl create -f teleport.yaml");
    let configure = format!("Example:\n  {name} configure | sudo tee {DEFAULT_PATH} > /dev/null");
    Cli::command()
        .name(name)
        .bin_name(name)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(overview)
        .mut_subcommand("start", |command| command.after_help(start))
        .mut_subcommand("worker", |command| command.after_help(worker))
        .mut_subcommand("check", |command| command.after_help(check))
        .mut_subcommand("convert", |command| command.after_help(convert))
        .mut_subcommand("configure", |command| command.after_help(configure))
        .mut_subcommand("join-resources", |command| command.after_help(join))
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

    /// Our own command lines in a text, as words.
    fn command_lines(text: &str) -> Vec<Vec<String>> {
        let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut found = Vec::new();
        for line in blocks.flat_map(str::lines) {
            let line = line.split("  #").next().unwrap_or_default();
            for part in line.split(" | ") {
                let words: Vec<&str> = part.split(" > ").next().unwrap_or_default().split_whitespace().collect();
                let start = words.iter().position(|word| {
                    let is_ours =
                        [NAME, OFFICIAL_NAME].iter().any(|name| word == name || word.starts_with(&format!("{name}:")));
                    is_ours && *word != "-n"
                });
                let is_called = |start: usize| {
                    words
                        .get(start + 1)
                        .is_some_and(|next| !next.contains('/') && !next.starts_with('-') || *next == "--help")
                        && !matches!(words.first().copied(), Some("helm" | "sudo") if words.get(1).is_some_and(|word| ["install", "ln", "uninstall"].contains(word)))
                };
                if let Some(start) = start.filter(|start| is_called(*start)) {
                    found.push(words.iter().skip(start).map(|word| (*word).to_owned()).collect());
                }
            }
        }
        found
    }

    #[test]
    fn every_command_of_ours_on_a_page_is_one_that_we_take() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut pages = vec![root.join("README.md"), root.join("manifests/teleport/README.md")];
        let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(docs.filter(|path| path.extension() == Some(OsStr::new("md"))));
        let mut seen = 0;
        for page in pages {
            for words in command_lines(&std::fs::read_to_string(&page).unwrap()) {
                let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
                assert!(
                    parse(&arguments).is_ok(),
                    "{}: {arguments:?}: {}",
                    page.display(),
                    parse(&arguments).unwrap_err()
                );
                seen += 1;
            }
        }
        assert!(seen >= 10, "{seen}");
    }

    #[test]
    fn only_the_official_name_is_taken_over() {
        assert_eq!(program_name(Some(&"/usr/local/bin/teleport-slack".into())), "teleport-slack");
        assert_eq!(program_name(Some(&"./renamed".into())), NAME);
        assert_eq!(program_name(None), NAME);
    }
}
