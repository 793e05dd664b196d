//! Modals and Home tabs: what is open, and what opens it (Slack docs: modals, Home tabs).

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::blocks::{self, Problem, Refused, Surface};
use super::refusal::Refusal;
use super::world::World;

/// A trigger works for so many microseconds, once.
const TRIGGER_LIFE: u64 = 3_000_000;
/// Views on top of each other.
const STACK: usize = 3;
/// Bytes of a view.
const VIEW_LIMIT: usize = 250_000;

/// Properties of a view.
const KNOWN: [&str; 11] = [
    "type",
    "title",
    "submit",
    "close",
    "private_metadata",
    "callback_id",
    "external_id",
    "clear_on_close",
    "notify_on_close",
    "submit_disabled",
    "blocks",
];

/// A modal that somebody has in front of them, or an app's Home tab as they see it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) user: String,
    pub(super) app: String,
    pub(super) root: String,
    /// The view beneath.
    previous: Option<String>,
    pub(super) hash: String,
    pub(super) content: Map<String, Value>,
    /// What the app said is wrong with the last submission, by block.
    pub(super) errors: Map<String, Value>,
}

impl View {
    pub(super) fn blocks(&self) -> &[Value] {
        self.content.get("blocks").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

struct Trigger {
    user: String,
    created: u64,
    used: bool,
    /// The view in which the click happened.
    view: Option<String>,
}

#[derive(Default)]
pub(super) struct Views {
    open: BTreeMap<String, View>,
    /// Home tabs, at most one for each person and app.
    homes: BTreeMap<String, View>,
    triggers: HashMap<String, Trigger>,
    last: u64,
}

impl Views {
    /// Notes an interaction, which permits to open a modal for a short time.
    pub(super) fn new_trigger(&mut self, user: &str, view: Option<&str>, now: u64) -> String {
        self.last += 1;
        let id = format!("{}.{}.{:032x}", now / 1_000, self.last, rand::random::<u128>());
        let view = view.map(str::to_owned);
        self.triggers.insert(id.clone(), Trigger { user: user.to_owned(), created: now, used: false, view });
        id
    }

    /// Uses a trigger up and returns whose click it was and in which view.
    fn exchange(&mut self, id: &str, now: u64) -> Result<(String, Option<String>), Refusal> {
        let trigger = self.triggers.get_mut(id).ok_or_else(|| Refusal::new("invalid_trigger_id"))?;
        if trigger.used {
            return Err(Refusal::new("exchanged_trigger_id"));
        }
        if now.saturating_sub(trigger.created) > TRIGGER_LIFE {
            return Err(Refusal::new("expired_trigger_id"));
        }
        trigger.used = true;
        Ok((trigger.user.clone(), trigger.view.clone()))
    }

    /// Opens a modal, or with `push` puts one on top of the modal in which the click happened.
    pub(super) fn show(
        &mut self,
        app: &str,
        trigger: &str,
        view: Map<String, Value>,
        push: bool,
        now: u64,
    ) -> Result<String, Refusal> {
        check(&view, Surface::Modal)?;
        self.check_external_id(&view, None)?;
        let (user, under) = self.exchange(trigger, now)?;
        let under = under.filter(|under| push && self.open.contains_key(under));
        if push && under.is_none() {
            return Err(Refusal::argument("there is no view to push onto"));
        }
        self.put(&user, app, under, view, now)
    }

    /// Shows a view, on top of the view `previous` or as the first of its own stack.
    fn put(
        &mut self,
        user: &str,
        app: &str,
        previous: Option<String>,
        content: Map<String, Value>,
        now: u64,
    ) -> Result<String, Refusal> {
        let content = self.stored(content);
        let id = self.new_id();
        let under = previous.as_ref().and_then(|previous| self.open.get(previous));
        let root = under.map_or(&id, |under| &under.root).clone();
        if self.open.values().filter(|view| view.root == root).count() >= STACK {
            return Err(Refusal::new("push_limit_reached"));
        }
        let hash = self.new_hash(now);
        let (user, app) = (user.to_owned(), app.to_owned());
        self.open.insert(id.clone(), View { user, app, root, previous, hash, content, errors: Map::new() });
        Ok(id)
    }

    /// Makes the view what a person sees in the app's Home tab (Slack docs: views.publish).
    pub(super) fn publish(
        &mut self,
        app: &str,
        user: &str,
        view: Map<String, Value>,
        hash: Option<&str>,
        now: u64,
    ) -> Result<String, Refusal> {
        check(&view, Surface::Home)?;
        let shown = self.homes.iter().find(|(_, home)| home.app == app && home.user == user);
        let (id, shown_hash) = shown.map(|(id, home)| (id.clone(), home.hash.clone())).unzip();
        self.check_external_id(&view, id.as_deref())?;
        if hash.is_some() && hash != shown_hash.as_deref() {
            return Err(Refusal::new("hash_conflict"));
        }
        let (content, hash) = (self.stored(view), self.new_hash(now));
        let id = id.unwrap_or_else(|| self.new_id());
        let (user, app, root) = (user.to_owned(), app.to_owned(), id.clone());
        self.homes.insert(id.clone(), View { user, app, root, previous: None, hash, content, errors: Map::new() });
        Ok(id)
    }

    /// Replaces what a modal shows.
    pub(super) fn update(
        &mut self,
        id: &str,
        view: Map<String, Value>,
        hash: Option<&str>,
        now: u64,
    ) -> Result<(), Refusal> {
        check(&view, Surface::Modal)?;
        self.check_external_id(&view, Some(id))?;
        let new_hash = self.new_hash(now);
        let view = self.stored(view);
        let open = self.open.get_mut(id).ok_or_else(|| Refusal::new("not_found"))?;
        if hash.is_some_and(|hash| hash != open.hash) {
            return Err(Refusal::new("hash_conflict"));
        }
        open.content = view;
        open.hash = new_hash;
        open.errors.clear();
        Ok(())
    }

    /// What the acknowledgement of a submission does (Slack docs: modals, closing and updating views): unless it says otherwise in
    /// `response_action`, the modal closes.
    pub(super) fn answer(&mut self, id: &str, answer: &Value, now: u64) -> Result<(), Refusal> {
        let Some(root) = self.open.get(id).map(|view| view.root.clone()) else { return Ok(()) };
        let view = || match answer.get("view") {
            Some(Value::Object(view)) => Ok(view.clone()),
            _ => Err(Refusal::argument("missing required field: view")),
        };
        match answer.get("response_action").and_then(Value::as_str) {
            None => _ = self.open.remove(id),
            Some("clear") => self.open.retain(|_, view| view.root != root),
            Some("errors") => {
                let Some(open) = self.open.get_mut(id) else { return Ok(()) };
                let blocks = open.content.get("blocks").and_then(Value::as_array);
                let known = |block: &str| blocks.into_iter().flatten().any(|known| known["block_id"] == block);
                let errors = answer.get("errors").and_then(Value::as_object);
                let errors = errors.ok_or_else(|| Refusal::argument("missing required field: errors"))?;
                if let Some((block, _)) = errors.iter().find(|(block, _)| !known(block)) {
                    return Err(Refusal::argument(&format!("there is no block with the id {block}")));
                }
                open.errors.clone_from(errors);
            }
            Some("update") => self.update(id, view()?, None, now)?,
            Some("push") => {
                let (view, Some(under)) = (view()?, self.open.get(id).cloned()) else { return Ok(()) };
                check(&view, Surface::Modal)?;
                self.check_external_id(&view, None)?;
                self.put(&under.user, &under.app, Some(id.to_owned()), view, now)?;
            }
            Some(other) => return Err(Refusal::argument(&format!("unknown response_action: {other}"))),
        }
        Ok(())
    }

    fn check_external_id(&self, view: &Map<String, Value>, except: Option<&str>) -> Result<(), Refusal> {
        let Some(external) = view.get("external_id").filter(|id| !id.as_str().unwrap_or_default().is_empty()) else {
            return Ok(());
        };
        let taken = self
            .open
            .iter()
            .chain(&self.homes)
            .any(|(id, view)| Some(id.as_str()) != except && view.content.get("external_id") == Some(external));
        if taken { Err(Refusal::new("duplicate_external_id")) } else { Ok(()) }
    }

    pub(super) fn by_external_id(&self, external: &str) -> Option<&str> {
        let named = |view: &View| view.content.get("external_id").and_then(Value::as_str) == Some(external);
        self.open.iter().find(|(_, view)| named(view)).map(|(id, _)| id.as_str())
    }

    /// A modal or a Home tab.
    pub(super) fn get(&self, id: &str) -> Option<&View> {
        self.open.get(id).or_else(|| self.homes.get(id))
    }

    pub(super) fn modal(&self, id: &str) -> Option<&View> {
        self.open.get(id)
    }

    /// A submission is on its way: what was said of the last one does not hold any more.
    pub(super) fn forget_errors(&mut self, id: &str) {
        if let Some(view) = self.open.get_mut(id) {
            view.errors.clear();
        }
    }

    pub(super) fn close(&mut self, id: &str) -> Option<View> {
        self.open.remove(id)
    }

    /// The open modals.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &View)> {
        self.open.iter()
    }

    /// The Home tabs.
    pub(super) fn homes(&self) -> impl Iterator<Item = (&String, &View)> {
        self.homes.iter()
    }

    /// A view with what Slack fills in: the ids of blocks and elements.
    fn stored(&mut self, mut view: Map<String, Value>) -> Map<String, Value> {
        if let Some(Value::Array(blocks)) = view.get_mut("blocks") {
            let new_id = || {
                self.last += 1;
                format!("v{:04}", self.last)
            };
            *blocks = blocks::as_stored(std::mem::take(blocks), new_id);
        }
        view
    }

    fn new_id(&mut self) -> String {
        self.last += 1;
        format!("V0SIM{:06}", self.last)
    }

    fn new_hash(&mut self, now: u64) -> String {
        self.last += 1;
        format!("{}.{:08x}", now / 1_000_000, self.last)
    }
}

impl World {
    /// The API's view object.
    pub(super) fn view_object(&self, id: &str, team: &str) -> Value {
        let Some(view) = self.views.get(id) else { return Value::Null };
        let mut object = json!({
            "id": id, "team_id": team, "app_id": view.app, "root_view_id": view.root, "hash": view.hash,
            "previous_view_id": view.previous, "private_metadata": "", "callback_id": "", "external_id": "",
            "state": {"values": {}}, "bot_id": self.apps.get(&view.app).map(|app| &app.bot_id), "clear_on_close": false,
            "notify_on_close": false, "close": null, "submit": null,
        });
        if let Some(map) = object.as_object_mut() {
            map.extend(view.content.clone());
        }
        object
    }
}

/// Slack docs: view object; a Home tab has no title.
fn check(view: &Map<String, Value>, surface: Surface) -> Result<(), Refusal> {
    const AT: &str = "/view";
    let home = surface == Surface::Home;
    let mut problems: Vec<Problem> = Vec::new();
    match view.get("type") {
        Some(Value::String(kind)) if kind == if home { "home" } else { "modal" } => {}
        Some(Value::String(kind)) => problems.push(problem(&format!("unsupported type: {kind}"), "/view/type")),
        Some(_) => problems.push(problem("must provide a string", "/view/type")),
        None => problems.push(problem("missing required field: type", AT)),
    }
    if !home && !view.contains_key("title") {
        problems.push(problem("missing required field: title", AT));
    }
    for name in ["title", "submit", "close"] {
        if let Some(value) = view.get(name) {
            blocks::check_plain(value, 24, &format!("/view/{name}"), &mut problems);
        }
    }
    for (name, most) in [("private_metadata", 3_000), ("callback_id", 255), ("external_id", 255)] {
        match view.get(name) {
            None => {}
            Some(Value::String(text)) if text.chars().count() <= most => {}
            Some(Value::String(_)) => {
                let what = format!("must be less than {} characters", most + 1);
                problems.push(problem(&what, &format!("/view/{name}")));
            }
            Some(_) => problems.push(problem("must provide a string", &format!("/view/{name}"))),
        }
    }
    for name in ["clear_on_close", "notify_on_close", "submit_disabled"] {
        if view.get(name).is_some_and(|value| !value.is_boolean()) {
            problems.push(problem("must be a boolean", &format!("/view/{name}")));
        }
    }
    for name in view.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
        problems.push(problem(&format!("invalid additional property: {name}"), AT));
    }
    match view.get("blocks") {
        Some(Value::Array(list)) => {
            if let Err(Refused::Invalid(found)) = blocks::check_under(list, surface, "/view/blocks") {
                problems.extend(found);
            }
        }
        Some(_) => problems.push(problem("must provide an array", "/view/blocks")),
        None => problems.push(problem("missing required field: blocks", AT)),
    }
    if Value::Object(view.clone()).to_string().len() > VIEW_LIMIT {
        return Err(Refusal::new("view_too_large"));
    }
    if problems.is_empty() {
        // Looked at only when the schema is content.
        problems = if home { Vec::new() } else { inputs_without_submit(view) };
    } else {
        problems.insert(0, problem("failed to match all allowed schemas", AT));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let messages = problems.iter().map(|problem| format!("[ERROR] {problem}")).collect();
    Err(Refusal { messages, ..Refusal::new("invalid_arguments") })
}

/// What is typed has to be sent off somehow.
fn inputs_without_submit(view: &Map<String, Value>) -> Vec<Problem> {
    let blocks = view.get("blocks").and_then(Value::as_array).into_iter().flatten().enumerate();
    let inputs = blocks.filter(|(_, block)| block["type"] == "input" && !view.contains_key("submit"));
    let what = "must define `submit` to use an `input` block in modals";
    inputs.map(|(index, _)| problem(what, &format!("/view/blocks/{index}/input"))).collect()
}

fn problem(what: &str, pointer: &str) -> Problem {
    Problem { what: what.to_owned(), pointer: pointer.to_owned() }
}
