//! File descriptors kept back for the endpoints: a process that has no others left still answers its probes.

use std::fs::File;
use std::io;

use rustix::io::Errno;

/// More than one, since the work's thread may take what has just been released.
const COUNT: usize = 4;

/// Descriptors that are open for nothing but to be closed when another one is needed.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    kept: Vec<File>,
}

impl Reserve {
    /// Opens what is missing, as far as descriptors are left.
    pub(crate) fn refill(&mut self) {
        while self.kept.len() < COUNT
            && let Ok(file) = File::open("/dev/null")
        {
            self.kept.push(file);
        }
    }

    /// Closes one; false if there is none.
    pub(crate) fn release(&mut self) -> bool {
        self.kept.pop().is_some()
    }
}

/// Whether the process, or the system, has no descriptor left.
pub(crate) fn are_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
