use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::teleport::identity::*;
use crate::teleport::testing::{Cluster, Issued, Validity};

fn parse(text: &str) -> Result<Identity, IdentityError> {
    Identity::from_identity_file(text.as_bytes(), "auth.pem")
}

#[test]
fn an_identity_file_tells_who_it_is_for_and_until_when() {
    let cluster = Cluster::new("example");
    let identity = parse(&cluster.identity_file("slack", Validity::Valid)).unwrap();
    assert_eq!((identity.user(), identity.cluster()), ("slack", "example"));
    assert_eq!(identity.roles(), ["access-plugin"]);
    let ssh = identity.ssh().unwrap();
    assert_eq!((ssh.login(), ssh.host_authorities()), ("slack", 1));
    assert!(!identity.is_expired(Timestamp::now()));
    assert!(identity.not_before() < identity.not_after());

    let old = parse(&cluster.identity_file("slack", Validity::Expired)).unwrap();
    assert!(old.is_expired(Timestamp::now()));
}

#[test]
fn tls_files_do_without_ssh_and_say_so() {
    let cluster = Cluster::new("example");
    let Issued { key, certificate, .. } = cluster.issue("slack", Validity::Valid);
    let cas = [cluster.ca_pem(), Cluster::new("leaf").ca_pem()].concat();
    let identity = Identity::from_tls(
        Named { content: certificate.as_bytes(), origin: "auth.crt" },
        Named { content: key.as_bytes(), origin: "auth.key" },
        Named { content: cas.as_bytes(), origin: "auth.cas" },
    )
    .unwrap();
    assert_eq!(identity.user(), "slack");
    assert!(identity.ssh().is_none());
    assert!(identity.ssh_problem().unwrap().contains("no SSH certificate"));
}

#[test]
fn only_authorities_of_the_identitys_own_cluster_are_trusted() {
    let (own, leaf) = (Cluster::new("example"), Cluster::new("leaf"));
    let Issued { key, certificate, ssh_certificate } = own.issue("slack", Validity::Valid);
    let file = |authorities: &str| format!("{key}{ssh_certificate}\n{certificate}{authorities}");
    let trusted = |text: &str| {
        let pieces = file::split(text.as_bytes()).unwrap();
        roots(&pieces.authorities, "example").map(|roots| roots.len())
    };
    let both = file(&[leaf.ca_pem(), own.ca_pem()].concat());
    assert_eq!(trusted(&both).unwrap(), 1);
    assert!(parse(&both).is_ok());
    let error = parse(&file(&leaf.ca_pem())).unwrap_err().to_string();
    assert!(error.contains("own cluster 'example'"), "{error}");
}

#[test]
fn an_ssh_certificate_may_lie_in_a_file_of_its_own() {
    let cluster = Cluster::new("example");
    let Issued { key, certificate, ssh_certificate } = cluster.issue("slack", Validity::Valid);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth");
    fs::write(&path, format!("{key}{certificate}{}{}\n", cluster.ca_pem(), cluster.host_authority_line())).unwrap();
    let credentials = Credentials::IdentityFile(path.clone());
    assert!(credentials.load().unwrap().ssh().is_none());
    fs::write(folder.path().join("auth-cert.pub"), ssh_certificate).unwrap();
    assert!(credentials.load().unwrap().ssh().is_some());
    assert_eq!(credentials.paths(), [path]);
    assert_eq!(credentials.ssh_certificate_beside(), Some(folder.path().join("auth-cert.pub")));
}

#[test]
fn content_that_changes_is_noticed_and_content_that_does_not_is_not() {
    let cluster = Cluster::new("example");
    let text = cluster.identity_file("slack", Validity::Valid);
    let first = parse(&text).unwrap().fingerprint();
    assert_eq!(first, parse(&text).unwrap().fingerprint());
    assert_ne!(first, parse(&cluster.identity_file("slack", Validity::Valid)).unwrap().fingerprint());
}

#[test]
fn a_damaged_ssh_half_does_not_spoil_the_rest() {
    let cluster = Cluster::new("example");
    let text = cluster.identity_file("slack", Validity::Valid);
    let without_authority = text.replace("@cert-authority", "# ");
    let foreign = cluster.issue("slack", Validity::Valid).ssh_certificate;
    let own = text.lines().find(|line| line.contains("-cert-v01@")).unwrap();
    for (text, problem) in [
        (without_authority, "no SSH host authority"),
        (text.replace(own, &foreign), "does not belong to its private key"),
        (text.replace(own, &own[..own.len() / 2]), "cannot be read"),
        (text.replace(own, ""), "no SSH certificate"),
    ] {
        let identity = parse(&text).unwrap();
        assert!(identity.ssh_problem().unwrap().contains(problem), "{:?}", identity.ssh_problem());
    }
}

