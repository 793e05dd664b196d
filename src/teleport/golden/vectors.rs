//! The bytes that Teleport's Go code writes, read and written by ours.

use std::any::type_name;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, Kind, MessageDescriptor, ReflectMessage, SerializeOptions};
use serde::Deserialize;
use serde_json::Value;

use crate::teleport::golden::{LINES, NEWER, OURS, files, folder};
use crate::teleport::pb::teleport::accesslist::v1 as accesslist;
use crate::teleport::pb::teleport::accessmonitoringrules::v1 as rules;
use crate::teleport::pb::teleport::userloginstate::v1 as login;
use crate::teleport::pb::teleport::users::v1 as users;
use crate::teleport::pb::{proto, types, wrappers};

/// One message, as Teleport's Go code marshalled it.
#[derive(Deserialize)]
struct Vector {
    /// What it stands for.
    name: String,
    /// Full name of the message.
    message: String,
    /// The bytes, in hexadecimal digits.
    hex: String,
    /// The bytes without the empty keys and values of map entries, which Go writes and prost does not; there when they
    /// differ from `hex` and Teleport's decoder takes both for the same.
    lean: Option<String>,
    /// What Teleport's descriptors read in the bytes, in the JSON of protobuf with the fields' own names.
    value: Value,
    /// Where it was read.
    #[serde(skip)]
    line: &'static str,
}

impl Vector {
    /// What Teleport's code writes.
    fn wire(&self) -> Vec<u8> {
        bytes(&self.hex)
    }

    /// What ours has to write.
    fn ours(&self) -> Vec<u8> {
        bytes(self.lean.as_ref().unwrap_or(&self.hex))
    }

    fn descriptor(&self) -> MessageDescriptor {
        OURS.get_message_by_name(&self.message).unwrap()
    }

    /// The part of its values that our `.proto` files declare.
    fn declared(&self) -> Value {
        declared(&self.descriptor(), &self.value)
    }

    /// Decodes the bytes into the type that the product uses, and encodes that.
    fn through_our_type(&self) -> Vec<u8> {
        through_our_type(&self.message, &self.wire())
    }
}

impl std::fmt::Display for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.line, self.name, self.message)
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

static VECTORS: LazyLock<Vec<Vector>> = LazyLock::new(|| {
    let of_line = |line| files(&folder(line), "json").into_iter().flat_map(move |path| read(line, &path));
    LINES.into_iter().flat_map(of_line).collect()
});

fn read(line: &'static str, path: &std::path::Path) -> Vec<Vector> {
    let mut vectors: Vec<Vector> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for vector in &mut vectors {
        vector.line = line;
    }
    vectors
}

fn vector(line: &str, name: &str) -> &'static Vector {
    VECTORS.iter().find(|vector| vector.line == line && vector.name == name).unwrap()
}

type Codec = fn(&[u8]) -> Vec<u8>;

