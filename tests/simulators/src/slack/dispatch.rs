//! One call from its bytes to its answer, without any network: method, authentication, limits, scope, then the method itself.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Map, Value, json};

use super::args::{Args, Encoding};
use super::call::{Call, Caller, missing_scope};
use super::journal;
use super::limits::{Bucket, Verdict};
use super::methods::{self, Method, Takes};
use super::model::{Token, TokenKind, TokenState};
use super::refusal::{Answer, Refusal};
use super::world::World;

/// A call as it arrived.
pub(super) struct Incoming {
    pub(super) name: String,
    pub(super) method: Option<&'static Method>,
    post: bool,
    args: Result<Args, Refusal>,
    bearer: Option<String>,
}

impl Incoming {
    pub(super) fn read(name: &str, post: bool, query: &str, headers: &HeaderMap, body: &[u8]) -> Self {
        let method = methods::find(name);
        let json = method.is_none_or(|method| method.json);
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(|token| token.trim().to_owned());
        Self { name: name.to_owned(), method, post, args: Args::read(query, headers, body, json), bearer }
    }

    /// The token: the header's, else a form field's; one in the query is not looked at.
    fn token(&self) -> Option<&str> {
        let form = self.args.as_ref().ok().and_then(|args| args.form_token.as_deref());
        self.bearer.as_deref().or(form).filter(|token| !token.is_empty())
    }

    /// The arguments as text, for faults that apply to some calls only.
    pub(super) fn args_value(&self) -> Value {
        self.args.as_ref().map_or(Value::Null, |args| Value::Object(args.values().clone()))
    }

    /// The journal's entry at arrival.
    pub(super) fn entry(&self, world: &World, at: u64) -> journal::Call {
        let token = match self.token() {
            None => "none",
            Some(token) => match world.tokens.get(token).map(|token| token.kind) {
                Some(TokenKind::Bot) => "bot",
                Some(TokenKind::User) => "user",
                Some(TokenKind::App) => "app",
                None => "unknown",
            },
        };
        journal::Call {
            seq: 0,
            method: self.name.clone(),
            at,
            token,
            args: self.args_value(),
            answer: Value::Null,
            status: 0,
            duration: 0,
            outcome: journal::Outcome::Open,
            fault: None,
            violations: Vec::new(),
        }
    }

    /// The bucket that a 429 for this call closes.
    pub(super) fn bucket(&self, world: &World) -> Option<Bucket> {
        let token = world.tokens.get(self.token()?)?;
        let method = self.method?.name;
        Some(Bucket::Method { team: token.team.clone(), app: token.app.clone(), method })
    }

    /// Flaws of the request itself, whatever becomes of it.
    fn flaws(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        if self.method.is_none() {
            let retired = methods::refuse_retired(&self.name).is_some();
            flaws.push(if retired { "retired method" } else { "unknown method" }.to_owned());
        }
        let Ok(args) = &self.args else { return flaws };
        if args.token_in_query {
            flaws.push("token in the URL".to_owned());
        }
        if let Some(warning) = args.warning {
            flaws.push(warning.to_owned());
        }
        if args.spread {
            flaws.push("arguments in both the query and the body".to_owned());
        }
        if args.encoding == Encoding::Json && self.method.is_some_and(|method| !method.json) {
            flaws.push("JSON body for a method that reads forms only: the arguments are not seen".to_owned());
        }
        flaws
    }
}

/// What is sent back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) retry_after: Option<u64>,
    /// `x-oauth-scopes`.
    pub(super) granted: Option<Arc<Token>>,
    /// `x-accepted-oauth-scopes`.
    pub(super) accepted: &'static [&'static str],
    pub(super) flaws: Vec<String>,
}

/// Errors that a careful client cannot avoid: they tell about the workspace, not about the call.
const BLAMELESS: &[&str] = &[
    "account_inactive",
    "already_reacted",
    "cannot_dm_bot",
    "cannot_reply_to_message",
    "cant_update_message",
    "channel_not_found",
    "edit_window_closed",
    "hash_conflict",
    "invalid_auth",
    "invalid_cursor",
    "is_archived",
    "is_inactive",
    "message_limit_exceeded",
    "message_not_found",
    "messages_tab_disabled",
    "method_not_supported_for_channel_type",
    "missing_scope",
    "no_reaction",
    "no_such_subteam",
    "not_found",
    "not_in_channel",
    "plan_upgrade_required",
    "ratelimited",
    "thread_not_found",
    "token_expired",
    "token_revoked",
    "too_many_emoji",
    "too_many_reactions",
    "user_disabled",
    "user_not_found",
    "user_not_in_channel",
    "user_not_visible",
    "users_not_found",
];

/// Executes one call. `stale`: reads answer from a state that is this many microseconds old.
pub(super) fn execute(world: &mut World, incoming: &Incoming, base: &str, stale: u64) -> Reply {
    let mut flaws = incoming.flaws();
    let mut granted = None;
    let warning = incoming.args.as_ref().ok().and_then(|args| args.warning);
    let result = run(world, incoming, base, stale, &mut flaws, &mut granted);
    let accepted = incoming.method.map_or(&[][..], |method| method.scopes);
    match result {
        Ok(answer) => {
            Reply { status: 200, body: answer.into_body(warning), retry_after: None, granted, accepted, flaws }
        }
        Err(refusal) => {
            let refusal = refusal.warning(warning);
            let avoidable = !BLAMELESS.contains(&refusal.error.as_ref())
                && !refusal.error.starts_with("restricted_action")
                && incoming.method.is_some();
            if avoidable {
                let detail = refusal.messages.join("; ");
                flaws.push(format!("refused with {} {detail}", refusal.error).trim_end().to_owned());
            }
            let status = if refusal.retry_after.is_some() { 429 } else { 200 };
            Reply { status, retry_after: refusal.retry_after, body: refusal.body(), granted, accepted, flaws }
        }
    }
}