/// As `base64` prints it.
fn encoded(text: &str) -> String {
    let line = BASE64_STANDARD.encode(text);
    line.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
}

#[test]
fn a_tls_file_in_base64_is_recognised_by_itself() {
    let cluster = Cluster::new("example");
    let Issued { key, certificate, .. } = cluster.issue("slack", Validity::Valid);
    let files = [("auth.crt", certificate), ("auth.key", key), ("auth.cas", cluster.ca_pem())];
    for (wrong, _) in &files {
        let of = |name: &str, text: &str| if name == *wrong { encoded(text) } else { text.to_owned() };
        let texts: Vec<_> = files.iter().map(|(name, text)| of(name, text)).collect();
        let [certificate, key, cas] =
            std::array::from_fn(|index| Named { content: texts[index].as_bytes(), origin: files[index].0 });
        let error = Identity::from_tls(certificate, key, cas).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{wrong}: its content is base64-encoded")), "{error}");
    }
}

#[test]
fn every_error_names_the_file_and_the_remedy_and_never_the_content() {
    let cluster = Cluster::new("example");
    let Issued { key, certificate, .. } = cluster.issue("slack", Validity::Valid);
    let other = cluster.issue("slack", Validity::Valid).key;
    let ca = cluster.ca_pem();
    let damaged = |text: &str| {
        let middle = text.lines().nth(1).unwrap();
        text.replace(middle, &middle.chars().rev().collect::<String>())
    };
    for (text, problem) in [
        (String::new(), "empty"),
        ("hello\n".to_owned(), "no private key"),
        (encoded(&(key.clone() + &certificate + &ca)), "base64-encoded once more than needed"),
        (encoded(&encoded(&key)), "base64-encoded once more than needed"),
        (certificate.clone() + &certificate + &ca, "no private key"),
        (key.clone(), "no client certificate"),
        (key.clone() + &ca + &ca, "no client certificate"),
        (key.clone() + &other + &certificate + &ca, "no client certificate"),
        (key.clone() + &certificate, "no TLS certificate authority"),
        (other + &certificate + &ca, "does not belong"),
        (damaged(&key) + &certificate + &ca, "private key cannot be read"),
        (key.clone() + &damaged(&certificate) + &ca, "TLS certificate cannot be read"),
        (key.clone() + &certificate + &damaged(&ca), "authority in it cannot be used"),
        (key.replace("PRIVATE", "PIV YUBIKEY PRIVATE") + &certificate + &ca, "PIV YUBIKEY PRIVATE KEY"),
        (key.clone() + certificate.trim_end().trim_end_matches("-----END CERTIFICATE-----"), "cut short"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.starts_with("auth.pem: "), "{error}");
        assert!(error.contains(problem), "{problem}: {error}");
        assert!(error.contains("tctl auth sign"), "{error}");
        assert!(key.lines().skip(1).take(2).all(|line| !error.contains(line)), "{error}");
    }
    let missing = Credentials::IdentityFile("/nowhere/auth.pem".into()).load().unwrap_err().to_string();
    assert!(missing.contains("/nowhere/auth.pem"), "{missing}");
}

#[test]
fn keys_of_every_kind_in_use_are_read() {
    let cluster = Cluster::new("slack");
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "slack");
        let certificate = params.self_signed(&key).unwrap().pem();
        parse(&(key.serialize_pem() + &certificate + &cluster.ca_pem())).unwrap();
    }
}

#[test]
fn debug_output_holds_no_secret() {
    let cluster = Cluster::new("example");
    let text = cluster.identity_file("slack", Validity::Valid);
    let identity = parse(&text).unwrap();
    let shown = format!("{identity:?} {:?} {:?}", identity.ssh(), identity.fingerprint());
    assert!(shown.contains("slack"));
    for line in text.lines().filter(|line| line.len() > 30) {
        assert!(!shown.contains(line));
    }
    assert!(!shown.contains("PRIVATE"));
}