/// The product's type for each message that some vector holds.
static CODECS: LazyLock<HashMap<String, Codec>> = LazyLock::new(|| {
    HashMap::from([
        codec::<accesslist::AccessList>(),
        codec::<accesslist::GetAccessListOwnersRequest>(),
        codec::<accesslist::GetAccessListOwnersResponse>(),
        codec::<accesslist::GetAccessListRequest>(),
        codec::<accesslist::GetAccessListsRequest>(),
        codec::<accesslist::GetAccessListsResponse>(),
        codec::<accesslist::ListAccessListsRequest>(),
        codec::<accesslist::ListAccessListsResponse>(),
        codec::<login::GetUserLoginStateRequest>(),
        codec::<login::UserLoginState>(),
        codec::<proto::Certs>(),
        codec::<proto::Event>(),
        codec::<proto::GetClusterCaCertResponse>(),
        codec::<proto::GetLocksRequest>(),
        codec::<proto::GetLocksResponse>(),
        codec::<proto::GetRoleRequest>(),
        codec::<proto::GetRolesResponse>(),
        codec::<proto::GetUserRequest>(),
        codec::<proto::GetUsersRequest>(),
        codec::<proto::ListAccessRequestsRequest>(),
        codec::<proto::ListAccessRequestsResponse>(),
        codec::<proto::ListResourcesRequest>(),
        codec::<proto::ListResourcesResponse>(),
        codec::<proto::ListRolesRequest>(),
        codec::<proto::ListRolesResponse>(),
        codec::<proto::PingRequest>(),
        codec::<proto::PingResponse>(),
        codec::<proto::PluginDataSeq>(),
        codec::<proto::RequestId>(),
        codec::<proto::RequestStateSetter>(),
        codec::<proto::UserCertsRequest>(),
        codec::<proto::Watch>(),
        codec::<rules::GetAccessMonitoringRuleRequest>(),
        codec::<rules::ListAccessMonitoringRulesRequest>(),
        codec::<rules::ListAccessMonitoringRulesResponse>(),
        codec::<rules::ListAccessMonitoringRulesWithFilterRequest>(),
        codec::<rules::ListAccessMonitoringRulesWithFilterResponse>(),
        codec::<types::AccessCapabilities>(),
        codec::<types::AccessCapabilitiesRequest>(),
        codec::<types::AccessRequestFilter>(),
        codec::<types::AccessRequestV3>(),
        codec::<types::AccessReviewSubmission>(),
        codec::<types::PluginDataFilter>(),
        codec::<types::PluginDataUpdateParams>(),
        codec::<types::RegisterUsingTokenRequest>(),
        codec::<types::RoleV6>(),
        codec::<types::UserV2>(),
        codec::<users::GetUserRequest>(),
        codec::<users::GetUserResponse>(),
        codec::<users::ListUsersRequest>(),
        codec::<users::ListUsersResponse>(),
    ])
});

/// The module tree of `pb` repeats the packages, so that a type's path is its message's name, but for prost's `Id` and `Ca`.
fn codec<T: Message + Default>() -> (String, Codec) {
    let (_, path) = type_name::<T>().split_once("::pb::").unwrap();
    let name = path.replace("::", ".").replace("RequestId", "RequestID").replace("CaCert", "CACert");
    (name, |wire| T::decode(wire).unwrap().encode_to_vec())
}

fn through_our_type(message: &str, wire: &[u8]) -> Vec<u8> {
    CODECS.get(message).unwrap_or_else(|| panic!("{message} has no line in CODECS"))(wire)
}

