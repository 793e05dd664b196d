//! What a process that holds secrets asks of the kernel for itself.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;
use tracing::warn;

/// Keeps memory to itself: no core dump, and no other process of the same user reads it (`ptrace`, `/proc/PID/mem`); no program that
/// it could start gains rights. Takes all the file descriptors that the system allows.
///
/// What the kernel refuses is said, and no reason to stop: it is a second line of defence.
pub fn apply() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let steps = [
        ("core dumps", setrlimit(Resource::Core, none)),
        ("access to its memory", set_dumpable_behavior(DumpableBehavior::NotDumpable)),
        ("new privileges", set_no_new_privs(true)),
    ];
    for (what, result) in steps {
        if let Err(error) = result {
            warn!(%error, "Cannot rule out {what} for this process");
        }
    }
    let descriptors = getrlimit(Resource::Nofile);
    let all = Rlimit { current: descriptors.maximum, maximum: descriptors.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        warn!(%error, "Cannot raise the limit of open files");
    }
}
