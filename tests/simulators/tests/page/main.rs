//! The demo's page in a real browser, with the real worker behind it. `make test-page` runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod browser;
#[cfg(target_os = "linux")]
mod command;
mod modal;
#[path = "../slack_client/mod.rs"]
mod slack_client;

use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use serde_json::{Value, json};
use simulators::demo::{Demo, Settings};
use simulators::slack::BOT_TOKEN;

use self::browser::{Browser, key};

/// Where cargo put the worker: beside the simulators.
fn worker() -> PathBuf {
    let worker = Path::new(env!("CARGO_BIN_EXE_simulators")).with_file_name("slack-access-operator");
    assert!(worker.is_file(), "no worker at {}; build it with `cargo build`", worker.display());
    worker
}

/// Whether there is a browser; says so if not.
fn can_look() -> bool {
    let can = browser::is_installed();
    if !can {
        // Not `eprintln!`, which nobody sees when the test passes.
        let _ = writeln!(std::io::stderr(), "skipped: there is no browser; apt-get install chromium chromium-driver");
    }
    can
}

async fn demo_at(listen: SocketAddr) -> Demo {
    Demo::start(Settings { listen, worker: worker(), echo: false }).await.unwrap()
}

/// A demo of its own and a browser that looks at it. Both end, whatever the test finds. Nothing may go to the console.
async fn with_page(test: impl AsyncFnOnce(&Browser)) {
    if !can_look() {
        return;
    }
    let demo = demo_at(([127, 0, 0, 1], 0).into()).await;
    let looked = looking_at(demo.address(), async |page| {
        test(page).await;
        assert_eq!(page.console().await, Vec::<Value>::new());
    });
    let looked = looked.await;
    demo.end().await;
    looked.unwrap_or_else(|panic| resume_unwind(panic));
}

/// A browser that looks at the page there, and ends whatever the test finds.
async fn looking_at(address: SocketAddr, test: impl AsyncFnOnce(&Browser)) -> std::thread::Result<()> {
    let browser = Browser::start().await;
    let looked = AssertUnwindSafe(async {
        browser.resize(1440, 900, false).await;
        browser.open(&format!("http://{address}/")).await;
        browser.until("document.querySelector('#part-worker.good') && document.querySelector('#channels li')").await;
        test(&browser).await;
    });
    let looked = looked.catch_unwind().await;
    browser.end().await;
    looked
}

const REQUEST: &str = "#requests .request";
const HEADER: &str = "document.querySelector('#messages .block-header')?.textContent";

/// Fills in the form's reason and sends it.
async fn ask(page: &Browser, reason: &str) {
    page.run("document.querySelector('#request-form').elements.reason.value = arguments[0]", json!([reason])).await;
    page.click("#request-form [type=submit]").await;
}

/// Chooses the option with this label.
async fn choose(page: &Browser, select: &str, label: &str) {
    let script = "
        const select = document.querySelector(arguments[0]);
        select.value = [...select.options].find((option) => option.textContent === arguments[1]).value;
        select.dispatchEvent(new Event('change', { bubbles: true }));";
    page.run(script, json!([select, label])).await;
}

fn messages_in(channel: &str) -> String {
    format!("document.querySelector('[data-focus=\"conversation-{channel}\"]').click()")
}

#[tokio::test]
async fn a_request_made_in_the_form_is_told_in_slack_and_so_is_its_approval() {
    with_page(async |page| {
        ask(page, "The index on orders is gone").await;
        page.until(&format!("{HEADER}?.includes('Access request waiting for review')")).await;
        page.until("document.querySelector('#messages').innerText.includes('The index on orders is gone')").await;
        page.until("document.querySelector('#directs .unread .count')").await;

        page.click(&format!("{REQUEST} .approve")).await;
        page.until(&format!("{HEADER}?.includes('Access request approved')")).await;
        page.until("document.querySelector('#messages .reaction')?.textContent.includes('✅')").await;
        page.until(&format!("document.querySelector('{REQUEST}.approved')")).await;

        page.click("#messages .thread-summary").await;
        page.until("document.querySelectorAll('#thread-messages .message').length === 2").await;
        page.until("document.querySelector('#thread').innerText.includes('approved the request')").await;
        page.until("document.querySelectorAll('#calls .of-slack').length && document.querySelectorAll('#calls .of-teleport').length").await;
    })
    .await;
}

