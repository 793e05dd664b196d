//! File descriptors: all that the system allows, and some of them for the endpoints alone, so that a process whose work has used up
//! the others still answers its probes.
//!
//! The work lives under a limit that is a little lower than the system's. A descriptor that is opened and kept for later would do
//! too, but the work could take it in the moment between its closing and its use, and not give it back.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the endpoints alone: kubelet asks for two at a time.
const RESERVED: u64 = 8;
/// With fewer than this nothing is kept back: the process would not even start.
const FEWEST: u64 = 32;

/// Raises the limit as far as the system allows, but for the reserve.
pub(crate) fn limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum.map(|maximum| if maximum < FEWEST { maximum } else { maximum - RESERVED });
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

/// Makes a call that may use the reserve. Other threads may, too, while it lasts: it must not wait.
pub(crate) fn with_reserve<T>(call: impl FnOnce() -> T) -> T {
    let limit = getrlimit(Resource::Nofile);
    // Where the limit cannot be changed, the call does without.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let result = call();
    let _ = setrlimit(Resource::Nofile, limit);
    result
}

/// Whether the process, or the system, has no descriptor left.
pub(crate) fn are_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
