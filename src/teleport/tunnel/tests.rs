use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use crate::teleport::identity::Identity;
use crate::teleport::testing::{Cluster, Validity};
use crate::teleport::tunnel::test_server::TestServer;
use crate::teleport::tunnel::*;

fn identity(cluster: &Cluster) -> Identity {
    Identity::from_identity_file(cluster.identity_file("slack", Validity::Valid).as_bytes(), "auth.pem").unwrap()
}

fn server(cluster: &Cluster) -> TestServer {
    let (key, certificate) = cluster.ssh_host();
    TestServer { key, certificate, users: cluster.ssh_authority(), refusal: None }
}

async fn connect(identity: &Identity, server: TestServer) -> (Result<DuplexStream, SshError>, Option<DuplexStream>) {
    let (ours, theirs) = duplex(1000); // small, so that writes get stuck half way
    let accepting = tokio::spawn(async move { server.accept(theirs).await });
    let material = identity.ssh().unwrap();
    let login = Login {
        user: material.login(),
        certificate: &material.certificate,
        key: material.key.as_ref(),
        host_authorities: &material.host_authorities,
    };
    let request =
        Request { channel: "teleport-transport", name: "teleport-transport-dial", payload: b"{\"address\":\"there\"}" };
    let outcome = open_channel(ours, &login, &request).await;
    let other_end = accepting.await.unwrap().ok().map(|(payload, stream)| {
        assert_eq!(payload, b"{\"address\":\"there\"}");
        stream
    });
    (outcome, other_end)
}

#[tokio::test]
async fn much_data_flows_both_ways_at_once_through_small_windows() {
    let cluster = Cluster::new("example");
    let (client, server) = connect(&identity(&cluster), server(&cluster)).await;
    // More than a window, so that both sides have to ask for more.
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let exchange = |stream: DuplexStream, data: Vec<u8>| async move {
        let (mut input, mut output) = split(stream);
        let length = data.len();
        let sending = tokio::spawn(async move {
            output.write_all(&data).await.unwrap();
            output
        });
        let mut received = vec![0; length];
        input.read_exact(&mut received).await.unwrap();
        sending.await.unwrap();
        received
    };
    let (one, other) = tokio::join!(exchange(client.unwrap(), data.clone()), exchange(server.unwrap(), data.clone()));
    assert!(one == data && other == data);
}

#[tokio::test]
async fn dropping_the_channel_ends_the_other_side() {
    let cluster = Cluster::new("example");
    let (client, server) = connect(&identity(&cluster), server(&cluster)).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    client.write_all(b"last words").await.unwrap();
    drop(client);
    let mut received = Vec::new();
    // The goodbye may come as an end or as an error; it must come.
    let _ = server.read_to_end(&mut received).await;
    assert_eq!(received, b"last words");
}

#[tokio::test]
async fn a_host_of_another_cluster_is_not_trusted() {
    let (own, other) = (Cluster::new("example"), Cluster::new("example"));
    let (client, _) = connect(&identity(&own), server(&other)).await;
    let error = client.unwrap_err().to_string();
    assert!(error.contains("none of the identity's host authorities"), "{error}");
}

#[tokio::test]
async fn a_host_that_borrowed_a_certificate_is_not_trusted() {
    let cluster = Cluster::new("example");
    let mut imposter = server(&cluster);
    imposter.key = cluster.ssh_host().0;
    let (client, _) = connect(&identity(&cluster), imposter).await;
    let error = client.unwrap_err().to_string();
    assert!(error.contains("could not prove"), "{error}");
}

#[tokio::test]
async fn a_refused_login_names_the_user() {
    let cluster = Cluster::new("example");
    let mut picky = server(&cluster);
    picky.users = Cluster::new("example").ssh_authority();
    let (client, _) = connect(&identity(&cluster), picky).await;
    let error = client.unwrap_err().to_string();
    assert!(error.contains("'slack'"), "{error}");
}

#[tokio::test]
async fn the_words_of_a_refused_tunnel_are_passed_on() {
    let cluster = Cluster::new("example");
    let refusing = TestServer { refusal: Some("no Auth server\r\nreachable"), ..server(&cluster) };
    let (client, _) = connect(&identity(&cluster), refusing).await;
    assert_eq!(client.unwrap_err().to_string(), "the Proxy refused the tunnel: no Auth server  reachable");
}

#[tokio::test]
async fn what_is_no_ssh_server_is_called_so() {
    let cluster = Cluster::new("example");
    for greeting in ["HTTP/1.1 400 Bad Request\r\n".repeat(60), "SSH-1.5-old\r\n".to_owned(), "x".repeat(5000)] {
        let (ours, mut theirs) = duplex(100_000);
        theirs.write_all(greeting.as_bytes()).await.unwrap();
        let identity = identity(&cluster);
        let material = identity.ssh().unwrap();
        let login = Login {
            user: "slack",
            certificate: &material.certificate,
            key: material.key.as_ref(),
            host_authorities: &material.host_authorities,
        };
        let request = Request { channel: "c", name: "r", payload: b"" };
        assert!(matches!(open_channel(ours, &login, &request).await, Err(SshError::NotSsh)));
    }
}

#[test]
fn host_certificates_are_judged_by_kind_authority_and_time() {
    let cluster = Cluster::new("example");
    let (_, mut certificate) = cluster.ssh_host();
    let authorities = [cluster.ssh_authority()];
    assert_eq!(certificate.host_problem(&authorities, 1000), None);
    assert!(certificate.host_problem(&[], 1000).unwrap().contains("none of"));
    certificate.valid_after = 1001;
    assert!(certificate.host_problem(&authorities, 1000).unwrap().contains("not valid yet"));
    certificate.valid_after = 0;
    certificate.valid_before = 1000;
    assert!(certificate.host_problem(&authorities, 1000).unwrap().contains("expired"));
    certificate.valid_before = u64::MAX;
    certificate.has_critical_options = true;
    assert!(certificate.host_problem(&authorities, 1000).unwrap().contains("conditions"));
    certificate.holder = certificate::Holder::User;
    assert!(certificate.host_problem(&authorities, 1000).unwrap().contains("user certificate"));
}

#[test]
fn a_certificate_with_any_byte_changed_or_missing_is_refused() {
    let (_, good) = Cluster::new("example").ssh_host();
    for position in 0..good.blob.len() {
        let mut blob = good.blob.clone();
        blob[position] ^= 1;
        assert!(certificate::Certificate::decode(&blob).is_err(), "byte {position} changed");
        assert!(certificate::Certificate::decode(&good.blob[..position]).is_err(), "cut at {position}");
    }
}