#[tokio::test]
async fn a_request_made_while_the_program_is_dead_is_told_once_when_it_is_back() {
    with_page(async |page| {
        page.click("#faults [data-focus='Kill it']").await;
        page.until("document.querySelector('#part-worker.bad')").await;
        page.until("document.querySelector('#in-force').textContent.includes('the program does not run')").await;
        page.until("document.querySelector('#faults [data-focus=\"Kill it\"]').disabled").await;
        ask(page, "Nobody listens").await;
        page.until(&format!("document.querySelector('{REQUEST}.pending')")).await;
        page.click("#faults [data-focus='Start it']").await;
        page.until(&format!("{HEADER}?.includes('waiting for review')")).await;
        page.run(&messages_in("C0DBAONCALL"), json!([])).await;
        page.until("document.querySelector('#part-worker.good')").await;
        let told = page.value("document.querySelectorAll('#messages .message').length").await;
        assert_eq!(told, json!(1));
    })
    .await;
}

#[tokio::test]
async fn a_request_that_nobody_decides_is_shown_as_expired() {
    with_page(async |page| {
        // The shortest that the form offers is for people; a test has less patience.
        page.run("document.querySelector('[name=ttl]').options[1].value = '4'; document.querySelector('[name=ttl]').selectedIndex = 1", json!([])).await;
        ask(page, "Nobody looks").await;
        page.until(&format!("{HEADER}?.includes('waiting for review')")).await;
        page.until(&format!("{HEADER}?.includes('expired without a decision')")).await;
        page.until(&format!("document.querySelector('{REQUEST}.gone')")).await;
    })
    .await;
}

#[tokio::test]
async fn the_three_steps_and_a_thread_need_no_mouse() {
    with_page(async |page| {
        let focused = async |name: &str| {
            for _ in 0..80 {
                let at = page.value("document.activeElement.dataset.focus ?? document.activeElement.id").await;
                if at == json!(name) {
                    return;
                }
                page.press(key::TAB).await;
            }
            panic!("Tab does not lead to {name}");
        };
        focused("ask").await;
        page.press(key::ENTER).await;
        page.until("document.querySelector('[data-focus=look]:enabled')").await;
        focused("look").await;
        page.press(key::ENTER).await;
        page.until("document.activeElement.id === 'conversation-title'").await;
        page.until("document.querySelector('#announcer').textContent.includes('Access request waiting for review')")
            .await;
        page.run("document.activeElement.blur(); document.querySelector('.skip').focus()", json!([])).await;
        focused("decide").await;
        page.press(key::ENTER).await;
        review(page).await;
        page.until("document.querySelector('#messages .thread-summary')").await;
        let thread = page.value("document.querySelector('#messages .thread-summary').dataset.focus").await;
        focused(thread.as_str().unwrap()).await;
        page.press(key::ENTER).await;
        page.until("document.activeElement.id === 'thread-title'").await;
        page.press(key::ESCAPE).await;
        page.until("document.querySelector('#thread').hidden").await;
        page.until("document.activeElement.closest('#messages')").await;
        focused("tab-calls").await;
        page.press(key::RIGHT).await;
        page.until("document.activeElement.id === 'tab-log' && !document.querySelector('#log-panel').hidden").await;
    })
    .await;
}

