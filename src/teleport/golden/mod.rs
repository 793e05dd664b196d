//! Our `proto/` against Teleport's own Go API module: `tests/golden/wire` holds what `hack/golden/generate.sh` made it say,
//! in both lines of the API that we speak to.

mod descriptors;
mod vectors;

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The lines of Teleport's API: release 14.2.3, and the line of 17.
const LINES: [&str; 2] = ["v14", "v17"];

/// What `proto/` declares and neither line knows, because Teleport added it later: nothing here checks these numbers. An
/// entry that a line comes to know has to leave this list; a whole message stands for its parts.
const NEWER: &[&str] = &[
    // Long-term requests.
    "types.AccessRequestKind",
    "types.AccessRequestSpecV3.RequestKind",
    // Constraints on single resources.
    "types.ResourceAccessID",
    "types.AccessRequestSpecV3.RequestedResourceAccessIDs",
    // Reviews that a plugin submits for somebody.
    "types.AccessReview.SubmittedBy",
    "types.AccessReview.submitted_on_behalf_of_author",
    "types.AccessReviewConditions.SubmitForUsers",
    // Listing users by kind and trait.
    "types.UserFilter.SkipSystemUsers",
    "types.UserFilter.Traits",
    // Rules that review.
    "teleport.accessmonitoringrules.v1.AccessMonitoringRuleSpec.desired_state",
    "teleport.accessmonitoringrules.v1.ListAccessMonitoringRulesWithFilterRequest.automatic_review_name",
    // The join stream of 18.5.
    "teleport.join.v1.BotParams",
    "teleport.join.v1.BotResult",
    "teleport.join.v1.Certificates",
    "teleport.join.v1.ClientInit",
    "teleport.join.v1.ClientParams",
    "teleport.join.v1.GivingUp",
    "teleport.join.v1.GivingUpReason",
    "teleport.join.v1.JoinRequest",
    "teleport.join.v1.JoinResponse",
    "teleport.join.v1.JoinService",
    "teleport.join.v1.OIDCInit",
    "teleport.join.v1.PublicKeys",
    "teleport.join.v1.Result",
    "teleport.join.v1.ServerInit",
    // Not newer but older: servers before 10 answer a single message instead of a stream.
    "proto.AccessRequests",
    "proto.AuthService.GetAccessRequests",
];

/// Where a line's files are.
fn folder(line: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire").join(line)
}

/// The paths in `folder` that end in `.extension`, sorted.
fn files(folder: &PathBuf, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// Our `.proto` files, compiled as `proto/build.rs` does.
static OURS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("proto");
    let compiled = protox::compile(files(&root.join("teleport"), "proto"), [root]).unwrap();
    DescriptorPool::from_file_descriptor_set(compiled).unwrap()
});
