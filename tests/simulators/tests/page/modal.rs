//! Modals and menus on the page, with an app behind them.

use serde_json::{Value, json};
use simulators::slack::{APP_TOKEN, BOT_TOKEN};

use super::browser::{Browser, key};
use super::slack_client::socket::{App, dial};
use super::{call, choose, post, slack_url, with_page};

/// An app in the worker's place: Slack would give a click to either of them.
async fn app(page: &Browser) -> App {
    let stop = "return fetch('/demo/worker', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{\"order\":\"stop\"}' }).then((answer) => answer.ok)";
    assert_eq!(page.run(stop, json!([])).await, json!(true));
    page.until("document.body.textContent.includes('It has ended') || [...document.querySelectorAll('button')].some((one) => one.textContent === 'Start it' && !one.disabled)").await;
    let ticket = call(page, "apps.connections.open", APP_TOKEN, json!({})).await;
    let address = slack_url(page).await.trim_start_matches("http://").parse().unwrap();
    let mut app = dial(address, ticket["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(app.frame().await["type"], "hello");
    app
}

fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

fn option(text: &str) -> Value {
    json!({"text": plain(text), "value": text})
}

/// The same as Slack stores it.
fn stored(text: &str) -> Value {
    json!({"text": {"type": "plain_text", "text": text, "emoji": true}, "value": text})
}

#[tokio::test]
async fn what_is_chosen_in_a_message_reaches_the_app() {
    with_page(async |page| {
        let mut app = app(page).await;
        let elements = json!([
            {"type": "static_select", "action_id": "role", "placeholder": plain("Role"), "options": [option("dba"), option("ops")]},
            {"type": "checkboxes", "action_id": "days", "options": [option("Monday"), option("Friday")], "initial_options": [option("Friday")]},
            {"type": "datepicker", "action_id": "until", "initial_date": "2026-05-01"},
            {"type": "users_select", "action_id": "who", "placeholder": plain("Who")},
        ]);
        let blocks = json!([{"type": "actions", "block_id": "choose", "elements": elements}]);
        post(page, json!({"channel": "C0DBAONCALL", "text": "choose", "blocks": blocks})).await;
        page.until("document.querySelector('#messages [data-action=role]')").await;
        choose(page, "#messages [data-action=role]", "ops").await;
        let frame = app.frame().await;
        app.acknowledge(&frame).await;
        let payload = &frame["payload"];
        assert_eq!(payload["actions"][0]["selected_option"], stored("ops"));
        assert_eq!(
            payload["state"]["values"]["choose"],
            json!({
                "role": {"type": "static_select", "selected_option": stored("ops")},
                "days": {"type": "checkboxes", "selected_options": [stored("Friday")]},
                "until": {"type": "datepicker", "selected_date": "2026-05-01"},
                "who": {"type": "users_select", "selected_user": null},
            })
        );
        choose(page, "#messages [data-action=who]", "Carol Clark").await;
        let frame = app.frame().await;
        app.acknowledge(&frame).await;
        assert_eq!(frame["payload"]["actions"][0]["selected_user"], "U0CAROL0001");
        app.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_modal_is_filled_in_corrected_and_sent_without_a_mouse() {
    with_page(async |page| {
        let mut app = app(page).await;
        let button = json!({"type": "button", "action_id": "deny", "text": plain("Deny…")});
        let blocks = json!([{"type": "actions", "elements": [button]}]);
        post(page, json!({"channel": "C0DBAONCALL", "text": "deny?", "blocks": blocks})).await;
        page.until("document.querySelector('#messages [data-focus=deny]')").await;
        page.run("document.querySelector('#messages [data-focus=deny]').focus()", json!([])).await;
        page.press(key::ENTER).await;
        let frame = app.frame().await;
        app.acknowledge(&frame).await;
        let why = json!({"type": "input", "block_id": "why", "label": plain("Why?"), "element": {"type": "plain_text_input", "action_id": "text"}});
        let tell = json!({"type": "input", "block_id": "tell", "optional": true, "label": plain("Tell"), "element": {"type": "checkboxes", "action_id": "whom", "options": [option("Alice")]}});
        let view = json!({"type": "modal", "title": plain("Deny the request"), "submit": plain("Deny"), "blocks": [why, tell]});
        let trigger = &frame["payload"]["trigger_id"];
        call(page, "views.open", BOT_TOKEN, json!({"trigger_id": trigger, "view": view})).await;
        page.until("document.querySelector('#modal').open && document.activeElement.closest('#modal')").await;
        assert_eq!(page.value("document.querySelector('#modal h3').textContent").await, "Deny the request");
        assert_eq!(page.find("#modal").await[0].name().await, "Deny the request");

        // An empty field is not sent.
        page.run("document.querySelector('#modal [data-action=text]').focus()", json!([])).await;
        page.press(key::ENTER).await;
        let problem = "document.querySelector('#modal [data-block=why] [role=alert]')?.textContent";
        page.until(&format!("{problem} === 'Please complete this required field.'")).await;
        page.press("no").await;
        page.press(key::ENTER).await;
        let frame = app.frame().await;
        let values = json!({
            "why": {"text": {"type": "plain_text_input", "value": "no"}},
            "tell": {"whom": {"type": "checkboxes", "selected_options": []}},
        });
        assert_eq!(frame["payload"]["view"]["state"]["values"], values);
        let errors = json!({"response_action": "errors", "errors": {"why": "Be kind."}});
        app.send(&json!({"envelope_id": frame["envelope_id"], "payload": errors}).to_string()).await;
        page.until(&format!("{problem} === 'Be kind.'")).await;

        // What was typed is still there, and so is the focus.
        page.press("t yet").await;
        page.press(key::ENTER).await;
        let frame = app.frame().await;
        assert_eq!(frame["payload"]["view"]["state"]["values"]["why"]["text"]["value"], "not yet");
        app.acknowledge(&frame).await;
        page.until("!document.querySelector('#modal').open && document.activeElement.dataset.focus === 'deny'").await;

        // Escape closes.
        page.press(key::ENTER).await;
        let frame = app.frame().await;
        app.acknowledge(&frame).await;
        let trigger = &frame["payload"]["trigger_id"];
        call(page, "views.open", BOT_TOKEN, json!({"trigger_id": trigger, "view": view})).await;
        page.until("document.querySelector('#modal').open").await;
        page.press(key::ESCAPE).await;
        page.until("!document.querySelector('#modal').open && document.querySelector('#modal').children.length === 0").await;
        app.close().await;
    })
    .await;
}
