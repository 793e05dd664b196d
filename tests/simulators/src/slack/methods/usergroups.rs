//! `usergroups.*` (Slack docs: usergroups.list, usergroups.users.list).

use serde_json::json;

use super::users::need_team;
use crate::slack::call::Call;
use crate::slack::refusal::{Answer, Refusal, set};

/// User groups are a paid feature.
fn need_plan(call: &Call<'_>) -> Result<(), Refusal> {
    if call.world.settings.paid_plan { Ok(()) } else { Err(Refusal::new("plan_upgrade_required")) }
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    need_plan(call)?;
    need_team(call)?;
    let disabled = call.args.flag("include_disabled", false)?;
    let with_users = call.args.flag("include_users", false)?;
    let with_count = call.args.flag("include_count", false)?;
    let groups = call.world.groups.values().filter(|group| group.team == call.team() && (disabled || !group.disabled));
    let groups: Vec<_> = groups
        .map(|group| {
            let mut object = json!({
                "id": group.id, "team_id": group.team, "is_usergroup": true, "name": group.name, "handle": group.handle,
                "description": "", "is_external": false, "date_create": 1_700_000_000, "date_update": 1_700_000_000,
                "date_delete": if group.disabled { 1_700_000_000 } else { 0 }, "auto_type": null,
                "prefs": {"channels": [], "groups": []},
            });
            if with_users {
                set(&mut object, "users", json!(group.users));
            }
            if with_count {
                set(&mut object, "user_count", json!(group.users.len()));
            }
            object
        })
        .collect();
    Ok(Answer::of(json!({"usergroups": groups})))
}

pub(super) fn users(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    need_plan(call)?;
    let id = call.args.required("usergroup")?;
    let disabled = call.args.flag("include_disabled", false)?;
    let group = call.world.groups.get(id.as_ref()).filter(|group| group.team == call.team());
    let group = group.filter(|group| disabled || !group.disabled);
    let group = group.ok_or_else(|| Refusal::new("no_such_subteam"))?;
    Ok(Answer::of(json!({"users": group.users})))
}
