//! Joining with a ServiceAccount token while requests flow. Keys and refusals of a real API server: `tests/teleport/join.rs`.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use simulators::teleport::{JoinToken, Role, ServerVersion};

use crate::support::{CHANNEL, Setup, World};

const TOKEN: &str = "slack-k8s";
const ACCOUNT: &str = "teleport:slack-access-slack";
const ROLE: &str = "short-plugin";

/// A release, and certificates that live for so long.
fn joinable(version: (u32, u32), life: Duration) -> impl FnOnce(&mut Setup) {
    move |setup| {
        setup.cluster.version = ServerVersion { major: version.0, minor: version.1, patch: 0 };
        let role = Role { name: ROLE.to_owned(), max_session_ttl: Some(life), ..Role::access_plugin() };
        setup.cluster.roles.push(role);
        setup.command = "worker";
    }
}

trait Joins {
    fn allow(&self);
    fn mount(&self, audience: &str);
    fn configure_join(&self);
}

impl Joins for World {
    fn allow(&self) {
        self.cluster.put_join_token(JoinToken {
            name: TOKEN.to_owned(),
            bot: "slack".to_owned(),
            service_account: ACCOUNT.to_owned(),
            roles: vec![ROLE.to_owned()],
        });
    }

    fn mount(&self, audience: &str) {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let claims = format!(r#"{{"aud":[{audience:?}],"sub":"system:serviceaccount:{ACCOUNT}"}}"#);
        let jwt = format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(&claims), part("signature"));
        fs::write(self.path("sa-token"), jwt).unwrap();
    }

    fn configure_join(&self) {
        let join = format!(
            "join_token = {TOKEN:?}\njoin_token_path = \"{}\"\njoin_role = {ROLE:?}\njoin_ca_pins = [{:?}]",
            self.path("sa-token").display(),
            self.cluster.ca_pin()
        );
        self.configure_with(&join, &format!("\"*\" = \"{CHANNEL}\""));
    }
}

async fn ready(version: (u32, u32), life: Duration) -> World {
    let world = World::new(joinable(version, life)).await;
    world.allow();
    world.mount(world.cluster.name());
    world.configure_join();
    world
}

#[tokio::test]
async fn certificates_are_renewed_under_a_stream_of_requests() {
    for version in [(17, 0), (18, 5)] {
        let world = ready(version, Duration::from_secs(6)).await;
        let worker = world.run().await;
        let mut ids = Vec::new();
        while worker.count("Took up the new identity") < 3 {
            let id = world.request("dba");
            world.announced(&id, 1).await;
            ids.push(id);
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(ids.len() < 300, "the certificate is not renewed");
        }
        for id in &ids {
            world.announced(id, 1).await;
        }
        assert_eq!((worker.count("The watch ended"), worker.count("Cannot reach Teleport")), (0, 0));
        world.end(worker).await;
    }
}

#[tokio::test]
async fn a_refused_worker_waits_and_the_message_says_what_to_set() {
    let world = ready((18, 5), Duration::from_hours(1)).await;
    world.mount("elsewhere.example.com");
    let worker = world.spawn(&[]);
    worker.said("set the audience of the join to 'teleport.example.com'").await;
    let id = world.request("dba");
    world.mount(world.cluster.name());
    // The next attempt follows within a minute and a tenth.
    world.until_within(Duration::from_secs(90), "the join is tried again", |world| world.recorded(&id) == 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_strict_start_ends_with_the_refusal() {
    let world = World::new(|setup| {
        joinable((18, 5), Duration::from_hours(1))(setup);
        setup.command = "start";
    })
    .await;
    world.mount(world.cluster.name());
    world.configure_join();
    let (status, errors) = world.spawn(&[]).ended(crate::support::LONG).await;
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("no token resource 'slack-k8s'") && errors.lines().count() == 1, "{errors}");
    world.allow();
    let worker = world.run().await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_changed_configuration_keeps_the_certificate_and_a_failing_join_costs_nothing() {
    let world = ready((18, 5), Duration::from_hours(1)).await;
    let worker = world.run().await;
    world.cluster.remove_join_token(TOKEN);
    worker.signal("HUP");
    worker.said_times("Connected to Teleport", 2).await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    assert_eq!(worker.count("Joined Teleport"), 1, "the reload needs no join");
    world.end(worker).await;
}
