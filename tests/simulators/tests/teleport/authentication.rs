use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use simulators::teleport::pb::proto::auth_service_client::AuthServiceClient;
use simulators::teleport::pb::proto::{GetRoleRequest, ListAccessRequestsRequest, PingRequest};
use simulators::teleport::pb::types::PluginDataFilter;
use simulators::teleport::{Cluster, Config, IdentityRequest, KeyAlgorithm, Rule, Validity};
use tonic::{Code, Request};

use crate::support::{Deadline, HOUR, SOON, channel, cluster, dba, endpoint, plugin, tls, try_auth};

#[tokio::test]
async fn an_expired_certificate_is_refused_by_tls() {
    let cluster = cluster().await;
    let expired = cluster.user_identity("slack-plugin", Validity::ExpiredSince(Duration::from_secs(1))).unwrap();
    // TLS 1.3 tells the client only once it reads: either the dial or the first call fails.
    let failure = match try_auth(&cluster, Some(&expired)).await {
        Err(error) => format!("{error:?}"),
        Ok(mut client) => format!("{:?}", client.ping(PingRequest {}).await.unwrap_err()),
    };
    assert!(failure.to_lowercase().contains("certificateexpired"), "{failure}");
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused_by_tls() {
    let (here, elsewhere) = (cluster().await, cluster().await);
    let foreign = elsewhere.user_identity("slack-plugin", HOUR).unwrap();
    let answered = match try_auth(&here, Some(&foreign)).await {
        Err(_) => false,
        Ok(mut client) => client.ping(PingRequest {}).await.is_ok(),
    };
    assert!(!answered);
}

#[tokio::test]
async fn a_live_connection_outlives_its_certificate() {
    let cluster = cluster().await;
    let short = cluster.user_identity("slack-plugin", Duration::from_secs(1)).unwrap();
    let mut client = try_auth(&cluster, Some(&short)).await.unwrap();
    client.ping(PingRequest {}).await.unwrap();
    let rest = short.not_after().duration_since(std::time::SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(rest + Duration::from_millis(1100)).await;
    client.ping(PingRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_session_is_not_taken_up_again_once_the_certificate_has_expired() {
    let cluster = cluster().await;
    let short = cluster.user_identity("slack-plugin", Duration::from_secs(2)).unwrap();
    // Clones of a configuration share the sessions that they may take up again.
    let config = tls(Some(&short), &short.authorities_pem(), &["h2"]);
    let dialed = || channel(endpoint(), cluster.addr(), config.clone());
    let mut client = AuthServiceClient::with_interceptor(dialed().await.unwrap(), Deadline);
    client.ping(PingRequest {}).await.unwrap();
    let rest = short.not_after().duration_since(std::time::SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(rest + Duration::from_millis(1100)).await;
    let refused = match dialed().await {
        Err(_) => true,
        Ok(channel) => AuthServiceClient::with_interceptor(channel, Deadline).ping(PingRequest {}).await.is_err(),
    };
    assert!(refused);
}

#[tokio::test]
async fn a_chain_of_client_certificates_is_denied_and_held_against_the_client() {
    let cluster = cluster().await;
    let identity = cluster.user_identity("slack-plugin", HOUR).unwrap();
    let mut config = tls(None, &identity.authorities_pem(), &["h2"]);
    let chain = [identity.certificate_pem(), identity.authorities_pem()].concat();
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
    let provider = config.crypto_provider().clone();
    let key = provider.key_provider.load_private_key(key).unwrap();
    config.client_auth_cert_resolver =
        std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key)));
    let channel = channel(endpoint(), cluster.addr(), config).await.unwrap();
    let denied = AuthServiceClient::with_interceptor(channel, Deadline).ping(PingRequest {}).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(denied.message(), "access denied: intermediaries are not supported");
    assert_eq!(cluster.violations().len(), 1);
}

#[tokio::test]
async fn a_user_that_was_removed_is_denied_on_its_open_connection() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    cluster.remove_user("slack-plugin");
    let denied = client.ping(PingRequest {}).await.unwrap_err();
    assert_eq!((denied.code(), denied.message()), (Code::PermissionDenied, "user \"slack-plugin\" not found"));
}

#[tokio::test]
async fn permissions_can_be_taken_away_and_given_back() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let filter = PluginDataFilter { kind: "access_request".to_owned(), ..PluginDataFilter::default() };
    cluster.set_permissions("slack-plugin", Some(vec![Rule::new("role", &["read"])]));
    let denied = client.get_plugin_data(filter.clone()).await.unwrap_err();
    assert_eq!(denied.message(), "access denied to perform action \"list\" on \"access_plugin_data\"");
    client.get_role(GetRoleRequest { name: "dba".to_owned() }).await.unwrap();
    cluster.set_permissions("slack-plugin", None);
    client.get_plugin_data(filter).await.unwrap();
}

