//! What the rendered network policies let through: a small evaluator stands in for the network plugin.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{of_kind, render};

/// A connection out of a pod.
#[derive(Clone, Copy, Debug)]
struct Connection<'a> {
    to: Peer<'a>,
    protocol: &'a str,
    port: u64,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
enum Peer<'a> {
    /// Something outside of the cluster's pods.
    Address(&'a str),
    /// A pod: labels of its namespace, and its own.
    Pod { namespace: &'a [(&'a str, &'a str)], labels: &'a [(&'a str, &'a str)] },
}

/// Whether a policy's `egress` lets a connection out (Kubernetes docs: Network Policies). Rules add up; within one, ports and peers
/// each have to match, and what is left out matches everything.
fn lets_out(policy: &Value, connection: Connection<'_>) -> bool {
    let rules = policy["spec"]["egress"].as_array().unwrap();
    rules.iter().any(|rule| {
        any(&rule["ports"], |port| port_matches(port, connection))
            && any(&rule["to"], |peer| peer_matches(peer, connection.to))
    })
}

/// Whether a member matches; a list that is absent or empty matches everything.
fn any(list: &Value, matches: impl Fn(&Value) -> bool) -> bool {
    list.as_array().is_none_or(|members| members.is_empty() || members.iter().any(matches))
}

fn port_matches(port: &Value, connection: Connection<'_>) -> bool {
    let end = port["endPort"].as_u64().or(port["port"].as_u64());
    port["protocol"].as_str().unwrap_or("TCP") == connection.protocol
        && (port["port"].is_null() || (port["port"].as_u64() <= Some(connection.port) && Some(connection.port) <= end))
}

fn peer_matches(peer: &Value, to: Peer<'_>) -> bool {
    match to {
        Peer::Address(address) => {
            let block = &peer["ipBlock"];
            let excepted = block["except"].as_array().into_iter().flatten();
            block["cidr"].as_str().is_some_and(|cidr| contains(cidr, address))
                && !excepted.into_iter().any(|cidr| contains(cidr.as_str().unwrap(), address))
        }
        Peer::Pod { namespace, labels } => {
            let selects = |selector: &Value, labels: &[(&str, &str)]| {
                assert!(selector["matchExpressions"].is_null(), "not evaluated here");
                let wanted = selector["matchLabels"].as_object();
                wanted.into_iter().flatten().all(|(name, value)| labels.iter().any(|(n, v)| n == name && value == v))
            };
            let (pods, namespaces) = (&peer["podSelector"], &peer["namespaceSelector"]);
            (!pods.is_null() || !namespaces.is_null()) && selects(pods, labels) && selects(namespaces, namespace)
        }
    }
}

fn contains(cidr: &str, address: &str) -> bool {
    let (block, length) = cidr.split_once('/').unwrap();
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((block, width), (address, width_of_address)) = (bits(block.parse().unwrap()), bits(address.parse().unwrap()));
    let length: u32 = length.parse().unwrap();
    width == width_of_address && (length == 0 || (block ^ address) >> (128 - length) == 0)
}

fn tcp(address: &str, port: u64) -> Connection<'_> {
    Connection { to: Peer::Address(address), protocol: "TCP", port }
}

/// The policies of the operator and of the workers.
fn policies(values: &[&str]) -> (Value, Value) {
    let values: Vec<&str> = [&["networkPolicy.enabled=true"], values].concat();
    let rendered = render(&values);
    let named = |name: &str| {
        of_kind(&rendered, "NetworkPolicy")
            .into_iter()
            .find(|policy| policy["metadata"]["name"] == name)
            .unwrap()
            .clone()
    };
    (named("rel-slack-access-operator"), named("rel-slack-access-operator-workers"))
}

/// Of documentation's blocks (RFC 5737): Teleport, and an address that nobody needs.
const TELEPORT: &str = "192.0.2.7";
const ELSEWHERE: &str = "203.0.113.9";

#[test]
fn the_evaluator_reads_a_policy_as_kubernetes_documents_it() {
    let policy = json!({"spec": {"egress": [
        {"to": [{"ipBlock": {"cidr": "172.17.0.0/16", "except": ["172.17.1.0/24"]}}], "ports": [{"protocol": "TCP", "port": 32000, "endPort": 32768}]},
        {"to": [{"namespaceSelector": {"matchLabels": {"name": "a"}}, "podSelector": {"matchLabels": {"role": "db"}}}]},
        {"to": [{"ipBlock": {"cidr": "2001:db8::/32"}}]},
    ]}});
    assert!(lets_out(&policy, tcp("172.17.0.9", 32500)));
    assert!(!lets_out(&policy, tcp("172.17.1.9", 32500)));
    assert!(!lets_out(&policy, tcp("172.17.0.9", 443)));
    assert!(!lets_out(&policy, Connection { protocol: "UDP", ..tcp("172.17.0.9", 32500) }));
    assert!(lets_out(&policy, tcp("2001:db8::1", 1)) && !lets_out(&policy, tcp("2001:db9::1", 1)));
    let pod = |namespace, labels| Connection { to: Peer::Pod { namespace, labels }, protocol: "TCP", port: 5432 };
    assert!(lets_out(&policy, pod(&[("name", "a")], &[("role", "db"), ("x", "y")])));
    assert!(!lets_out(&policy, pod(&[("name", "b")], &[("role", "db")])));
    assert!(!lets_out(&policy, pod(&[("name", "a")], &[])));
    assert!(lets_out(&json!({"spec": {"egress": [{}]}}), tcp(ELSEWHERE, 1)), "an empty rule matches everything");
    assert!(!lets_out(&json!({"spec": {"egress": []}}), tcp(ELSEWHERE, 1)), "no rule lets nothing out");
}

