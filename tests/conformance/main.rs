//! The simulated Auth, set to the release that exists for real, does what the real one does: see `cases`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod cases;

use std::time::Duration;

use cases::client::Pems;
use cases::{Teleport, for_each_case};
use simulators::teleport::{Cluster, Config};

async fn simulated() -> (Cluster, Teleport) {
    let (roles, users) = cases::cast();
    let cluster = Cluster::start(Config { roles, users, ..Config::old() }).await.unwrap();
    let signer = cluster.clone();
    let teleport = Teleport {
        name: cluster.name().to_owned(),
        address: cluster.addr().to_string(),
        sign: Box::new(move |user| {
            let identity = signer.user_identity(user, Duration::from_hours(1)).unwrap();
            let (certificate, authorities) = (identity.certificate_pem(), identity.authorities_pem());
            Pems { certificate, key: identity.key_pem().to_owned(), authorities }
        }),
    };
    (cluster, teleport)
}

macro_rules! against_the_simulated {
    ($($group:ident::$case:ident;)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (_cluster, teleport) = simulated().await;
                cases::$group::$case(&teleport).await;
            }
        )*
    };
}
for_each_case!(against_the_simulated);
