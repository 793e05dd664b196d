//! Roles, users, rules, lists and resources over HTTP: what an administrator would put in with `tctl create`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Control, Refusal, Sent, done};
use crate::teleport::catalog::{NewAccessList, NewLoginState, NewResource, NewRule};
use crate::teleport::role::{Role, Rule, User};

pub(super) fn routes() -> Router<Control> {
    Router::new()
        .route("/_sim/roles", post(put_role))
        .route("/_sim/roles/{name}", delete(remove_role))
        .route("/_sim/users", post(put_user))
        .route("/_sim/users/{name}", delete(remove_user))
        .route("/_sim/users/{name}/lock", post(lock).delete(unlock))
        .route("/_sim/users/{name}/permissions", post(permit))
        .route("/_sim/users/{name}/login-state", post(put_login_state))
        .route("/_sim/rules", post(put_rule))
        .route("/_sim/rules/{name}", delete(remove_rule))
        .route("/_sim/access-lists", post(put_list))
        .route("/_sim/access-lists/{name}", delete(remove_list))
        .route("/_sim/resources", post(add_resource))
}

/// What has no name cannot be found again.
fn check_name(kind: &str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() { Err(Refusal(StatusCode::BAD_REQUEST, format!("{kind} needs a name"))) } else { Ok(()) }
}

fn removed(found: bool, kind: &str, name: &str) -> Answer {
    if found { Ok(done()) } else { Err(Refusal(StatusCode::NOT_FOUND, format!("no {kind} {name:?}"))) }
}

async fn put_role(State(control): State<Control>, Sent(role): Sent<Role>) -> Answer {
    check_name("a role", &role.name)?;
    control.cluster.put_role(role);
    Ok(done())
}

async fn remove_role(State(control): State<Control>, Path(name): Path<String>) -> Answer {
    removed(control.cluster.remove_role(&name), "role", &name)
}

async fn put_user(State(control): State<Control>, Sent(user): Sent<User>) -> Answer {
    check_name("a user", &user.name)?;
    control.cluster.put_user(user);
    Ok(done())
}

async fn remove_user(State(control): State<Control>, Path(name): Path<String>) -> Answer {
    removed(control.cluster.remove_user(&name), "user", &name)
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lock {
    message: String,
}

async fn lock(State(control): State<Control>, Path(name): Path<String>, Sent(lock): Sent<Lock>) -> Json<Value> {
    control.cluster.put_lock(&name, &lock.message);
    done()
}

async fn unlock(State(control): State<Control>, Path(name): Path<String>) -> Answer {
    removed(control.cluster.remove_lock(&name), "lock of", &name)
}

/// A list of rules replaces those of the user's roles; `null` takes that back.
async fn permit(
    State(control): State<Control>,
    Path(name): Path<String>,
    Sent(rules): Sent<Option<Vec<Rule>>>,
) -> Json<Value> {
    control.cluster.set_permissions(&name, rules);
    done()
}

async fn put_login_state(
    State(control): State<Control>,
    Path(name): Path<String>,
    Sent(state): Sent<NewLoginState>,
) -> Json<Value> {
    control.cluster.put_login_state(&name, state.into());
    done()
}

async fn put_rule(State(control): State<Control>, Sent(rule): Sent<NewRule>) -> Answer {
    check_name("a rule", &rule.name)?;
    control.cluster.put_rule(rule.into());
    Ok(done())
}

async fn remove_rule(State(control): State<Control>, Path(name): Path<String>) -> Answer {
    removed(control.cluster.remove_rule(&name), "rule", &name)
}

async fn put_list(State(control): State<Control>, Sent(list): Sent<NewAccessList>) -> Answer {
    check_name("an access list", &list.name)?;
    let now = control.cluster.now();
    control.cluster.put_access_list(list.message(now));
    Ok(done())
}

async fn remove_list(State(control): State<Control>, Path(name): Path<String>) -> Answer {
    removed(control.cluster.remove_access_list(&name), "access list", &name)
}

async fn add_resource(State(control): State<Control>, Sent(resource): Sent<NewResource>) -> Json<Value> {
    control.cluster.add_resource(resource.into());
    done()
}