#[test]
fn the_operator_reaches_the_api_server_and_dns_and_nothing_else() {
    let (operator, _) = policies(&[]);
    for address in ["10.96.0.1", "172.20.0.1", "192.168.49.2", "100.64.1.1", "fd00::1"] {
        assert!(lets_out(&operator, tcp(address, 443)) && lets_out(&operator, tcp(address, 6443)), "{address}");
        assert!(!lets_out(&operator, tcp(address, 5432)), "{address}");
    }
    for address in [ELSEWHERE, TELEPORT, "172.32.0.1", "2001:db8::1"] {
        assert!(!lets_out(&operator, tcp(address, 443)) && !lets_out(&operator, tcp(address, 6443)), "{address}");
    }
}

#[test]
fn workers_reach_slack_and_teleport_wherever_they_are_by_default() {
    let (_, workers) = policies(&[]);
    // 3024 is the Proxy's reverse tunnel, for a Proxy that does not route by TLS.
    for port in [443, 3024, 3025, 3080] {
        assert!(lets_out(&workers, tcp(ELSEWHERE, port)), "{port}");
    }
    for port in [22, 80, 5432, 6443, 10250] {
        assert!(!lets_out(&workers, tcp(ELSEWHERE, port)), "{port}");
    }
    assert!(lets_out(&workers, tcp("10.0.0.1", 6443)), "the API server");
}

#[test]
fn workers_that_are_restricted_to_teleport_reach_nothing_else() {
    let teleport = format!("networkPolicy.workers.to=[{{\"ipBlock\":{{\"cidr\":\"{TELEPORT}/32\"}}}}]");
    let api = "networkPolicy.apiServer.to=[{\"ipBlock\":{\"cidr\":\"198.51.100.1/32\"}}]";
    let (operator, workers) = policies(&[&teleport, api]);
    for port in [443, 3024, 3025, 3080, 6443] {
        assert!(!lets_out(&workers, tcp(ELSEWHERE, port)), "{port} is open to everywhere");
        assert!(!lets_out(&workers, tcp("10.0.0.1", port)), "{port} is open to the whole cluster");
        assert_eq!(lets_out(&workers, tcp(TELEPORT, port)), port != 6443, "{port}");
    }
    for policy in [&operator, &workers] {
        assert!(lets_out(policy, tcp("198.51.100.1", 6443)) && lets_out(policy, tcp("198.51.100.1", 443)));
    }
    assert!(!lets_out(&workers, tcp("198.51.100.1", 3025)), "the API server is not Teleport");
}

#[test]
fn dns_is_answered_before_and_after_translation() {
    let system = r#"networkPolicy.dnsTo=[{"namespaceSelector":{"matchLabels":{"name":"dns"}}}]"#;
    let (open, _) = policies(&[]);
    let (narrow, workers) = policies(&[system]);
    for protocol in ["UDP", "TCP"] {
        for port in [53, 5353] {
            let to_pod = Connection { to: Peer::Pod { namespace: &[("name", "dns")], labels: &[] }, protocol, port };
            let anywhere = Connection { protocol, ..tcp(ELSEWHERE, port) };
            assert!(lets_out(&open, anywhere));
            for policy in [&narrow, &workers] {
                assert!(lets_out(policy, to_pod) && !lets_out(policy, anywhere), "{protocol} {port}");
            }
        }
    }
}

#[test]
fn a_sidecar_s_way_out_is_added_to_one_side_alone() {
    let rule = r#"[{"to":[{"ipBlock":{"cidr":"203.0.113.9/32"}}],"ports":[{"protocol":"TCP","port":15012}]}]"#;
    for (value, of_operator) in [("networkPolicy.extraEgress", true), ("networkPolicy.workers.extraEgress", false)] {
        let (operator, workers) = policies(&[&format!("{value}={rule}")]);
        assert_eq!(lets_out(&operator, tcp(ELSEWHERE, 15012)), of_operator, "{value}");
        assert_eq!(lets_out(&workers, tcp(ELSEWHERE, 15012)), !of_operator, "{value}");
    }
}
