//! Makes the object and what has to exist beside it.

use std::collections::BTreeMap;

use crate::config::recipient::Recipient as Parsed;
use crate::convert::official::{Credentials, Official, Token};
use crate::convert::{Converted, Note, Options, Skeleton};
use crate::crd::{
    AppTokenKey, CaBundle, ConfigMapKey, Identity, IdentityKey, Log, LogFormat, ReasonPolicy, Recipient, Recipients,
    Review, Slack, SlackAccessPlugin, SlackAccessPluginSpec, SlackAppToken, SlackToken, SuggestedReviewers, Teleport,
    TlsFiles, TlsSecret, TokenKey,
};
use crate::slack::recipient_mistake::RecipientMistake;

/// The Secret that an identity file goes into; the name in the guide and the samples.
const IDENTITY: &str = "teleport-slack-identity";
/// The Secret that the three TLS files go into.
const TLS: &str = "teleport-slack-tls";
/// The Secret that the bot token goes into.
const TOKEN: &str = "slack-bot-token";
/// What the official plugin connects to when nothing is set.
const DEFAULT_ADDRESS: &str = "localhost:3025";
const DEFAULT_API_URL: &str = "https://slack.com/api/";

pub(super) fn build(official: Official, options: &Options) -> Converted {
    let Official {
        address,
        credentials,
        token,
        api_url,
        plugin_name,
        user,
        team_id,
        teleport_ca,
        slack_ca,
        recipients,
        review,
        severity,
        workload,
        mut notes,
    } = official;
    let mut skeletons = Vec::new();
    let address = address_of(address, &mut notes);
    let (identity, tls) = identity(credentials, &mut skeletons);
    let app_token = review.enabled.then(|| {
        let (name, key) = of_token(&APP_TOKEN, review.app_token, options, &mut skeletons);
        SlackAppToken { secret_ref: AppTokenKey { name, key } }
    });
    let (name, key) = of_token(&BOT_TOKEN, token, options, &mut skeletons);
    let spec = SlackAccessPluginSpec {
        suspend: options.suspend,
        teleport: Teleport {
            address,
            identity,
            tls,
            join: None,
            user,
            ca_bundle: teleport_ca.map(|path| bundle("teleport-ca", &path, &mut skeletons)),
        },
        slack: Slack {
            token: SlackToken { secret_ref: TokenKey { name, key } },
            app_token,
            api_url: api_url.unwrap_or_else(|| DEFAULT_API_URL.to_owned()),
            ca_bundle: slack_ca.map(|path| bundle("slack-ca", &path, &mut skeletons)),
            team_id,
        },
        role_to_recipients: role_to_recipients(recipients, &mut notes),
        suggested_reviewers: SuggestedReviewers::default(),
        plugin_name: plugin_name.unwrap_or_else(SlackAccessPluginSpec::default_plugin_name),
        review: Review {
            enabled: review.enabled,
            slack_user_id_trait: review.slack_user_id_trait.unwrap_or_default(),
            allow_email_match: review.allow_email_match,
            // The official plugin asks for none.
            reason: ReasonPolicy::Never,
        },
        // The official plugin writes lines for people.
        log: Log { severity, format: LogFormat::Text },
        workload,
    };
    let mut object = SlackAccessPlugin::new(&options.name, spec);
    object.metadata.namespace.clone_from(&options.namespace);
    notes.sort();
    notes.dedup();
    Converted { object, skeletons, notes }
}

