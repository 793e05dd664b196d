//! `simulators teleport`: a cluster for manual work and for other people's plugins.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use simulators::teleport::cluster::StartError;
use simulators::teleport::{Cluster, Config, Edition, KeyAlgorithm, ProxyConfig, Role, ServerVersion, User, control};
use tokio::net::TcpListener;

/// How the cluster is set up.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address of Auth.
    #[arg(long, default_value = "127.0.0.1:3025")]
    listen: String,
    /// Address of the Proxy's web port; without it there is no Proxy.
    #[arg(long)]
    proxy: Option<String>,
    /// What kind of Proxy.
    #[arg(long, value_enum, default_value_t)]
    proxy_mode: ProxyMode,
    /// Address of the HTTP control port.
    #[arg(long, default_value = "127.0.0.1:3026")]
    control: String,
    /// Directory for identity files.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Name of the cluster.
    #[arg(long, default_value = "teleport.example.com")]
    cluster: String,
    /// Version to behave as; before 15 there is no list of requests, and there are no monitoring rules. Teleport refuses
    /// clients that are more than one major version older: the official plugin 14.2.3 needs 14 or 15.
    #[arg(long, default_value_t = ServerVersion::NEW)]
    server_version: ServerVersion,
    /// Edition to behave as.
    #[arg(long, value_enum, default_value_t)]
    edition: Edition,
    /// Kind of keys; `rsa` is slow in a debug build.
    #[arg(long, value_enum, default_value_t)]
    keys: KeyAlgorithm,
    /// How long the identities are valid, in seconds.
    #[arg(long, default_value_t = 24 * 3600)]
    ttl: u64,
    /// How long a request waits for a decision, in seconds.
    #[arg(long, default_value_t = 3600)]
    request_ttl: u64,
    /// Requests in one page of a list.
    #[arg(long, default_value_t = 1000)]
    page_size: usize,
    /// Events that a watcher may leave unread before it is dropped.
    #[arg(long, default_value_t = 1024)]
    watch_buffer: usize,
}

/// What kind of Proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ProxyMode {
    /// Everything goes through the web port (TLS routing).
    #[default]
    Multiplex,
    /// No TLS routing: an SSH tunnel port beside the web port.
    Separate,
    /// TLS routing behind a load balancer that knows HTTP only.
    LoadBalancer,
}

/// Runs until interrupted.
pub(crate) async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let proxy = args.proxy.clone().map(|listen| ProxyConfig {
        listen,
        tls_routing: args.proxy_mode != ProxyMode::Separate,
        behind_load_balancer: args.proxy_mode == ProxyMode::LoadBalancer,
        public_addr: None,
    });
    let mut defaults = Config::default();
    defaults.roles.push(Role::new("admin").allow("*", &["*"]));
    defaults.users.push(User::new("admin", &["admin"]));
    let cluster = Cluster::start(Config {
        cluster_name: args.cluster.clone(),
        version: args.server_version,
        edition: args.edition,
        algorithm: args.keys,
        listen: args.listen.clone(),
        proxy,
        request_ttl: Duration::from_secs(args.request_ttl),
        page_size: args.page_size,
        watch_buffer: args.watch_buffer,
        ..defaults
    })
    .await
    .map_err(|error| match error {
        StartError::Listen { .. } => format!("{error}; choose another address with --listen or --proxy"),
        StartError::Signing(_) | StartError::Tls(_) => error.to_string(),
    })?;
    let listener = TcpListener::bind(&args.control).await.map_err(|error| {
        format!(
            "cannot listen on {} for the control port: {error}; choose another address with --control",
            args.control
        )
    })?;
    let identity = write_identities(&cluster, &args.out, Duration::from_secs(args.ttl))
        .map_err(|error| format!("cannot write identities into {}: {error}", args.out.display()))?;
    io::stdout().write_all(guide(&cluster, &args.out, &listener.local_addr()?.to_string()).as_bytes())?;
    let router = control::router(cluster.clone(), Some(identity));
    let serving = axum::serve(listener, router);
    tokio::select! {
        served = serving => served?,
        interrupted = super::interrupted() => interrupted?,
    }
    Ok(())
}

fn write_identities(cluster: &Cluster, directory: &Path, ttl: Duration) -> io::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let plugin = directory.join("auth.pem");
    let identity = cluster.user_identity("slack-plugin", ttl).map_err(io::Error::other)?;
    identity.write_identity_file(&plugin)?;
    identity.write_tls_files(directory.join("auth"))?;
    for user in cluster.users() {
        let identity = cluster.user_identity(&user.name, ttl).map_err(io::Error::other)?;
        identity.write_identity_file(directory.join(format!("{}.pem", user.name)))?;
    }
    std::fs::write(directory.join("web-ca.pem"), cluster.web_authority_pem())?;
    Ok(plugin)
}

fn guide(cluster: &Cluster, directory: &Path, control: &str) -> String {
    let directory = directory.display();
    let auth = cluster.addr();
    let users: Vec<_> = cluster.users().into_iter().map(|user| user.name).collect();
    let proxy = cluster.proxy_addr().map(|proxy| {
        let tunnel = cluster.tunnel_addr().map(|tunnel| format!(", SSH tunnel {tunnel}")).unwrap_or_default();
        let trust = format!("trust its certificate with SSL_CERT_FILE={directory}/web-ca.pem");
        format!("  Proxy       localhost:{}{tunnel}; {trust}\n", proxy.port())
    });
    format!(
        "Teleport cluster {name}, version {version}; refuses clients that say they are older than {oldest}
  Auth        {auth}
{proxy}  Control     http://{control}/_sim/state
  Identities  {directory}/auth.pem (the plugin; also auth.crt, auth.key, auth.cas), {directory}/<user>.pem: {users}

For the plugin:
  [teleport]
  addr = \"{auth}\"
  identity = \"{directory}/auth.pem\"

A request, and its approval:
  curl -s http://{control}/_sim/requests -H 'content-type: application/json' \\
    -d '{{\"user\": \"alice@example.com\", \"roles\": [\"dba\"], \"reason\": \"the index is gone\"}}'
  curl -s http://{control}/_sim/requests/<id>/review -H 'content-type: application/json' \\
    -d '{{\"author\": \"bob@example.com\", \"approve\": true}}'

A fault:
  curl -s http://{control}/_sim/faults -H 'content-type: application/json' \\
    -d '{{\"method\": \"UpdatePluginData\", \"effect\": \"answer_lost\", \"count\": 1}}'
",
        name = cluster.name(),
        version = cluster.version(),
        oldest = cluster.version().oldest_client(),
        proxy = proxy.unwrap_or_default(),
        users = users.join(", "),
    )
}