#[tokio::test]
async fn who_may_not_list_requests_sees_none_instead_of_an_error() {
    let cluster = cluster().await;
    cluster.create_request(dba());
    cluster.set_permissions("slack-plugin", Some(vec![Rule::new("access_request", &["read"])]));
    let mut client = plugin(&cluster).await;
    let seen = client.list_access_requests(ListAccessRequestsRequest::default()).await.unwrap().into_inner();
    assert!(seen.access_requests.is_empty());
}

#[tokio::test]
async fn a_client_version_is_checked_when_it_is_sent() {
    let cluster = cluster().await;
    for (version, accepted) in [("18.0.0", true), ("17.5.1", true), ("16.9.9", false), ("v18.2.1", false), ("x", false)]
    {
        let mut client = plugin(&cluster).await;
        let mut request = Request::new(PingRequest {});
        request.metadata_mut().insert("version", version.parse().unwrap());
        let answer = client.ping(request).await;
        assert_eq!(answer.is_ok(), accepted, "{version}");
        if let Err(denied) = answer {
            assert_eq!((denied.code(), denied.message()), (Code::PermissionDenied, "client version is unsupported"));
        }
    }
    assert_eq!(cluster.violations().len(), 3);
}

#[tokio::test]
async fn an_identity_file_has_the_pieces_in_teleports_order() {
    let cluster = Cluster::start(Config::default().with_proxy()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.pem");
    cluster.write_identity_file(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let marks: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("-----BEGIN") || line.contains("@openssh.com ") || line.starts_with('@'))
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ").leak() as &str)
        .collect();
    assert_eq!(marks[0], "-----BEGIN PRIVATE");
    assert!(marks[1].starts_with("ecdsa-sha2-nistp256-cert-v01@openssh.com "), "{}", marks[1]);
    assert_eq!(marks[2], "-----BEGIN CERTIFICATE-----");
    assert_eq!(marks[3], "@cert-authority localhost,teleport.example.com,*.teleport.example.com");
    assert_eq!(marks[4..], ["-----BEGIN CERTIFICATE-----"]);
    assert!(text.lines().any(|line| line.starts_with("@cert-authority") && line.ends_with(" type=host")));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "a temporary file was left");
}

#[tokio::test]
async fn tls_files_are_named_as_tctl_names_them() {
    let cluster = cluster().await;
    let directory = tempfile::tempdir().unwrap();
    cluster.user_identity("slack-plugin", HOUR).unwrap().write_tls_files(directory.path().join("auth")).unwrap();
    for name in ["auth.crt", "auth.key", "auth.cas"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn identities_of_every_kind_of_key_are_accepted() {
    let cluster = cluster().await;
    for algorithm in [KeyAlgorithm::Ecdsa, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa] {
        let request = IdentityRequest {
            user: "slack-plugin".to_owned(),
            roles: vec!["access-plugin".to_owned(), "access".to_owned()],
            logins: vec!["root".to_owned()],
            validity: Validity::For(HOUR),
            algorithm,
        };
        let identity = cluster.sign(&request).unwrap();
        let header =
            if algorithm == KeyAlgorithm::Rsa { "-----BEGIN RSA PRIVATE KEY" } else { "-----BEGIN PRIVATE KEY" };
        assert!(identity.key_pem().starts_with(header), "{algorithm:?}");
        let mut client = try_auth(&cluster, Some(&identity)).await.unwrap();
        let answer = tokio::time::timeout(SOON, client.get_role(GetRoleRequest { name: "access".to_owned() })).await;
        answer.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_key_never_shows_in_debug_output() {
    let identity = cluster().await.user_identity("slack-plugin", HOUR).unwrap();
    assert!(!format!("{identity:?}").contains("PRIVATE"));
}
