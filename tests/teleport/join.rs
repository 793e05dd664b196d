//! Joining with a ServiceAccount token instead of an identity file.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use slack_access_operator::teleport::dial::DialOptions;
use slack_access_operator::teleport::join::{JoinError, Joined, Reason, Refusal, Settings, join};
use tokio::time::sleep;

use crate::cluster::{Own, Teleport};
use crate::service_accounts::{Claims, Signer};
use crate::slack::Slack;
use crate::worker::{Configuration, Home, Worker};

/// A bot, its token resource and its ServiceAccount, named after the test that has them.
struct Bot<'a> {
    teleport: &'a Teleport,
    name: String,
    role: String,
    account: String,
    signer: Signer,
    home: Home,
}

impl<'a> Bot<'a> {
    /// In the order that 14.2.3 wants: the token resource, then the bot.
    async fn create(teleport: &'a Teleport, name: &str, role: &str) -> Self {
        let bot = Self {
            teleport,
            name: name.to_owned(),
            role: role.to_owned(),
            account: format!("teleport:slack-access-{name}"),
            signer: Signer::new("key-1"),
            home: Home::new(),
        };
        bot.put_token(&bot.signer.jwks().to_string()).await;
        bot.add().await;
        bot.mount(&Claims::new(&teleport.name, &bot.account));
        bot
    }

    async fn put_token(&self, jwks: &str) {
        self.put(&format!("type: static_jwks\n    static_jwks: {{jwks: '{jwks}'}}")).await;
    }

    async fn put(&self, kind: &str) {
        let Self { name, account, .. } = self;
        self.teleport
            .create(&format!(
                "kind: token\nversion: v2\nmetadata: {{name: {name}-k8s}}\nspec:\n  roles: [Bot]\n  bot_name: {name}\n  \
                 join_method: kubernetes\n  kubernetes:\n    {kind}\n    allow: [{{service_account: \"{account}\"}}]\n"
            ))
            .await;
    }

    async fn add(&self) {
        let Self { name, role, .. } = self;
        self.teleport.tctl(&["bots", "add", name, &format!("--roles={role}"), &format!("--token={name}-k8s")]).await;
    }

    async fn remove(&self) {
        self.teleport.tctl(&["bots", "rm", &self.name]).await;
    }

    /// The token's file, as the kubelet writes it.
    fn mount(&self, claims: &Claims) {
        self.home.write("token", &self.signer.sign(claims));
    }

    fn token_path(&self) -> PathBuf {
        self.home.path("token")
    }

    /// A configuration for a worker that joins.
    fn configuration(&self, addr: &str, slack: &Slack, role: &str) -> Configuration {
        let mut configuration = self.home.configuration(addr, slack, role, &["access-requests"]);
        let kept = configuration.teleport.lines().filter(|line| !line.starts_with("identity"));
        configuration.teleport = kept.flat_map(|line| [line, "\n"]).collect();
        configuration
            .teleport("join_token", &format!("{}-k8s", self.name))
            .teleport("join_token_path", self.token_path().to_str().unwrap())
            .teleport("join_role", &self.role)
    }

    fn through_proxy(&self, slack: &Slack, role: &str) -> Configuration {
        let proxy = self.configuration(&self.teleport.proxy.replace("127.0.0.1", "localhost"), slack, role);
        proxy.teleport("ca_bundle", self.teleport.web_ca.to_str().unwrap())
    }

    async fn directly(&self, slack: &Slack, role: &str) -> Configuration {
        let mut direct = self.configuration(&self.teleport.auth, slack, role);
        let _ = writeln!(direct.teleport, "join_ca_pins = [{:?}]", pin(self.teleport).await);
        direct
    }

    /// Joins once, through the Proxy.
    async fn join(&self) -> Result<Joined, JoinError> {
        let ca = std::fs::read(&self.teleport.web_ca).unwrap();
        let options = DialOptions {
            web_authorities: vec![CertificateDer::from_pem_slice(&ca).unwrap()],
            ..DialOptions::default()
        };
        let settings = Settings {
            token: format!("{}-k8s", self.name),
            token_path: self.token_path(),
            role: self.role.clone(),
            ca_pins: Vec::new(),
        };
        join(&self.teleport.proxy.replace("127.0.0.1", "localhost"), &settings, &options).await
    }

    /// Joins until it is refused with these words: Teleport's caches take a moment to see a resource that has changed.
    async fn refusal(&self, words: &str) -> Refusal {
        let mut last = None;
        for _ in 0..TRIES {
            match self.join().await {
                Err(JoinError::Refused(refusal)) if refusal.to_string().contains(words) => return *refusal,
                other => last = Some(other),
            }
            sleep(PAUSE).await;
        }
        panic!("{words:?} in: {last:?}");
    }