fn to_json(descriptor: MessageDescriptor, wire: &[u8]) -> Value {
    let message = DynamicMessage::decode(descriptor, wire).unwrap();
    let options = SerializeOptions::new().use_proto_field_name(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

fn from_json(descriptor: MessageDescriptor, value: &Value) -> Vec<u8> {
    DynamicMessage::deserialize_with_options(descriptor, value, &DeserializeOptions::new()).unwrap().encode_to_vec()
}

fn declared(descriptor: &MessageDescriptor, value: &Value) -> Value {
    let Value::Object(fields) = value else {
        return value.clone(); // a well-known type that JSON writes as a string
    };
    let fields = fields.iter().filter_map(|(name, value)| {
        let field = descriptor.get_field_by_name(name)?;
        let declared = match (field.kind(), value) {
            (Kind::Message(entry), Value::Object(entries)) if entry.is_map_entry() => match entry
                .map_entry_value_field()
                .kind()
            {
                Kind::Message(of) => entries.iter().map(|(key, value)| (key.clone(), declared(&of, value))).collect(),
                _ => value.clone(),
            },
            (Kind::Message(of), Value::Array(items)) => items.iter().map(|item| declared(&of, item)).collect(),
            (Kind::Message(of), value) => declared(&of, value),
            _ => value.clone(),
        };
        Some((name.clone(), declared))
    });
    Value::Object(fields.collect())
}

#[test]
fn what_teleport_writes_is_read_with_every_declared_value() {
    for vector in &*VECTORS {
        assert_eq!(to_json(vector.descriptor(), &vector.through_our_type()), vector.declared(), "{vector}");
    }
}

/// Written by servers alone. Prost leaves out an empty message in a map, and Teleport's Go decoder makes a nil pointer of that.
const ONLY_READ: &str = "plugin data with nothing left in it";

#[test]
fn what_we_write_is_byte_for_byte_what_teleport_writes() {
    let whole = VECTORS.iter().filter(|vector| vector.declared() == vector.value && vector.name != ONLY_READ);
    let mut compared = 0;
    for vector in whole {
        let ours = vector.ours();
        assert_eq!(vector.through_our_type(), ours, "{vector}: read and written again");
        let from_values = from_json(vector.descriptor(), &vector.value);
        assert_eq!(through_our_type(&vector.message, &from_values), ours, "{vector}: written from its values");
        compared += 1;
    }
    assert!(compared > VECTORS.len() / 2, "only {compared} of {} vectors hold nothing undeclared", VECTORS.len());
}

#[test]
fn every_declared_field_is_in_a_vector() {
    let mut seen = BTreeSet::new();
    for vector in &*VECTORS {
        collect(&DynamicMessage::decode(vector.descriptor(), &*vector.wire()).unwrap(), &mut seen);
    }
    let ours = OURS.files().filter(|file| file.name().starts_with("teleport/"));
    let missing: Vec<_> = ours
        .flat_map(|file| file.messages().collect::<Vec<_>>())
        .filter(|message| !NEWER.contains(&message.full_name()))
        .flat_map(|message| {
            let fields = message.fields().map(|field| field.full_name().to_owned()).collect::<Vec<_>>();
            std::iter::once(message.full_name().to_owned()).chain(fields)
        })
        .filter(|name| !seen.contains(name) && !NEWER.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "add these to hack/golden/*.go and run its generate.sh: {missing:#?}");
}

/// Adds the names of a message, of its fields that are set, and of all that is below.
fn collect(message: &DynamicMessage, seen: &mut BTreeSet<String>) {
    seen.insert(message.descriptor().full_name().to_owned());
    for (field, value) in message.fields() {
        seen.insert(field.full_name().to_owned());
        let values: Vec<_> = match value {
            prost_reflect::Value::List(items) => items.iter().collect(),
            prost_reflect::Value::Map(entries) => entries.values().collect(),
            value => vec![value],
        };
        for message in values.into_iter().filter_map(prost_reflect::Value::as_message) {
            collect(message, seen);
        }
    }
}

// The tests above compare by our own descriptors; these do so by hand, once for reading and once for writing.

#[test]
fn a_full_request_reads_as_its_author_wrote_it() {
    for line in LINES {
        let wire = vector(line, "a request with every field").wire();
        let request = types::AccessRequestV3::decode(&*wire).unwrap();
        let metadata = request.metadata.unwrap();
        let spec = request.spec.unwrap();
        assert_eq!((request.kind.as_str(), request.version.as_str()), ("access_request", "v3"));
        assert_eq!(metadata.name, "018f4c1e-6d2a-7cc3-9a51-3f0d5c1b7e42");
        assert_eq!(
            (spec.user.as_str(), spec.roles.as_slice()),
            ("alice@example.com", &["dba".into(), "editor".into()][..])
        );
        assert_eq!(spec.state(), types::RequestState::Approved);
        assert_eq!(spec.created.unwrap(), prost_types::Timestamp { seconds: 1_714_979_289, nanos: 123_456_789 });
        assert_eq!(spec.system_annotations.unwrap().values["pagerduty-service"].values, ["db", "storage"]);
        assert_eq!(spec.thresholds[0].approve, 2);
        assert_eq!(spec.reviews[0].author, "bob@example.com");
        assert_eq!(spec.reviews[0].proposed_state(), types::RequestState::Approved);
        assert_eq!(spec.requested_resource_i_ds[1].sub_resource_name, "default/web-*");
        assert_eq!(spec.suggested_reviewers, ["bob@example.com", "carol@example.com"]);
        assert_eq!(spec.access_list.unwrap().title, "Database people");
    }
}

#[test]
fn a_time_that_go_left_at_zero_is_the_first_second_of_the_year_one() {
    for line in LINES {
        let wire = vector(line, "a request with nothing but what it needs; its times are Go's zero time").wire();
        let spec = types::AccessRequestV3::decode(&*wire).unwrap().spec.unwrap();
        let zero = Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 });
        assert_eq!([spec.created, spec.expires, spec.max_duration, spec.session_ttl], [zero; 4]);
        assert_eq!(spec.assume_start_time, None);
    }
}

