use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use serde_json::{Value, json};
use simulators::teleport::control;
use simulators::teleport::pb::proto::{GetRoleRequest, ListResourcesRequest};
use tower::ServiceExt;

use crate::support::{cluster, dba, plugin};

async fn call(router: &Router, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_request_lives_its_whole_life_over_http() {
    let router = control::router(cluster().await, None);
    let body = json!({"user": "alice@example.com", "roles": ["dba"], "reason": "why", "resources": ["node/db-1"]});
    let (status, made) = call(&router, "POST", "/_sim/requests", body).await;
    assert_eq!(status, StatusCode::OK);
    let path = |action: &str| format!("/_sim/requests/{}/{action}", made["id"].as_str().unwrap());
    let data = json!({"plugin": "slack", "set": {"messages": "C1/1.2"}});
    assert_eq!(call(&router, "POST", &path("plugin-data"), data).await.0, StatusCode::OK);
    let review = json!({"author": "bob@example.com", "approve": false, "reason": "no"});
    assert_eq!(call(&router, "POST", &path("review"), review.clone()).await.1["state"], "DENIED");
    assert_eq!(call(&router, "POST", &path("review"), review).await.0, StatusCode::CONFLICT);
    let (_, state) = call(&router, "GET", "/_sim/state", Value::Null).await;
    let request = &state["requests"][0];
    assert_eq!((&request["state"], &request["resolve_reason"]), (&json!("DENIED"), &json!("no")));
    assert_eq!(request["resources"], json!(["/teleport.example.com/node/db-1"]));
    assert_eq!(request["plugin_data"]["slack"]["messages"], "C1/1.2");
    assert_eq!(call(&router, "POST", &path("expire"), json!({})).await.0, StatusCode::OK);
    assert_eq!(call(&router, "POST", &path("delete"), json!({})).await.0, StatusCode::NOT_FOUND);
    let (_, state) = call(&router, "GET", "/_sim/state", Value::Null).await;
    assert!(state["orphaned_plugin_data"][made["id"].as_str().unwrap()].is_object());
}

#[tokio::test]
async fn faults_are_put_in_listed_and_taken_out_over_http() {
    let router = control::router(cluster().await, None);
    let fault = json!({"method": "Ping", "effect": "hang", "count": 1});
    let (_, made) = call(&router, "POST", "/_sim/faults", fault).await;
    let (_, list) = call(&router, "GET", "/_sim/faults", Value::Null).await;
    assert_eq!((&list[0]["number"], &list[0]["fault"]["effect"]), (&made["number"], &json!("hang")));
    let path = format!("/_sim/faults/{}", made["number"]);
    assert_eq!(call(&router, "DELETE", &path, Value::Null).await.0, StatusCode::OK);
    assert_eq!(call(&router, "DELETE", &path, Value::Null).await.0, StatusCode::NOT_FOUND);
    let unfit = json!({"method": "Ping", "effect": "cut"});
    let (status, answer) = call(&router, "POST", "/_sim/faults", unfit).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer["error"].as_str().unwrap().contains("it is for streams"));
}

#[tokio::test]
async fn roles_users_rules_lists_and_resources_are_put_in_over_http() {
    let cluster = cluster().await;
    let router = control::router(cluster.clone(), Some("/nowhere/auth.pem".into()));
    for (path, body) in [
        ("/_sim/roles", json!({"name": "oncall", "logins": ["root"], "reviewable": ["*"]})),
        ("/_sim/users", json!({"name": "dave", "roles": ["oncall"], "traits": {"team": ["db"]}})),
        ("/_sim/users/dave/login-state", json!({"roles": ["oncall"], "traits": {"team": ["db"]}})),
        ("/_sim/rules", json!({"name": "dbas", "recipients": ["#dba"]})),
        ("/_sim/access-lists", json!({"name": "list-1", "title": "Databases", "owners": ["dave"], "grants": ["dba"]})),
        ("/_sim/resources", json!({"kind": "user_group", "name": "0001", "friendly": "People"})),
    ] {
        let (status, answer) = call(&router, "POST", path, body).await;
        assert_eq!((status, &answer["ok"]), (StatusCode::OK, &json!(true)), "{path}: {answer}");
    }
    let (status, answer) = call(&router, "POST", "/_sim/rules", json!({"recipients": []})).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("a rule needs a name")));

    let (status, answer) = call(&router, "POST", "/_sim/rules", json!({"name": "a", "recipient": "#dba"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer["error"].as_str().unwrap().contains("unknown field `recipient`"), "{answer}");

    let mut client = plugin(&cluster).await;
    client.get_role(GetRoleRequest { name: "oncall".to_owned() }).await.unwrap();
    let query =
        ListResourcesRequest { resource_type: "user_group".to_owned(), limit: 1, ..ListResourcesRequest::default() };
    assert_eq!(client.list_resources(query).await.unwrap().into_inner().resources.len(), 1);
    let (_, shown) = call(&router, "POST", "/_sim/identity", json!({"user": "dave", "show": true})).await;
    assert!(shown["identity"].as_str().unwrap().contains("BEGIN CERTIFICATE"));

    let permissions = "/_sim/users/slack-plugin/permissions";
    call(&router, "POST", permissions, json!([{"kinds": ["access_request"], "verbs": ["read"]}])).await;
    client.get_role(GetRoleRequest { name: "oncall".to_owned() }).await.unwrap_err();
    call(&router, "POST", permissions, Value::Null).await;
    client.get_role(GetRoleRequest { name: "oncall".to_owned() }).await.unwrap();

    for path in ["/_sim/roles/oncall", "/_sim/users/dave", "/_sim/rules/dbas", "/_sim/access-lists/list-1"] {
        assert_eq!(call(&router, "DELETE", path, Value::Null).await.0, StatusCode::OK, "{path}");
        assert_eq!(call(&router, "DELETE", path, Value::Null).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_rotation_writes_the_identity_file_anew() {
    let cluster = cluster().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.pem");
    cluster.write_identity_file(&path).unwrap();
    let before = std::fs::read_to_string(&path).unwrap();
    let router = control::router(cluster, Some(path.clone()));
    let (status, _) = call(&router, "POST", "/_sim/identity", json!({"ttl_seconds": 60})).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(std::fs::read_to_string(&path).unwrap(), before);
}

#[tokio::test]
async fn a_page_is_told_the_state_now_and_after_every_change() {
    let cluster = cluster().await;
    let router = control::router(cluster.clone(), None);
    let request = Request::get("/_sim/events").body(Body::empty()).unwrap();
    let mut events = router.oneshot(request).await.unwrap().into_body().into_data_stream();
    let first = events.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: state"), "{first:?}");
    let id = cluster.create_request(dba());
    let second = String::from_utf8(events.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(second.contains(&id), "{second}");
}