    /// Joins until it works.
    async fn joins(&self) {
        let mut last = None;
        for _ in 0..TRIES {
            match self.join().await {
                Ok(_) => return,
                Err(error) => last = Some(error),
            }
            sleep(PAUSE).await;
        }
        panic!("{last:?}");
    }
}

/// How often, and with which pauses, Teleport is asked until it has seen a change.
const TRIES: u32 = 150;
const PAUSE: Duration = Duration::from_millis(200);

/// The pin that `tctl status` prints.
async fn pin(teleport: &Teleport) -> String {
    let status = teleport.tctl(&["status"]).await;
    let pin = status.split_whitespace().find(|word| word.starts_with("sha256:"));
    pin.unwrap_or_else(|| panic!("no CA pin in {status}")).to_owned()
}

#[tokio::test]
async fn a_worker_without_any_secret_of_teleport_announces_and_resolves() {
    let teleport = Teleport::shared().await;
    let bot = Bot::create(teleport, "joining", "access-plugin").await;
    let slack = Slack::start().await;
    let role = teleport.role("joining").await;
    let (proxied, direct) = (bot.through_proxy(&slack, &role), bot.directly(&slack, &role).await);
    for (configuration, way) in [(proxied, "through the Proxy"), (direct, "directly")] {
        let mut worker = Worker::spawn(
            &bot.home.program,
            &["worker", &format!("--config={}", configuration.write(&bot.home).display())],
        );
        let line = worker.line("Connected to Teleport").await;
        assert!(line.contains(way) && line.contains("bot-joining"), "{line}");
        worker.line("Plugin is ready").await;
        let id = teleport.ask(&role, way).await;
        slack.announced("access-requests", &id).await;
        teleport.tctl(&["requests", "approve", &id]).await;
        slack.shows("access-requests", &id, "approved", Some("white_check_mark")).await;
        worker.stop().await;
    }
    slack.finish().await;
}

#[tokio::test]
async fn renewals_under_a_stream_of_requests_lose_and_double_nothing() {
    let teleport = Teleport::shared().await;
    // The certificate lives for 15 s, so that it is renewed every 5 s.
    let limited = std::fs::read_to_string("manifests/access-plugin.yaml").unwrap();
    let limited = limited.split("---").next().unwrap().replace("name: access-plugin", "name: short-plugin");
    teleport.create(&limited.replace("spec:\n", "spec:\n  options: {max_session_ttl: 15s}\n")).await;
    let bot = Bot::create(teleport, "renewing", "short-plugin").await;
    let slack = Slack::start().await;
    let role = teleport.role("renewing").await;
    let file = bot.through_proxy(&slack, &role).write(&bot.home);
    let mut worker = Worker::start(&bot.home, "worker", &file).await;
    let mut asked = Vec::new();
    for renewal in 0..3 {
        for _ in 0..5 {
            asked.push(teleport.ask(&role, &format!("during renewal {renewal}")).await);
        }
        worker.line("Took up the new identity").await;
    }
    for id in &asked {
        slack.announced("access-requests", id).await;
    }
    let log = worker.stop().await;
    assert!(!log.contains("Cannot reach Teleport") && !log.contains("The watch ended"), "{log}");
    slack.finish().await;
}

#[tokio::test]
async fn every_refusal_of_a_serviceaccount_token_is_told_with_its_remedy() {
    let teleport = Teleport::shared().await;
    let bot = Bot::create(teleport, "refused", "access-plugin").await;
    bot.join().await.unwrap();

    bot.mount(&Claims::new("elsewhere.example.com", &bot.account));
    let audience = bot.refusal(&format!("set the audience of the join to '{}'", teleport.name)).await;
    assert_eq!(audience.reason, Reason::AudienceWrong);
    bot.mount(&Claims::new(&teleport.name, "default:other"));
    assert_eq!(bot.refusal("- service_account: \"default:other\"").await.reason, Reason::NotAllowed);
    bot.mount(&Claims { span: (-700, -60), ..Claims::new(&teleport.name, &bot.account) });
    bot.refusal("compare the clocks").await;
    bot.mount(&Claims { span: (120, 600), ..Claims::new(&teleport.name, &bot.account) });
    bot.refusal("compare the clocks").await;
    bot.mount(&Claims { span: (0, 3607), ..Claims::new(&teleport.name, &bot.account) });
    bot.refusal("expirationSeconds: 600").await;
    bot.mount(&Claims { bound_to_pod: false, ..Claims::new(&teleport.name, &bot.account) });
    bot.refusal("expirationSeconds: 600").await;

    bot.mount(&Claims::new(&teleport.name, &bot.account));
    for foreign in ["key-1", "key-2"] {
        bot.put_token(&Signer::new(foreign).jwks().to_string()).await;
        assert_eq!(bot.refusal("/openid/v1/jwks").await.reason, Reason::KeyUnknown, "{foreign}");
    }
    bot.put_token("broken").await;
    assert_eq!(bot.refusal("/openid/v1/jwks").await.reason, Reason::KeyUnknown);
    bot.put("type: in_cluster").await;
    bot.refusal("static_jwks").await;

    bot.put_token(&bot.signer.jwks().to_string()).await;
    bot.joins().await;
    bot.remove().await;
    bot.refusal("tctl bots add").await;
    teleport.tctl(&["tokens", "rm", "refused-k8s"]).await;
    assert_eq!(bot.refusal("tctl get token/refused-k8s").await.reason, Reason::TokenMissing);
}

