//! What a process that holds secrets asks of the kernel for itself.

use std::collections::BTreeMap;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tracing::warn;

use crate::descriptors;

/// System calls that a worker never needs, and that what has taken it over would need: to start programs, to look into other
/// processes, to change the kernel or the view of the file system. A container runtime's own profile allows the first two groups.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
];

/// Keeps memory to itself: no core dump, and no other process of the same user reads it (`ptrace`, `/proc/PID/mem`); no program that
/// it could start gains rights. Takes all the file descriptors that the system allows, some of them for the endpoints alone.
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
    if let Err(error) = descriptors::limit() {
        warn!(%error, "Cannot set the limit of open files");
    }
}

/// From now on no thread of this process can start a program, or make any other of the [`FORBIDDEN`] calls: the kernel answers
/// `EPERM`. A profile on the node cannot do that, since the container runtime starts the process itself under it.
pub fn forbid_programs() {
    if let Err(error) = filter().and_then(|filter| seccompiler::apply_filter_all_threads(&filter)) {
        warn!(%error, "Cannot forbid this process to start programs");
    }
}

fn filter() -> Result<BpfProgram, seccompiler::Error> {
    let rules: BTreeMap<_, _> = FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_one_that_the_kernel_takes() {
        assert!(filter().unwrap().len() > FORBIDDEN.len());
    }
}
