//! Names, numbers, types and cardinalities of everything that `proto/` declares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind};

use crate::teleport::golden::{LINES, NEWER, OURS, folder};

/// A table of declarations: owner, such as `types.AccessRequestV3` → items, such as `4 Metadata singular types.Metadata`.
type Table = BTreeMap<String, Vec<String>>;

#[test]
fn what_we_declare_is_what_teleport_declares() {
    let lines = LINES.map(|line| (line, theirs(line)));
    let mut complaints = Vec::new();
    let mut unknown = BTreeSet::new();
    for (owner, items) in ours(&OURS) {
        if lines.iter().all(|(_, table)| !table.contains_key(&owner)) {
            unknown.insert(owner);
            continue;
        }
        for item in items {
            let mut known = false;
            for (line, table) in &lines {
                let theirs = table.get(&owner).map(Vec::as_slice).unwrap_or_default();
                known |= theirs.contains(&item);
                complaints.extend(
                    theirs
                        .iter()
                        .filter(|theirs| {
                            **theirs != item && names(theirs).any(|theirs| names(&item).any(|ours| ours == theirs))
                        })
                        .map(|theirs| format!("{owner}: ours is `{item}`, {line} has `{theirs}`")),
                );
            }
            if !known {
                unknown.insert(format!("{owner}.{}", names(&item).last().unwrap()));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(
        unknown,
        NEWER.iter().map(ToString::to_string).collect(),
        "left: what no line of Teleport's API has (new in proto/? run hack/golden/generate.sh); right: what is expected to be so"
    );
}

/// What has to be unique among an owner's items: the number, if there is one, and the name.
fn names(item: &str) -> impl Iterator<Item = &str> {
    let numbered = item.starts_with(|first: char| first.is_ascii_digit());
    item.split(' ').take(if numbered { 2 } else { 1 })
}

fn theirs(line: &str) -> Table {
    let path = folder(line).join("descriptors.txt");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut table = Table::new();
    let mut owner = String::new();
    for line in text.lines() {
        if let Some(item) = line.strip_prefix("  ") {
            table.get_mut(&owner).unwrap().push(item.to_owned());
        } else {
            owner = line.split(' ').nth(1).unwrap().to_owned();
            table.insert(owner.clone(), Vec::new());
        }
    }
    table
}

fn ours(pool: &DescriptorPool) -> Table {
    let mut table = Table::new();
    for file in pool.files().filter(|file| file.name().starts_with("teleport/")) {
        for message in file.messages() {
            let fields = message
                .fields()
                .map(|field| format!("{} {} {} {}", field.number(), field.name(), cardinality(&field), kind(&field)));
            table.insert(message.full_name().to_owned(), fields.collect());
        }
        for declared in file.enums() {
            let values = declared.values().map(|value| format!("{} {}", value.number(), value.name()));
            table.insert(declared.full_name().to_owned(), values.collect());
        }
        for service in file.services() {
            let methods = service.methods().map(|method| {
                let stream = |streaming: bool| if streaming { "stream " } else { "" };
                format!(
                    "{} {}{} -> {}{}",
                    method.name(),
                    stream(method.is_client_streaming()),
                    method.input().full_name(),
                    stream(method.is_server_streaming()),
                    method.output().full_name(),
                )
            });
            table.insert(service.full_name().to_owned(), methods.collect());
        }
    }
    table
}

fn cardinality(field: &FieldDescriptor) -> &'static str {
    if field.is_map() {
        "map"
    } else if field.cardinality() == Cardinality::Repeated {
        "repeated"
    } else if field.field_descriptor_proto().proto3_optional() {
        "optional"
    } else if field.containing_oneof().is_some() {
        "oneof"
    } else {
        "singular"
    }
}

fn kind(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => {
            format!("<{},{}>", kind(&entry.map_entry_key_field()), kind(&entry.map_entry_value_field()))
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(declared) => declared.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}