fn run(
    world: &mut World,
    incoming: &Incoming,
    base: &str,
    stale: u64,
    flaws: &mut Vec<String>,
    granted: &mut Option<Arc<Token>>,
) -> Result<Answer, Refusal> {
    let Some(method) = incoming.method else {
        let unknown = || Refusal::new("unknown_method").with("req_method", incoming.name.clone());
        return Err(methods::refuse_retired(&incoming.name).unwrap_or_else(unknown));
    };
    let args = incoming.args.as_ref().map_err(Clone::clone)?;
    if method.takes == Takes::NoToken {
        return methods::echo(args);
    }
    let caller = authenticate(world, incoming, method)?;
    *granted = Some(Arc::clone(&caller.token));
    if method.takes == Takes::AppLevel && !incoming.post {
        return Err(Refusal::new("insecure_request"));
    }
    let now = world.clock.now();
    limit(world, &caller, method, now, flaws)?;
    check_scope(&caller, method)?;
    let mut call = Call { world, args, caller, now, read_at: now.saturating_sub(stale), base, flaws: Vec::new() };
    // One scope is decided here; of several, the method itself uses the one that fits.
    if let [scope] = method.scopes {
        call.use_scope(scope);
    }
    let result = (method.run)(&mut call);
    flaws.append(&mut call.flaws);
    result
}

/// Slack docs: authentication errors of the Web API.
fn authenticate(world: &World, incoming: &Incoming, method: &Method) -> Result<Caller, Refusal> {
    let Some(value) = incoming.token() else {
        return Err(Refusal::new(if method.takes == Takes::AppLevel { "missing_args" } else { "not_authed" }));
    };
    let token = world.tokens.get(value).ok_or_else(|| Refusal::new("invalid_auth"))?;
    match token.state {
        TokenState::Active => {}
        TokenState::Revoked => return Err(Refusal::new("token_revoked")),
        TokenState::Expired => return Err(Refusal::new("token_expired")),
        TokenState::Inactive => return Err(Refusal::new("account_inactive")),
    }
    let fits = match (method.takes, token.kind) {
        (Takes::AppLevel, kind) => kind == TokenKind::App,
        (_, TokenKind::App) => false,
        (Takes::Bot, kind) => kind == TokenKind::Bot,
        (Takes::BotOrUser | Takes::NoToken, _) => true,
    };
    if !fits {
        return Err(Refusal::new("not_allowed_token_type"));
    }
    // An app-level token comes in the header only.
    if method.takes == Takes::AppLevel && incoming.bearer.is_none() {
        return Err(Refusal::new("invalid_auth"));
    }
    let app = world.apps.get(&token.app);
    let (user, bot_id) = match token.kind {
        TokenKind::User => (token.user.clone(), None),
        TokenKind::Bot | TokenKind::App => {
            (app.map(|app| app.bot_user.clone()).unwrap_or_default(), app.map(|app| app.bot_id.clone()))
        }
    };
    if world.users.get(&user).is_some_and(|user| user.deleted) {
        return Err(Refusal::new("account_inactive"));
    }
    Ok(Caller { token: Arc::clone(token), user, bot_id })
}

/// Slack docs: rate limits, per method, workspace and app.
fn limit(
    world: &mut World,
    caller: &Caller,
    method: &Method,
    now: u64,
    flaws: &mut Vec<String>,
) -> Result<(), Refusal> {
    let bucket = Bucket::Method { team: caller.token.team.clone(), app: caller.token.app.clone(), method: method.name };
    let limits = &world.settings.limits;
    let verdict = if limits.enabled {
        world.limiter.call(limits, bucket, method.tier, now)
    } else {
        world.limiter.closed(limits, &bucket, now)
    };
    match verdict {
        Verdict::Pass => Ok(()),
        Verdict::Limited { retry_after, ignored } => {
            if ignored {
                flaws.push(HASTY.to_owned());
            }
            Err(Refusal::limited(retry_after))
        }
    }
}

/// Whether a call came inside the `Retry-After` window of its method although it was told to wait; for calls that a fault ends before
/// they are executed.
pub(super) fn is_hasty(world: &World, incoming: &Incoming) -> bool {
    let Some(bucket) = incoming.bucket(world) else { return false };
    matches!(
        world.limiter.closed(&world.settings.limits, &bucket, world.clock.now()),
        Verdict::Limited { ignored: true, .. }
    )
}

/// What strict mode holds against such a call.
pub(super) const HASTY: &str = "called although a 429 had asked to wait (Retry-After)";

fn check_scope(caller: &Caller, method: &Method) -> Result<(), Refusal> {
    let granted = method.scopes.is_empty() || method.scopes.iter().any(|scope| caller.token.scopes.contains(*scope));
    if granted { Ok(()) } else { Err(missing_scope(method.scopes, &caller.token)) }
}

/// The body of an error that was asked for by a fault.
pub(super) fn error_body(code: &str) -> Value {
    let mut map = Map::new();
    map.insert("ok".to_owned(), json!(false));
    map.insert("error".to_owned(), json!(code));
    Value::Object(map)
}