#[test]
fn what_a_newer_server_means_by_an_event_is_not_lost_as_an_error() {
    for line in LINES {
        let event = |name| proto::Event::decode(&*vector(line, name).wire()).unwrap();
        let undeclared = event("PUT of a kind that is not declared");
        assert_eq!((undeclared.r#type(), undeclared.resource), (proto::Operation::Put, None));
        assert_eq!(event("an operation of a newer server").r#type, 99);
        assert_eq!(event("INIT of a server without a watch status"), proto::Event::default());
    }
}

#[test]
fn a_swap_of_plugin_data_and_a_decision_are_written_as_by_go() {
    let swap = types::PluginDataUpdateParams {
        kind: "access_request".into(),
        resource: "018f4c1e-6d2a-7cc3-9a51-3f0d5c1b7e42".into(),
        plugin: "slack".into(),
        set: HashMap::from([("messages".into(), "C0123456789/1714979289.123456".into())]),
        expect: HashMap::from([("messages".into(), String::new())]),
    };
    let decision = proto::RequestStateSetter {
        id: "018f4c1e-6d2a-7cc3-9a51-3f0d5c1b7e42".into(),
        state: types::RequestState::Denied.into(),
        annotations: Some(wrappers::LabelValues::default()),
        ..Default::default()
    };
    for line in LINES {
        assert_eq!(swap.encode_to_vec(), vector(line, "a swap of plugin data").ours());
        assert_eq!(decision.encode_to_vec(), vector(line, "a denial").ours());
    }
}

/// No line of the API at hand has the fields that Teleport got with reviews by plugins: the numbers stand here once more, by hand.
#[test]
fn a_review_for_a_user_is_written_with_the_numbers_of_18_11() {
    let review = types::AccessReview {
        author: "bob".into(),
        proposed_state: types::RequestState::Denied.into(),
        reason: "no".into(),
        created: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        submitted_by: "bot".into(),
        submitted_on_behalf_of_author: true,
        ..Default::default()
    };
    // 1: "bob", 3: 3, 4: "no", 5: {1: 1}, 11: "bot", 12: true; the tag is number × 8 + 2 for bytes and + 0 for varints.
    let expected = b"\x0a\x03bob\x18\x03\x22\x02no\x2a\x02\x08\x01\x5a\x03bot\x60\x01";
    assert_eq!(review.encode_to_vec(), expected);
    let submission = types::AccessReviewSubmission { request_id: "r".into(), review: Some(review) };
    assert_eq!(submission.encode_to_vec(), [b"\x0a\x01r\x12\x16".as_slice(), expected].concat());
    // In a role: 15 (ReviewRequests) { 5: "*" }.
    let conditions = types::AccessReviewConditions { submit_for_users: vec!["*".into()], ..Default::default() };
    let allow = types::RoleConditions { review_requests: Some(conditions), ..Default::default() };
    assert_eq!(allow.encode_to_vec(), b"\x7a\x03\x2a\x01*");
}