/// `host:port`, as the definition demands it.
fn address_of(address: Option<String>, notes: &mut Vec<Note>) -> String {
    let Some(written) = address else {
        notes.push(Note::new(
            "teleport.addr",
            "is not set, so that the official plugin connects to localhost:3025; in a pod that is the pod itself: set spec.teleport.address",
        ));
        return DEFAULT_ADDRESS.to_owned();
    };
    let bare = written.split_once("://").map_or(written.as_str(), |(_, rest)| rest).trim_end_matches('/');
    let mut address = bare.to_owned();
    if bare.matches(':').count() > 1 && !bare.starts_with('[') {
        if let Some((host, port)) = bare.rsplit_once(':') {
            address = format!("[{host}]:{port}");
        }
    } else if !bare.contains(':') {
        address = format!("{bare}:443");
    }
    if address != written {
        notes.push(Note::new("teleport.addr", format!("was written {written}; the object has host:port, {address}")));
    }
    if address.starts_with("localhost:") || address.starts_with("127.") {
        notes.push(Note::new(
            "teleport.addr",
            format!(
                "is {address}, which in a pod is the pod itself: set spec.teleport.address to what the cluster reaches"
            ),
        ));
    }
    address
}

fn identity(credentials: Credentials, skeletons: &mut Vec<Skeleton>) -> (Option<Identity>, Option<TlsFiles>) {
    let of_secret =
        |name: String, key: Option<String>| (Some(Identity { secret_ref: IdentityKey { name, key } }), None);
    match credentials {
        Credentials::Secret { name, key } => of_secret(name, Some(key)),
        Credentials::File(path) => {
            skeletons.push(Skeleton {
                kind: "Secret",
                name: IDENTITY.to_owned(),
                keys: vec![("auth_id".to_owned(), format!("the content of {path}"))],
                command: format!("kubectl create secret generic {IDENTITY} --from-file=auth_id={}", quoted(&path)),
            });
            of_secret(IDENTITY.to_owned(), None)
        }
        Credentials::TlsFiles { certificate, key, cas } => {
            let files = [("auth.crt", certificate), ("auth.key", key), ("auth.cas", cas)];
            let arguments: Vec<_> =
                files.iter().map(|(key, path)| format!("--from-file={key}={}", quoted(path))).collect();
            skeletons.push(Skeleton {
                kind: "Secret",
                name: TLS.to_owned(),
                keys: files.iter().map(|(key, path)| ((*key).to_owned(), format!("the content of {path}"))).collect(),
                command: format!("kubectl create secret generic {TLS} {}", arguments.join(" ")),
            });
            let secret_ref = TlsSecret {
                name: TLS.to_owned(),
                certificate_key: "auth.crt".to_owned(),
                private_key_key: "auth.key".to_owned(),
                ca_key: "auth.cas".to_owned(),
            };
            (None, Some(TlsFiles { secret_ref }))
        }
        Credentials::Missing => {
            skeletons.push(Skeleton {
                kind: "Secret",
                name: IDENTITY.to_owned(),
                keys: vec![(
                    "auth_id".to_owned(),
                    "the identity file: the configuration names none; tctl auth sign --user=access-plugin --out=auth.pem".to_owned(),
                )],
                command: format!("kubectl create secret generic {IDENTITY} --from-file=auth_id=auth.pem"),
            });
            of_secret(IDENTITY.to_owned(), None)
        }
    }
}

/// A kind of token, and the Secret that one goes into.
struct Kind {
    secret: &'static str,
    key: &'static str,
    setting: &'static str,
    shape: &'static str,
}

const BOT_TOKEN: Kind = Kind { secret: TOKEN, key: "token", setting: "slack.token", shape: "xoxb-…" };
const APP_TOKEN: Kind =
    Kind { secret: "slack-app-token", key: "appToken", setting: "review.app_token", shape: "xapp-…" };

/// Name and key of the Secret that holds a token; a skeleton, where there is none yet.
fn of_token(kind: &Kind, token: Token, options: &Options, skeletons: &mut Vec<Skeleton>) -> (String, String) {
    let Kind { secret: made, key: made_key, setting, shape } = kind;
    let literal = format!("kubectl create secret generic {made} --from-literal={made_key}={shape}");
    let (content, command) = match token {
        Token::Secret { name, key } => return (name, key),
        Token::File(path) => (
            format!("the content of {path}"),
            format!("kubectl create secret generic {made} --from-file={made_key}={}", quoted(&path)),
        ),
        Token::Inline => (format!("{setting} of {}", options.file), literal),
        Token::OfRelease { secret, key } => (
            format!("{setting} of the values: key {key} of Secret {secret}, which goes with the release"),
            format!(
                "kubectl get secret {secret} -o go-template='{{{{index .data {key:?} | base64decode}}}}' | kubectl create secret generic {made} --from-file={made_key}=/dev/stdin"
            ),
        ),
        Token::Missing => (format!("the token ({shape}): the configuration has none"), literal),
    };
    let keys = vec![((*made_key).to_owned(), content)];
    skeletons.push(Skeleton { kind: "Secret", name: (*made).to_owned(), keys, command });
    ((*made).to_owned(), (*made_key).to_owned())
}

