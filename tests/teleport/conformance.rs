//! The cases that the simulated Auth passes, against the real one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use simulators::teleport::{Role, User};
use tokio::sync::OnceCell;

use crate::cases::client::Pems;
use crate::cases::{self, for_each_case};
use crate::cluster::Teleport;

/// The cast with its identities, made once.
pub(crate) async fn real() -> cases::Teleport {
    static IDENTITIES: OnceCell<BTreeMap<String, Pems>> = OnceCell::const_new();
    let teleport = Teleport::shared().await;
    let make = async {
        let (roles, users) = cases::cast();
        let documents: Vec<_> = roles.iter().map(role).chain(users.iter().map(user)).collect();
        teleport.create(&documents.join("---\n")).await;
        let mut identities = BTreeMap::new();
        for user in users {
            identities.insert(user.name.clone(), teleport.pems(&user.name).await);
        }
        identities
    };
    let identities = IDENTITIES.get_or_init(|| make).await;
    cases::Teleport {
        name: teleport.name.clone(),
        address: teleport.auth.clone(),
        sign: Box::new(|user| identities[user].clone()),
    }
}

fn role(role: &Role) -> String {
    let mut yaml = format!("kind: role\nversion: v5\nmetadata: {{name: {}}}\nspec:\n  allow:\n", role.name);
    let _ = writeln!(yaml, "    logins: {:?}\n    request: {{roles: {:?}}}\n    rules:", role.logins, role.requestable);
    for rule in &role.rules {
        let _ = writeln!(yaml, "      - {{resources: {:?}, verbs: {:?}}}", rule.kinds, rule.verbs);
    }
    yaml
}

fn user(user: &User) -> String {
    format!("kind: user\nversion: v2\nmetadata: {{name: {}}}\nspec: {{roles: {:?}}}\n", user.name, user.roles)
}

macro_rules! against_the_real {
    ($($group:ident::$case:ident;)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                cases::$group::$case(&real().await).await;
            }
        )*
    };
}
for_each_case!(against_the_real);
