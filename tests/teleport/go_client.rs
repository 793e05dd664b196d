//! Teleport's own Go client goes through the life of a request (`hack/client`): against the real Teleport, and against the
//! simulated one on every way to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use simulators::teleport::catalog::{NewAccessList, NewLoginState, NewRule};
use simulators::teleport::{Cluster, Config, ProxyConfig};
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::cases::{self, ADMIN, ALICE, DBA, PLUGIN};
use crate::cluster::{SOON, Teleport};
use crate::conformance;

/// Longer than the client takes to build on a busy machine.
const BUILD: Duration = Duration::from_mins(30);

/// Where the client of a line of Teleport's API is.
async fn program(line: &str) -> PathBuf {
    static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();
    let build = async {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/client/build.sh");
        let mut command = Command::new(script);
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let output = timeout(BUILD, command.output()).await.expect("the client was not built in time").unwrap();
        assert!(output.status.success(), "hack/client/build.sh failed");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    };
    FOLDER.get_or_init(|| build).await.join(line)
}

/// What the client saw, a line a step. `dir` holds an identity file for each of the cast.
async fn conversation(line: &str, address: &str, dir: &Path, web_ca: &Path) -> Vec<String> {
    let mut command = Command::new(program(line).await);
    command.args(["-addr", address, "-role", DBA, "-plugin", PLUGIN, "-requester", ALICE, "-admin", ADMIN, "-dir"]);
    command.arg(dir).env("SSL_CERT_FILE", web_ca).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(2 * SOON, command.output()).await.expect("the client did not end in time").unwrap();
    let lines: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(output.status.success(), "{}after {lines:#?}", String::from_utf8_lossy(&output.stderr));
    lines
}

/// The conversation with a simulated cluster, through its Proxy if it has one.
async fn simulated(line: &str, cluster: &Cluster) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for user in [PLUGIN, ALICE, ADMIN] {
        let identity = cluster.user_identity(user, Duration::from_hours(1)).unwrap();
        identity.write_identity_file(dir.path().join(format!("{user}.pem"))).unwrap();
    }
    let web_ca = dir.path().join("web-ca.pem");
    std::fs::write(&web_ca, cluster.web_authority_pem()).unwrap();
    let proxy = cluster.proxy_addr().map(|address| format!("localhost:{}", address.port()));
    conversation(line, &proxy.unwrap_or_else(|| cluster.addr().to_string()), dir.path(), &web_ca).await
}

async fn cluster(config: Config, proxy: Option<ProxyConfig>) -> Cluster {
    let (roles, users) = cases::cast();
    Cluster::start(Config { roles, users, proxy, ..config }).await.unwrap()
}

#[tokio::test]
async fn the_client_of_the_same_release_sees_the_same_on_the_simulated_and_the_real() {
    let teleport = Teleport::shared().await;
    conformance::real().await;
    let dir = tempfile::tempdir().unwrap();
    for user in [PLUGIN, ALICE, ADMIN] {
        teleport.sign(user, "1h", &dir.path().join(format!("{user}.pem"))).await;
    }
    let expected = simulated("v14", &cluster(Config::old(), None).await).await;
    for address in [&teleport.auth, &teleport.proxy] {
        let real = conversation("v14", address, dir.path(), &teleport.web_ca).await;
        assert_eq!(real, expected, "left: the real one at {address}, right: the simulated one");
    }
}

#[tokio::test]
async fn the_client_of_a_later_release_sees_the_same_directly_and_through_every_proxy() {
    let seen = async |proxy: Option<ProxyConfig>| {
        let cluster = cluster(Config::default(), proxy).await;
        let kinds = ["access_list", "access_monitoring_rule", "user", "user_login_state"];
        let plugin = cluster.roles().into_iter().find(|role| role.name == PLUGIN).unwrap();
        cluster.put_role(kinds.iter().fold(plugin, |role, kind| role.allow(kind, &["list", "read"])));
        cluster.put_rule(NewRule { name: "dbas".into(), recipients: vec!["#dba".into()], ..NewRule::default() }.into());
        let list = NewAccessList {
            name: "databases".into(),
            title: "Databases".into(),
            owners: vec!["bob".into()],
            grants: vec![DBA.into()],
            review_in_seconds: None,
        };
        cluster.put_access_list(list.message(cluster.now()));
        let state = NewLoginState { traits: [("team".into(), vec!["db".into()])].into(), ..NewLoginState::default() };
        cluster.put_login_state(ALICE, state.into());
        simulated("v17", &cluster).await
    };
    let directly = seen(None).await;
    for line in [
        "Ping: ok 18.11.1",
        "event Put: ok APPROVED fine",
        "access list: ok databases Databases bob [conformance-dba]",
        "rule: ok access_monitoring_rule true [#dba]",
        "owners: ok 1",
        "login state: ok [] map[team:[db]]",
        "page of requests: ok 0 ",
        "users: ok true",
    ] {
        assert!(directly.iter().any(|seen| seen == line), "{line} is not in {directly:#?}");
    }
    let not_there: Vec<_> = directly.iter().filter(|line| line.contains("NotImplemented")).collect();
    assert_eq!(not_there, ["resources: odd kind: NotImplemented resource type nothing does not support pagination"]);
    for proxy in [
        ProxyConfig::default(),
        ProxyConfig { tls_routing: false, ..ProxyConfig::default() },
        ProxyConfig { behind_load_balancer: true, ..ProxyConfig::default() },
    ] {
        let way = format!("{proxy:?}");
        assert_eq!(seen(Some(proxy)).await, directly, "{way}");
    }
}