#[tokio::test]
async fn a_role_that_is_not_there_or_not_the_bots_is_told() {
    let teleport = Teleport::shared().await;
    let mut bot = Bot::create(teleport, "roles", "access-plugin").await;
    bot.role = "guide-plugin".to_owned();
    assert_eq!(bot.refusal("--roles=guide-plugin").await.reason, Reason::RoleMissing);
    bot.role = "nowhere-plugin".to_owned();
    assert_eq!(bot.refusal("nowhere-plugin").await.reason, Reason::RoleMissing);
}

#[tokio::test]
async fn a_lock_is_told_and_its_end_is_noticed() {
    let teleport = Teleport::shared().await;
    let bot = Bot::create(teleport, "locked", "access-plugin").await;
    teleport.tctl(&["lock", "--user=bot-locked", "--message=maintenance", "--ttl=15s"]).await;
    let refusal = bot.refusal("tctl get locks").await;
    assert_eq!(refusal.reason, Reason::Locked);
    assert!(refusal.to_string().contains("maintenance"), "{refusal}");
    bot.joins().await;
}

#[tokio::test]
async fn a_bot_that_is_removed_and_made_again_goes_on_without_a_restart() {
    let teleport = Teleport::shared().await;
    let bot = Bot::create(teleport, "removed", "access-plugin").await;
    let slack = Slack::start().await;
    let role = teleport.role("removed").await;
    let file = bot.through_proxy(&slack, &role).write(&bot.home);
    let mut worker = Worker::start(&bot.home, "worker", &file).await;
    bot.remove().await;
    let id = teleport.ask(&role, "while the bot is gone").await;
    worker.line("access denied").await;
    bot.add().await;
    slack.announced("access-requests", &id).await;
    worker.stop().await;
    slack.finish().await;
}

#[tokio::test]
async fn a_rotation_of_all_authorities_goes_by_unnoticed() {
    let own = Own::start("multiplex").await;
    let teleport = own.teleport();
    let bot = Bot::create(teleport, "rotating", "access-plugin").await;
    let slack = Slack::start().await;
    let role = teleport.role("rotating").await;
    let file = bot.through_proxy(&slack, &role).write(&bot.home);
    let worker = Worker::start(&bot.home, "worker", &file).await;
    for phase in ["init", "update_clients", "update_servers", "standby"] {
        for kind in ["host", "user"] {
            let (kind, phase) = (format!("--type={kind}"), format!("--phase={phase}"));
            let rotate = ["auth", "rotate", "--manual", &kind, &phase, "--grace-period=1h"];
            for _ in 0..TRIES {
                match teleport.try_tctl(&rotate).await {
                    Ok(_) => break,
                    Err(_restarting) => sleep(PAUSE).await,
                }
            }
        }
        let id = ask_again(teleport, &role, phase).await;
        slack.announced("access-requests", &id).await;
    }
    worker.stop().await;
    slack.finish().await;
}

/// Who asks has an identity of before the rotation: a new one is signed each time.
async fn ask_again(teleport: &Teleport, role: &str, phase: &str) -> String {
    let (roles, reason) = (format!("--roles={role}"), format!("--reason={phase}"));
    // Auth restarts its listeners in a rotation.
    for _ in 0..TRIES {
        match teleport.try_tctl(&["requests", "create", &roles, &reason, crate::cluster::ALICE]).await {
            Ok(printed) => return printed.trim().to_owned(),
            Err(_restarting) => sleep(PAUSE).await,
        }
    }
    panic!("Auth does not come back in phase {phase}");
}
