//! The ways to the Auth server that lead through the Proxy.

use simulators::teleport::{Cluster, Config, ProxyConfig};

use crate::support::{CHANNEL, World, write_whole};

async fn told_by_way_of(proxy: ProxyConfig, route: &str) {
    let mut world = World::new(|setup| setup.cluster = Config { proxy: Some(proxy), ..Config::default() }).await;
    let authority = world.path("web-ca.pem");
    std::fs::write(&authority, world.cluster.web_authority_pem()).unwrap();
    let address = format!("localhost:{}", world.cluster.proxy_addr().unwrap().port());
    world.dial(&address, &format!("ca_bundle = \"{}\"", authority.display()), &format!("\"*\" = \"{CHANNEL}\""));
    let worker = world.run().await;
    worker.said(route).await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.cluster.stop_proxy().await;
    world.cluster.cut_streams();
    let missed = world.request("dba");
    world.cluster.deny(&id, "no").unwrap();
    worker.said("Cannot reach Teleport").await;
    world.cluster.resume_proxy().await.unwrap();
    world.announced(&missed, 1).await;
    world.closed(&id, "DENIED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn through_a_proxy_that_routes_by_tls() {
    told_by_way_of(ProxyConfig::default(), "(TLS routing)").await;
}

#[tokio::test]
async fn through_a_load_balancer_that_ends_tls() {
    told_by_way_of(ProxyConfig { behind_load_balancer: true, ..ProxyConfig::default() }, "inside an HTTP upgrade")
        .await;
}

#[tokio::test]
async fn through_the_ssh_tunnel_of_an_older_proxy() {
    told_by_way_of(ProxyConfig { tls_routing: false, ..ProxyConfig::default() }, "SSH tunnel").await;
}

#[tokio::test]
async fn authorities_that_come_later_and_change_are_taken_up_without_a_restart() {
    let mut world = World::new(|setup| {
        // It ends TLS, so that the web certificate is what is checked.
        let proxy = ProxyConfig { behind_load_balancer: true, ..ProxyConfig::default() };
        (setup.cluster, setup.command) = (Config { proxy: Some(proxy), ..Config::default() }, "worker");
    })
    .await;
    let authority = world.path("web-ca.pem");
    let address = format!("localhost:{}", world.cluster.proxy_addr().unwrap().port());
    world.dial(&address, &format!("ca_bundle = \"{}\"", authority.display()), &format!("\"*\" = \"{CHANNEL}\""));
    let id = world.request("dba");
    let worker = world.spawn(&[]);
    worker.said("A CA bundle cannot be used: waiting for another").await;
    write_whole(&authority, "no certificate");
    worker.said_times("A CA bundle cannot be used: waiting for another", 2).await;
    write_whole(&authority, &Cluster::start(Config::default()).await.unwrap().web_authority_pem());
    worker.said("Cannot reach Teleport").await;
    write_whole(&authority, &world.cluster.web_authority_pem());
    world.announced(&id, 1).await;
    world.end(worker).await;
}