fn bundle(name: &str, path: &str, skeletons: &mut Vec<Skeleton>) -> CaBundle {
    skeletons.push(Skeleton {
        kind: "ConfigMap",
        name: name.to_owned(),
        keys: vec![("ca.crt".to_owned(), format!("the content of {path}"))],
        command: format!("kubectl create configmap {name} --from-file=ca.crt={}", quoted(path)),
    });
    CaBundle {
        config_map_ref: Some(ConfigMapKey { name: name.to_owned(), key: "ca.crt".to_owned() }),
        secret_ref: None,
    }
}

/// The map, with each recipient in a form that the definition admits. What cannot be put so is left out and noted.
fn role_to_recipients(
    recipients: BTreeMap<String, Vec<String>>,
    notes: &mut Vec<Note>,
) -> BTreeMap<String, Recipients> {
    let mut map = BTreeMap::new();
    for (role, written) in recipients {
        let setting = format!("role_to_recipients.{role:?}");
        let mut list: Vec<Recipient> = Vec::new();
        for text in written {
            for text in admitted(&text, &setting, notes) {
                if !list.iter().any(|known| Parsed::parse(&known.0) == Parsed::parse(&text)) {
                    list.push(Recipient(text));
                }
            }
        }
        if list.is_empty() {
            notes.push(Note::new(setting, "is left with no recipient: its requests go to \"*\""));
        } else {
            map.insert(role.trim().to_owned(), Recipients(list));
        }
    }
    if map.is_empty() {
        notes.push(Note::new(
            "role_to_recipients",
            "names no recipient: add roleToRecipients.\"*\" before you apply this",
        ));
    }
    map
}

fn admitted(text: &str, setting: &str, notes: &mut Vec<Note>) -> Vec<String> {
    let mistake = RecipientMistake::find(text);
    let texts = match &mistake {
        None => vec![text.to_owned()],
        Some(RecipientMistake::List(parts)) => parts.clone(),
        Some(
            RecipientMistake::Url(Some(one))
            | RecipientMistake::Decorated(one)
            | RecipientMistake::Markup(one)
            | RecipientMistake::Name(one),
        ) => vec![one.clone()],
        Some(_) => Vec::new(),
    };
    let texts: Vec<_> = texts.into_iter().filter(|text| is_admitted(text)).collect();
    let became = if texts.is_empty() { "it is left out".to_owned() } else { format!("it became {}", texts.join(", ")) };
    if let Some(mistake) = mistake {
        let remedy = if texts.is_empty() { format!("; {}", mistake.remedy()) } else { String::new() };
        notes.push(Note::new(setting, format!("{text:?} {}; {became}{remedy}", mistake.problem())));
    } else if texts.is_empty() {
        let reason = "is no channel's name (lower-case letters, digits, - and _), no id and no address";
        notes.push(Note::new(setting, format!("{text:?} {reason}; {became}")));
    }
    texts
}

/// What the rule of `crd::recipient` admits.
fn is_admitted(text: &str) -> bool {
    const LONGEST: usize = 128;
    let fits = text.chars().count() <= LONGEST;
    fits && match Parsed::parse(text) {
        Some(Parsed::ChannelName(name)) => {
            let is_fit = |c: char| {
                !c.is_whitespace() && !c.is_uppercase() && (!c.is_ascii_punctuation() || matches!(c, '-' | '_'))
            };
            name.chars().all(is_fit)
        }
        parsed => parsed.is_some(),
    }
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:@%+,".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
