//! `views.*` (Slack docs: views.open, views.publish, views.push, views.update).

use serde_json::{Map, Value, json};

use crate::slack::call::Call;
use crate::slack::refusal::{Answer, Refusal};

fn view(call: &Call<'_>) -> Result<Map<String, Value>, Refusal> {
    match call.args.structured("view") {
        Ok(Some(Value::Object(view))) => Ok(view),
        Ok(None) => Err(Refusal::argument("missing required field: view")),
        Ok(Some(_)) | Err(()) => Err(Refusal::argument("must provide an object [json-pointer:/view]")),
    }
}

fn show(call: &mut Call<'_>, push: bool) -> Result<Answer, Refusal> {
    let trigger = call.args.required("trigger_id")?.into_owned();
    let view = view(call)?;
    let app = call.caller.token.app.clone();
    let id = call.world.views.show(&app, &trigger, view, push, call.now)?;
    Ok(Answer::of(json!({"view": call.world.view_object(&id, call.team())})))
}

pub(super) fn open(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    show(call, false)
}

pub(super) fn push(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    show(call, true)
}

pub(super) fn update(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let view = view(call)?;
    let external = call.args.text("external_id")?.filter(|external| !external.is_empty());
    let id = match external {
        Some(external) => call.world.views.by_external_id(&external).map(str::to_owned).unwrap_or_default(),
        None => call.args.required("view_id")?.into_owned(),
    };
    let hash = call.args.text("hash")?;
    call.world.views.update(&id, view, hash.as_deref(), call.now)?;
    Ok(Answer::of(json!({"view": call.world.view_object(&id, call.team())})))
}

pub(super) fn publish(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let user = call.args.required("user_id")?.into_owned();
    let view = view(call)?;
    if call.world.users.get(&user).is_none_or(|known| known.team != call.team()) {
        return Err(Refusal::argument("invalid `user_id`"));
    }
    if !call.app().is_some_and(|app| app.home_tab) {
        return Err(Refusal::new("not_enabled"));
    }
    let app = call.caller.token.app.clone();
    let hash = call.args.text("hash")?.filter(|hash| !hash.is_empty());
    let id = call.world.views.publish(&app, &user, view, hash.as_deref(), call.now)?;
    Ok(Answer::of(json!({"view": call.world.view_object(&id, call.team())})))
}