/// Fills in the form that the worker has opened for Bob: approves, with a reason.
async fn review(page: &Browser) {
    page.until("document.querySelector('#modal').open && document.querySelector('#modal input[type=radio]')").await;
    page.click("#modal input[type=radio]").await;
    page.run("document.querySelector('#modal textarea').value = 'Go ahead'", json!([])).await;
    page.click("#modal [data-focus=submit]").await;
    page.until("!document.querySelector('#modal').open").await;
}

/// Marks everything that needs a name, with all that was folded away opened.
const MARK_VISIBLE: &str = r"
    document.querySelectorAll('details').forEach((details) => { details.open = true; });
    for (const element of document.querySelectorAll('button, input, select, textarea, a, section, nav, aside')) {
        if (element.checkVisibility()) element.dataset.visible = '';
    }
";

#[tokio::test]
async fn every_control_has_a_name_and_every_part_a_landmark() {
    with_page(async |page| {
        page.click("[data-focus=ask]").await;
        page.until("document.querySelector('[data-focus=decide]:enabled')").await;
        page.click("[data-focus=decide]").await;
        review(page).await;
        page.click("#messages .thread-summary").await;
        page.run(MARK_VISIBLE, json!([])).await;
        let mut nameless = Vec::new();
        for control in page.find("[data-visible]").await {
            if control.name().await.trim().is_empty() {
                nameless.push(control.html().await);
            }
        }
        assert_eq!(nameless, Vec::<String>::new());
        let twice =
            "[...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)";
        assert_eq!(page.value(twice).await, json!([]));
        assert_eq!(page.value("document.documentElement.lang").await, json!("en"));
        assert_eq!(page.value("document.querySelectorAll('main').length").await, json!(1));
        let mut landmarks = Vec::new();
        for landmark in page.find("nav, aside, section, [role=region]").await {
            landmarks.push(landmark.name().await);
        }
        landmarks.sort_unstable();
        assert!(landmarks.is_sorted_by(|one, next| one < next), "of the same name: {landmarks:?}");
    })
    .await;
}

/// The contrast of every visible text with what is behind it (WCAG 2, contrast minimum: 4.5, or 3 for large text).
const TOO_FAINT: &str = r"
    const rgba = (colour) => {
        const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return rgba('canvas');
    };
    document.getAnimations().forEach((animation) => animation.finish());
    const found = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.checkVisibility() || element.closest(':disabled, .emoji, option')) continue;
        const style = getComputedStyle(element);
        const [a, b] = [luminance(rgba(style.color)), luminance(ground(element))].sort((x, y) => y - x);
        const size = parseFloat(style.fontSize);
        const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < (isLarge ? 3 : 4.5)) found.push(`${contrast.toFixed(2)} ${element.tagName}.${element.className}: ${element.textContent.slice(0, 40)}`);
    }
    return found;
";

