//! A real Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager on loopback.
//!
//! `hack/kubernetes/build.sh` says where the programs are, and builds them the first time.

#![allow(dead_code, reason = "each test program uses its own part")]

mod process;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::config::{AuthInfo, Config};
use kube::core::CustomResourceExt as _;
use kube::{Api, Client};
use process::{Janitor, Process};
use slack_access_operator::crd::SlackAccessPlugin;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// How long anything may take on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// The token of somebody who may do everything.
const ADMIN_TOKEN: &str = "admin-token";

/// Writes only: what the audit log is read for.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n  verbs: [create, update, patch, delete, deletecollection, get, list, watch]\n";

/// A control plane of its own. It ends when this is dropped, or when the test process ends in whatever way.
pub struct Cluster {
    programs: PathBuf,
    home: PathBuf,
    port: u16,
    etcd_port: u16,
    api_server: Mutex<Option<Process>>,
    _etcd: Process,
    controller_manager: Mutex<Option<Process>>,
    _janitor: Janitor,
}

/// The control plane that all tests of one program share.
pub async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED.get_or_init(Cluster::start).await
}

impl Cluster {
    /// Starts one, with our definition installed.
    pub async fn start() -> Self {
        let cluster = Self::without_controller_manager().await;
        *cluster.controller_manager.lock().unwrap() = Some(cluster.start_controller_manager());
        cluster
    }

