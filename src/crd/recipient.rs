//! Who is told: the values of `roleToRecipients`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The most recipients that one role may have; bounds the cost of the admission rules.
const MOST_RECIPIENTS: u32 = 50;

/// Longer than any channel name (80 characters, Slack's docs: naming a channel) and than e-mail addresses in use.
const LONGEST_RECIPIENT: u32 = 128;

/// A channel (`#name`, `name`, or its id), a user's id, or a user's e-mail address; as it was written.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Recipient(pub String);

impl JsonSchema for Recipient {
    fn schema_name() -> Cow<'static, str> {
        "Recipient".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A channel's name has no space, capital or punctuation beyond `-` and `_` (Slack's docs: naming a channel); other scripts
        // than Latin are allowed. Ids are a letter for their kind and at least eight capitals or digits.
        // An address has dots between its parts only, and none of RFC 5322's specials: what the worker takes for one. (Written as what
        // it must not have, since the API server's estimate of a rule's cost grows with the length of its patterns.)
        let rule = r#"self.contains('@') ? self.matches('^[^@]+@[^@]+$') && !self.matches('[\\s"(),:;<>\\[-\\]]|(^|[.@])[.]|[.](@|$)') : self.matches('^#?([^\\s\\p{Lu}!-,./:-@\\[-^`{-~]+|[CDGUW][A-Z0-9]{8,})$')"#;
        json_schema!({
            "type": "string",
            "description": "A channel name (`access-requests`, with or without `#`), a channel id (`C024BE91L`), a user id (`U024BE7LH`) or the e-mail address that a person has in Slack.",
            "minLength": 1,
            "maxLength": LONGEST_RECIPIENT,
            "x-kubernetes-validations": [{
                "rule": rule,
                "message": "neither a channel name (lower case, no spaces: `access-requests`), nor a channel id (`C024BE91L`), nor an e-mail address (`alice@example.com`); several are a list, and user groups (S…), @here, handles and addresses of a browser are no recipients",
            }],
        })
    }
}

/// The recipients of one role.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Recipients(pub Vec<Recipient>);

impl JsonSchema for Recipients {
    fn schema_name() -> Cow<'static, str> {
        "Recipients".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "description": "The recipients that are told about requests for this role.",
            "items": generator.subschema_for::<Recipient>(),
            "maxItems": MOST_RECIPIENTS,
            "x-kubernetes-list-type": "atomic",
            "x-kubernetes-validations": [{
                "rule": "self.size() > 0",
                "message": "a role without recipients: name at least one, or leave the role out so that `*` serves it",
            }],
        })
    }
}