#[tokio::test]
async fn light_and_dark_are_both_readable() {
    with_page(async |page| {
        page.click("[data-focus=ask]").await;
        page.until("document.querySelector('[data-focus=decide]:enabled')").await;
        page.click("[data-focus=decide]").await;
        review(page).await;
        page.click("#messages .thread-summary").await;
        let ground = "getComputedStyle(document.body).backgroundColor";
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            page.prefer("prefers-color-scheme", scheme).await;
            grounds.push(page.value(ground).await);
            assert_eq!(page.run(TOO_FAINT, json!([])).await, json!([]), "{scheme}");
        }
        assert_ne!(grounds[0], grounds[1]);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_wider_than_a_phone() {
    with_page(async |page| {
        page.resize(360, 740, true).await;
        page.click("[data-focus=ask]").await;
        page.until(&format!("{HEADER}?.includes('waiting for review')")).await;
        page.click(".jump a[href='#slack']").await;
        page.until("document.querySelector('#slack').getBoundingClientRect().top < 60").await;
        page.click("#messages [data-focus^=reply]").await;
        page.until("document.querySelector('#thread-messages .message')").await;
        let widest = "Math.max(...[...document.querySelectorAll('main, section, #thread, .message')].filter((e) => e.checkVisibility()).map((e) => e.getBoundingClientRect().right))";
        let widest = page.value(widest).await.as_f64().unwrap();
        assert!(widest <= 360.0, "something reaches to {widest}");
        assert_eq!(page.value("document.documentElement.scrollWidth").await, json!(360));
    })
    .await;
}

#[tokio::test]
async fn what_is_chosen_is_seen_without_the_pages_colours() {
    with_page(async |page| {
        page.prefer("forced-colors", "active").await;
        for (chosen, other) in [
            (".conversation-link[aria-current]", ".conversation-link:not([aria-current])"),
            (".tabs [aria-selected=true]", ".tabs [aria-selected=false]"),
            (".pill input:checked + span", ".pill input:not(:checked) + span"),
        ] {
            let ground = async |selector: &str| {
                page.value(&format!("getComputedStyle(document.querySelector('{selector}')).backgroundColor")).await
            };
            assert_ne!(ground(chosen).await, ground(other).await, "{chosen}");
        }
    })
    .await;
}

#[tokio::test]
async fn many_messages_at_once_are_counted_for_those_who_listen() {
    with_page(async |page| {
        let burst = r#"
            const body = JSON.stringify({ user: "alice@example.com", channel: "general", text: "hello" });
            const say = () => fetch("/slack/_sim/say", { method: "POST", headers: { "content-type": "application/json" }, body });
            Promise.all(Array.from({ length: 8 }, say));
        "#;
        page.run(burst, json!([])).await;
        page.until("/^8 new and 0 changed messages in channel general$/.test(document.querySelector('#announcer').textContent)").await;
    })
    .await;
}

#[tokio::test]
async fn a_fault_that_is_ended_leaves_the_list_and_the_focus_there() {
    with_page(async |page| {
        page.click("#faults [data-focus='Too many requests']").await;
        page.until("document.querySelector('#in-force button')").await;
        page.run("document.querySelector('#in-force button').focus()", json!([])).await;
        page.press(key::ENTER).await;
        page.until("!document.querySelector('#in-force button') && document.activeElement.id === 'in-force'").await;
    })
    .await;
}

#[tokio::test]
async fn what_is_broken_is_said_above_and_in_the_list_and_goes_with_its_end() {
    let light = |name: &str, mood: &str, text: &str| {
        format!("document.querySelector('#part-slack.{mood} dd')?.textContent.includes('{text}') && {name}")
    };
    with_page(async |page| {
        let listed = "document.querySelector('#in-force').textContent";
        page.click("#faults [data-focus='Revoke the token']").await;
        page.until(&light(&format!("{listed}.includes('token is revoked')"), "bad", "refuses the token")).await;
        page.click("#faults [data-focus='Accept it again']").await;
        page.until(&light(&format!("{listed} === ''"), "good", "message")).await;
        // Nobody ends this one: it ends by itself.
        let fault = json!({"method": "chat.delete", "effect": "hang", "for_millis": 1500});
        let inject = "return fetch('/slack/_sim/faults', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(arguments[0])}).then((answer) => answer.status)";
        assert_eq!(page.run(inject, json!([fault])).await, 200);
        page.until(&light(&format!("{listed}.includes('chat.delete hang')"), "warn", "message")).await;
        page.until(&light(&format!("{listed} === ''"), "good", "message")).await;
        page.click("#faults [data-focus='Kill it']").await;
        page.until("document.querySelector('#part-worker.bad dd')?.textContent === 'killed'").await;
    })
    .await;
}

#[tokio::test]
async fn somebody_who_is_in_no_conversation_sees_that() {
    with_page(async |page| {
        choose(page, "#persona", "Gus Guest").await;
        page.until("document.querySelector('#conversation-title').textContent === 'No conversation' && document.querySelector('#composer').hidden").await;
        assert_eq!(page.value("document.querySelectorAll('#messages article, #channels li').length").await, json!(0));
        choose(page, "#persona", "everybody").await;
        page.until("document.querySelector('#conversation-title').textContent === '#dba-oncall' && !document.querySelector('#composer').hidden").await;
    })
    .await;
}

#[tokio::test]
async fn a_reload_goes_on_where_it_was_and_the_log_opens_at_its_end() {
    with_page(async |page| {
        page.click("#steps [data-focus=ask]").await;
        page.until("document.querySelector('[data-focus=look]:enabled')").await;
        page.run("location.reload()", json!([])).await;
        page.until("document.querySelectorAll('#steps .done').length === 1 && document.querySelector('[data-focus=decide]:enabled')").await;
        page.until("document.querySelectorAll('#log li').length > 2").await;
        page.run("document.querySelector('#log-panel').style.maxHeight = '2rem'", json!([])).await;
        page.click("#tab-log").await;
        let from_end = "document.querySelector('#log-panel').scrollHeight - document.querySelector('#log-panel').scrollTop - document.querySelector('#log-panel').clientHeight";
        page.until(&format!("document.querySelector('#log-panel').scrollTop > 0 && Math.abs({from_end}) < 2")).await;
    })
    .await;
}

#[tokio::test]
async fn asking_for_no_role_is_refused_at_the_roles() {
    with_page(async |page| {
        page.run("document.querySelector('#role-pills input:checked').click()", json!([])).await;
        let valid = "document.querySelector('#request-form').checkValidity()";
        assert_eq!(page.value(valid).await, json!(false));
        page.run("document.querySelector('#role-pills input[value=access]').click()", json!([])).await;
        assert_eq!(page.value(valid).await, json!(true));
    })
    .await;
}

/// Where the demo's Slack is: `http://127.0.0.1:PORT`.
async fn slack_url(page: &Browser) -> String {
    let setup = page.run("return fetch('/demo/setup').then((answer) => answer.json())", json!([])).await;
    setup["slack"].as_str().unwrap().to_owned()
}

/// Calls Slack's own API, as the app does.
async fn call(page: &Browser, method: &str, token: &str, body: Value) -> Value {
    let url = format!("{}/api/{method}", slack_url(page).await);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer: Value = client.post(url).bearer_auth(token).json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["ok"], json!(true), "{answer}");
    answer
}

async fn post(page: &Browser, message: Value) {
    call(page, "chat.postMessage", BOT_TOKEN, message).await;
}

#[tokio::test]
async fn block_kit_is_drawn_as_slack_draws_it() {
    with_page(async |page| {
        let plain = |text: &str| json!({"type": "plain_text", "text": text});
        let cell = |text: &str| json!({"type": "raw_text", "text": text});
        let option = |text: &str| json!({"text": plain(text), "value": text});
        let blocks = json!([
            {"type": "section", "text": {"type": "mrkdwn", "text": "> quoted\nnot quoted"}},
            {"type": "table", "rows": [[cell("Role")], [cell("dba")]]},
            {"type": "markdown", "text": "## Title\n**bold** and [a link](https://example.com)\n- one\n- two\n```\nlet x;\n```"},
            {"type": "actions", "elements": [
                {"type": "static_select", "action_id": "menu", "placeholder": plain("Pick one"), "options": [option("One")]},
                {"type": "radio_buttons", "action_id": "radio", "options": [option("Left"), option("Right")], "initial_option": option("Right")},
            ]},
            {"type": "input", "label": plain("Why"), "element": {"type": "plain_text_input", "action_id": "why"}},
            {"type": "image", "image_url": "https://example.com/cat.png", "alt_text": "A cat"},
        ]);
        post(page, json!({"channel": "C0DBAONCALL", "text": "blocks", "blocks": blocks})).await;
        page.until("document.querySelector('#messages .block')").await;
        for (selector, text) in [
            (".block-section blockquote", "quoted"),
            (".block-table th", "Role"),
            (".block-table td", "dba"),
            (".block-markdown p > b", "Title"),
            (".block-markdown p:has(a)", "bold and a link"),
            (".block-markdown li + li", "two"),
            (".block-markdown pre", "let x;"),
            (".block-actions .menu :checked", "Pick one"),
            (".choice:has(:checked)", "Right"),
            (".block-input label:has(input)", "Why"),
            (".block-image [role=img]", "🖼 A cat"),
        ] {
            let shown = format!("document.querySelector('#messages {selector}')?.textContent");
            assert_eq!(page.value(&shown).await, json!(text), "{selector}");
        }
        assert_eq!(page.value("document.querySelectorAll('#messages .unknown').length").await, json!(0));

        let attachment = json!({"title": "Older", "text": "an _attachment_", "color": "good", "fallback": "Older"});
        post(page, json!({"channel": "C0DBAONCALL", "text": "*bold* and `code`", "attachments": [attachment]})).await;
        page.until("document.querySelectorAll('#messages article').length === 2").await;
        let last = "[...document.querySelectorAll('#messages article')].at(-1)";
        let shown = format!("[...{last}.querySelectorAll('.text b, code, .attachment b, .attachment i')].map((e) => e.textContent)");
        assert_eq!(page.value(&shown).await, json!(["bold", "code", "Older", "attachment"]));
    })
    .await;
}

#[tokio::test]
async fn an_answer_in_direct_messages_is_from_the_person_whom_the_app_writes_to() {
    with_page(async |page| {
        post(page, json!({"channel": "U0CAROL0001", "text": "hello"})).await;
        page.click("#directs button").await;
        page.until("document.querySelector('#composer input').placeholder === 'Message teleport as Carol Clark'").await;
        page.run("document.querySelector('#composer').elements.text.value = 'yes?'", json!([])).await;
        page.click("#composer button").await;
        page.until("[...document.querySelectorAll('#messages .byline b')].map((e) => e.textContent).join() === 'teleport,Carol Clark'").await;
    })
    .await;
}

#[tokio::test]
async fn a_page_tells_that_the_demo_ended_and_follows_the_next_one() {
    if !can_look() {
        return;
    }
    let first = demo_at(([127, 0, 0, 1], 0).into()).await;
    let address = first.address();
    let looked = looking_at(address, async |page| {
        ask(page, "Of the first run").await;
        page.until("document.querySelector('#messages article')").await;
        first.end().await;
        page.until("document.querySelector('#connection').textContent.includes('has ended')").await;
        let second = demo_at(address).await;
        page.until(
            "document.querySelector('#connection').textContent === '' && document.querySelector('#part-worker.good')",
        )
        .await;
        page.until("!document.querySelector('#messages article') && document.querySelector('#log').textContent.includes('Plugin is ready')").await;
        let lines = page.value("document.querySelector('#log').textContent.match(/Plugin is ready/g).length").await;
        second.end().await;
        assert_eq!(lines, json!(1));
    });
    looked.await.unwrap_or_else(|panic| resume_unwind(panic));
}

#[tokio::test]
async fn what_users_write_stays_text() {
    with_page(async |page| {
        let hostile = "<img src=x onerror=\"document.title='taken'\"> <script>document.title='taken'</script> <@U0BOB000001> *bold*";
        ask(page, hostile).await;
        page.until(&format!("{HEADER}?.includes('waiting for review')")).await;
        page.until("document.querySelector('#messages').textContent.includes('onerror')").await;
        page.run("document.querySelector('#composer').elements.text.value = arguments[0]", json!([hostile])).await;
        page.click("#composer button").await;
        page.until("document.querySelectorAll('#messages .message').length === 2").await;
        assert_eq!(page.value("document.querySelectorAll('img, body script').length").await, json!(0));
        assert_ne!(page.value("document.title").await, json!("taken"));
    })
    .await;
}