    /// Starts one in which nobody makes anything of a Deployment.
    pub async fn without_controller_manager() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let programs = programs();
        let home = TempDir::with_prefix("kubernetes-").unwrap().keep();
        let janitor = Janitor::of(&home);
        let [port, etcd_port, peer_port] = free_ports();
        let etcd = Process::start(
            Command::new(programs.join("etcd"))
                .arg("--data-dir")
                .arg(home.join("etcd"))
                .arg("--unsafe-no-fsync")
                .arg(format!("--listen-client-urls=http://127.0.0.1:{etcd_port}"))
                .arg(format!("--advertise-client-urls=http://127.0.0.1:{etcd_port}"))
                .arg(format!("--listen-peer-urls=http://127.0.0.1:{peer_port}")),
            &home.join("etcd.log"),
        );
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(home.join("service-accounts.key"), key.serialize_pem()).unwrap();
        std::fs::write(home.join("service-accounts.pub"), key.public_key_pem()).unwrap();
        std::fs::write(home.join("tokens.csv"), format!("{ADMIN_TOKEN},admin,admin,system:masters\n")).unwrap();
        std::fs::write(home.join("audit-policy.yaml"), AUDIT_POLICY).unwrap();
        let cluster = Self {
            programs,
            home,
            port,
            etcd_port,
            api_server: Mutex::default(),
            _etcd: etcd,
            controller_manager: Mutex::default(),
            _janitor: janitor,
        };
        cluster.start_api_server().await;
        cluster.install_definition().await;
        cluster
    }

    /// Starts the API server and waits until it is ready.
    pub async fn start_api_server(&self) {
        let file = |name: &str| self.home.join(name).display().to_string();
        let process = Process::start(
            Command::new(self.programs.join("kube-apiserver")).args([
                format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
                format!("--cert-dir={}", self.home.display()),
                format!("--secure-port={}", self.port),
                format!("--token-auth-file={}", file("tokens.csv")),
                format!("--service-account-key-file={}", file("service-accounts.pub")),
                format!("--service-account-signing-key-file={}", file("service-accounts.key")),
                format!("--audit-policy-file={}", file("audit-policy.yaml")),
                format!("--audit-log-path={}", file("audit.log")),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            ]),
            &self.home.join("kube-apiserver.log"),
        );
        *self.api_server.lock().unwrap() = Some(process);
        eventually("the API server to be ready (its log is kube-apiserver.log)", async || {
            let log = std::fs::read_to_string(self.home.join("kube-apiserver.log")).unwrap_or_default();
            let failure = log.lines().rev().take(3).find(|line| line.contains("\"command failed\""));
            assert!(failure.is_none(), "the API server does not start: {failure:?}");

            // Its certificate is made by the server itself, so that not even a client can be made before.
            let client = self.try_client(|_| {})?;
            client.request_text(http::Request::get("/readyz").body(Vec::new()).unwrap()).await.ok()
        })
        .await;
    }

    /// Takes the API server away.
    pub fn stop_api_server(&self) {
        drop(self.api_server.lock().unwrap().take());
    }

    fn start_controller_manager(&self) -> Process {
        let kubeconfig = self.home.join("controller-manager.yaml");
        std::fs::write(&kubeconfig, self.kubeconfig("")).unwrap();
        let file = |name: &str| self.home.join(name).display().to_string();
        Process::start(
            Command::new(self.programs.join("kube-controller-manager")).args([
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--service-account-private-key-file={}", file("service-accounts.key")),
                format!("--root-ca-file={}", file("apiserver.crt")),
                "--use-service-account-credentials".to_owned(),
                "--leader-elect=false".to_owned(),
                "--kube-api-qps=300".to_owned(),
                "--kube-api-burst=500".to_owned(),
                "--secure-port=0".to_owned(),
            ]),
            &self.home.join("kube-controller-manager.log"),
        )
    }

    /// The path of a kubeconfig for somebody who may do everything, and whom the audit log names.
    pub fn kubeconfig_as(&self, user: &str) -> PathBuf {
        let path = self.home.join(format!("{user}.yaml"));
        std::fs::write(&path, self.kubeconfig(&format!(", as: {user}, as-groups: ['system:masters']"))).unwrap();
        path
    }

    fn kubeconfig(&self, more: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: test, user: {{token: {ADMIN_TOKEN}{more}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            self.port,
            self.home.join("apiserver.crt").display(),
        )
    }

    async fn install_definition(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client());
        let definition = SlackAccessPlugin::crd();
        let name = definition.metadata.name.clone().unwrap();
        api.create(&kube::api::PostParams::default(), &definition).await.unwrap();
        kube::runtime::wait::await_condition(api, &name, kube::runtime::conditions::is_crd_established())
            .await
            .unwrap();
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.client_with(|_| {})
    }

    /// A client of somebody else: whom the audit log names, and whose rights count.
    pub fn client_as(&self, user: &str, groups: &[&str]) -> Client {
        self.client_with(|auth| {
            auth.impersonate = Some(user.to_owned());
            auth.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        })
    }

    /// How somebody who may do everything, and whom the audit log names so, reaches the API server at another address.
    pub fn config_at(&self, address: std::net::SocketAddr, user: &str) -> Config {
        let mut config = self.try_config().unwrap();
        config.cluster_url = format!("https://{address}").parse().unwrap();
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        config
    }

    /// The port of the API server.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn client_with(&self, change: impl FnOnce(&mut AuthInfo)) -> Client {
        self.try_client(change).unwrap()
    }

    fn try_client(&self, change: impl FnOnce(&mut AuthInfo)) -> Option<Client> {
        let mut config = self.try_config()?;
        change(&mut config.auth_info);
        Client::try_from(config).ok()
    }

    /// None before the server has made its certificate.
    fn try_config(&self) -> Option<Config> {
        let certificate = std::fs::read_to_string(self.home.join("apiserver.crt")).ok()?;
        let mut config = Config::new(format!("https://127.0.0.1:{}", self.port).parse().unwrap());
        config.root_cert = Some(certificates(&certificate));
        config.auth_info.token = Some(ADMIN_TOKEN.to_owned().into());
        Some(config)
    }

    /// Calls in the audit log that `user` made, as `verb resource[/subresource]`.
    pub fn calls_of(&self, user: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.home.join("audit.log")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|event| event["impersonatedUser"]["username"] == user && event["stage"] == "ResponseComplete")
            .map(|event| {
                let object = &event["objectRef"];
                let resource = object["resource"].as_str().unwrap_or_default();
                let verb = event["verb"].as_str().unwrap_or_default();
                match object["subresource"].as_str() {
                    Some(subresource) => format!("{verb} {resource}/{subresource}"),
                    None => format!("{verb} {resource}"),
                }
            })
            .collect()
    }

    /// Calls of `user` that change something.
    pub fn writes_of(&self, user: &str) -> Vec<String> {
        let reading = ["get ", "list ", "watch "];
        self.calls_of(user).into_iter().filter(|call| !reading.iter().any(|verb| call.starts_with(verb))).collect()
    }
}

/// The server's certificate and its issuer, DER.
fn certificates(pem: &str) -> Vec<Vec<u8>> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.unwrap().to_vec()).collect()
}

/// The folder of the programs; built on the first use.
fn programs() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/kubernetes/build.sh");
    let output = Command::new(script).arg("api").output().unwrap();
    assert!(output.status.success(), "hack/kubernetes/build.sh failed: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Ports that were free a moment ago: these programs cannot be told to choose for themselves.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = std::array::from_fn::<_, N, _>(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Looks until there is something to see.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let Ok(found) = tokio::time::timeout(PATIENCE, looking).await else { panic!("waited in vain for {what}") };
    found
}
