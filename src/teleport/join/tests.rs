//! Joins against the simulated Teleport, whose forms depend on its release. The HTTP form is tried on the real one
//! (`tests/teleport/join.rs`).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use simulators::teleport::{Cluster, Config, JoinToken, ServerVersion};

use crate::teleport::client::Client;
use crate::teleport::join::*;

const TOKEN: &str = "slack-k8s";
const ACCOUNT: &str = "teleport:slack-access-slack";

struct World {
    cluster: Cluster,
    settings: Settings,
    options: DialOptions,
    folder: tempfile::TempDir,
}

impl World {
    async fn start(major: u32, minor: u32) -> Self {
        Self::of(Config { version: ServerVersion { major, minor, patch: 0 }, ..Config::default() }).await
    }

    /// With a Proxy, which is trusted by its web certificate.
    async fn behind_proxy(major: u32, minor: u32) -> Self {
        let config = Config { version: ServerVersion { major, minor, patch: 0 }, ..Config::default() };
        let mut world = Self::of(config.with_proxy()).await;
        world.settings.ca_pins.clear();
        world.options.web_authorities =
            vec![CertificateDer::from_pem_slice(world.cluster.web_authority_pem().as_bytes()).unwrap()];
        world
    }

    async fn of(config: Config) -> Self {
        let cluster = Cluster::start(config).await.unwrap();
        cluster.put_join_token(JoinToken {
            name: TOKEN.to_owned(),
            bot: "slack".to_owned(),
            service_account: ACCOUNT.to_owned(),
            roles: vec![DEFAULT_ROLE.to_owned()],
        });
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            token: TOKEN.to_owned(),
            token_path: folder.path().join("token"),
            role: DEFAULT_ROLE.to_owned(),
            ca_pins: vec![cluster.ca_pin().parse().unwrap()],
        };
        let world = Self { cluster, settings, options: DialOptions::default(), folder };
        world.mount(ACCOUNT, "teleport.example.com");
        world
    }

    /// Writes the ServiceAccount token as the kubelet would.
    fn mount(&self, account: &str, audience: &str) {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let claims = format!(r#"{{"aud":[{audience:?}],"iss":"https://k","sub":"system:serviceaccount:{account}"}}"#);
        let jwt = format!("{}.{}.{}\n", part(r#"{"alg":"RS256"}"#), part(&claims), part("signature"));
        std::fs::write(self.folder.path().join("token"), jwt).unwrap();
    }

    /// The address to join through: the Proxy's, if there is one.
    fn address(&self) -> String {
        let proxy = self.cluster.proxy_addr().map(|address| format!("localhost:{}", address.port()));
        proxy.unwrap_or_else(|| self.cluster.addr().to_string())
    }

    async fn join(&self) -> Result<Joined, JoinError> {
        join(&self.address(), &self.settings, &self.options).await
    }

    async fn refusal(&self) -> Refusal {
        match self.join().await.unwrap_err() {
            JoinError::Refused(refusal) => *refusal,
            other => panic!("{other}"),
        }
    }

    async fn works(&self, form: Form) {
        let joined = self.join().await.unwrap();
        assert_eq!(joined.form, form);
        assert_eq!(joined.identity.user(), "bot-slack");
        assert_eq!(joined.identity.roles(), [DEFAULT_ROLE]);
        assert_eq!(joined.identity.ssh_problem(), None);
        let (hour, spent) = (Duration::from_hours(1), Duration::from_secs(10));
        assert!(joined.life <= hour && joined.life + spent > hour, "{:?}", joined.life);
        let (channel, _) = dial(&self.address(), joined.identity, &self.options).await.unwrap();
        assert_eq!(Client::new(channel, "slack").ping().await.unwrap().cluster, "teleport.example.com");
        self.cluster.assert_no_violations();
    }
}

#[tokio::test]
async fn each_release_is_joined_in_its_own_form() {
    World::start(14, 2).await.works(Form::Http).await;
    World::start(16, 5).await.works(Form::Http).await;
    World::start(17, 0).await.works(Form::Register).await;
    World::start(18, 4).await.works(Form::Register).await;
    World::start(18, 5).await.works(Form::Stream).await;
    World::start(19, 0).await.works(Form::Stream).await;
}

#[tokio::test]
async fn a_proxy_is_joined_by_http_and_trusted_by_its_web_certificate() {
    World::behind_proxy(14, 2).await.works(Form::Http).await;
    let mut world = World::behind_proxy(18, 4).await;
    world.works(Form::Http).await;
    world.mount("other:account", "teleport.example.com");
    assert_eq!(world.refusal().await.reason, Reason::NotAllowed);
    world.options.web_authorities.clear();
    let error = world.join().await.unwrap_err();
    assert!(error.to_string().contains("CA bundle"), "{error}");
    assert!(matches!(error, JoinError::Server(error) if error.is_distrust()));
}

#[tokio::test]
async fn an_auth_service_is_trusted_by_its_authority_too() {
    let mut world = World::start(18, 5).await;
    world.settings.ca_pins.clear();
    world.options.web_authorities =
        vec![CertificateDer::from_pem_slice(world.cluster.host_authority_pem().as_bytes()).unwrap()];
    world.works(Form::Stream).await;
}

#[tokio::test]
async fn nothing_secret_goes_to_an_auth_service_that_is_not_trusted() {
    let mut world = World::start(18, 5).await;
    world.settings.ca_pins = vec![format!("sha256:{}", "00".repeat(32)).parse().unwrap()];
    let foreign = world.join().await.unwrap_err().to_string();
    assert!(foreign.contains(&world.cluster.ca_pin()) && foreign.contains("tctl status"), "{foreign}");
    world.settings.ca_pins.clear();
    let error = world.join().await.unwrap_err();
    assert!(error.to_string().contains("CA pin"), "{error}");
    assert!(matches!(error, JoinError::Server(error) if error.is_distrust()));
    for method in ["Join", "RegisterUsingToken"] {
        assert_eq!(world.cluster.calls(method).len(), 0, "{method}");
    }
}

#[tokio::test]
async fn a_refusal_means_the_same_in_each_form() {
    for (major, minor) in [(14, 2), (17, 0), (18, 5)] {
        let world = World::start(major, minor).await;
        world.mount(ACCOUNT, "elsewhere.example.com");
        let refusal = world.refusal().await;
        assert_eq!(refusal.reason, Reason::AudienceWrong, "{refusal}");
        assert!(refusal.to_string().contains("'teleport.example.com'"), "{refusal}");
        world.mount("other:account", "teleport.example.com");
        let refusal = world.refusal().await;
        assert_eq!(refusal.reason, Reason::NotAllowed, "{refusal}");
        assert!(refusal.to_string().contains("service_account: \"other:account\""), "{refusal}");
        world.mount(ACCOUNT, "teleport.example.com");
        world.cluster.remove_join_token(TOKEN);
        assert_eq!(world.refusal().await.reason, Reason::TokenMissing);
    }
}

#[tokio::test]
async fn a_role_that_the_bot_may_not_take_is_a_refusal() {
    let mut world = World::start(18, 5).await;
    world.settings.role = "dba".to_owned();
    let refusal = world.refusal().await;
    assert_eq!(refusal.reason, Reason::RoleMissing, "{refusal}");
    world.settings.role = "nope".to_owned();
    assert!(world.refusal().await.to_string().contains("no role 'nope'"));
}

#[tokio::test]
async fn a_server_that_is_away_is_no_refusal() {
    let world = World::start(18, 5).await;
    world.cluster.stop().await;
    let error = world.join().await.unwrap_err();
    assert!(!error.is_refusal() && matches!(error, JoinError::Server(_)), "{error}");
}
