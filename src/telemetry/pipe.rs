//! Log lines on their way out. A thread writes them: a pipe that nobody reads, or a disk that hangs, never holds up the work.
//!
//! `tracing-appender` does nearly the same, but bounds lines instead of bytes, and writes to standard output when it ends, which
//! may be the very pipe that nobody reads.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes of lines that may wait; several thousand lines.
const CAPACITY: usize = 1024 * 1024;

/// Lines of this process that were not written.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many log lines were not written since the process began: too many waited, or the system refused them.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Where lines are written to.
pub(super) type Target = Box<dyn Write + Send>;

/// Takes lines in, and never waits; a cheap handle.
#[derive(Clone)]
pub(super) struct Pipe {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Bytes of the lines in it.
    bytes: usize,
    /// The thread is writing what it took out last.
    writing: bool,
    /// Lines that were not written, and of which the log does not tell yet.
    untold: u64,
}

enum Item {
    Line(Vec<u8>),
    /// What follows goes there.
    Switch(Target),
}

impl Pipe {
    /// Starts the thread.
    pub(super) fn start(target: Target) -> std::io::Result<Self> {
        let pipe = Self { shared: Arc::default() };
        let writer = pipe.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write(target))?;
        Ok(pipe)
    }

    /// Hands over one line. It is dropped, and counted, if too much waits already.
    pub(super) fn push(&self, line: &[u8]) {
        let mut queue = self.queue();
        if queue.bytes + line.len() > CAPACITY {
            queue.drop_line();
            return;
        }
        queue.bytes += line.len();
        queue.items.push_back(Item::Line(line.to_vec()));
        self.shared.changed.notify_all();
    }

    /// Lines that are pushed from now on go to `target`.
    pub(super) fn switch(&self, target: Target) {
        self.queue().items.push_back(Item::Switch(target));
        self.shared.changed.notify_all();
    }

    /// Waits until everything is written, or for so long.
    pub(super) fn flush(&self, at_most: Duration) {
        let unwritten = |queue: &mut Queue| queue.writing || !queue.items.is_empty();
        // Whether the time was too short makes no difference: the caller is about to end.
        drop(self.shared.changed.wait_timeout_while(self.queue(), at_most, unwritten));
    }

    /// Writes for as long as the process lives.
    fn write(&self, mut target: Target) {
        loop {
            match self.next() {
                Item::Switch(next) => target = next,
                Item::Line(line) => {
                    let written = target.write_all(&line).and_then(|()| target.flush());
                    let untold = self.written(written.is_ok());
                    if untold > 0 {
                        tracing::warn!(lines = untold, "Log lines were dropped: they came faster than they were read");
                    }
                }
            }
        }
    }

    fn next(&self) -> Item {
        let mut queue = self.queue();
        queue.writing = false;
        self.shared.changed.notify_all();
        loop {
            if let Some(item) = queue.items.pop_front() {
                queue.writing = true;
                if let Item::Line(line) = &item {
                    queue.bytes -= line.len();
                }
                return item;
            }
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes how a line went. Returns how many were dropped before it, once it is known that lines can be written again.
    fn written(&self, successfully: bool) -> u64 {
        let mut queue = self.queue();
        if successfully {
            return std::mem::take(&mut queue.untold);
        }
        queue.drop_line();
        0
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn drop_line(&mut self) {
        self.untold += 1;
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Writes a line each time that it is allowed to.
    struct Gated {
        allowed: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(io::Error::other)?;
            self.written.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Target, Sender<()>, Receiver<Vec<u8>>) {
        let ((allow, allowed), (written, lines)) = (channel(), channel());
        (Box::new(Gated { allowed, written }), allow, lines)
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_and_nothing_waits() {
        let (target, allow, lines) = gated();
        let pipe = Pipe::start(target).unwrap();
        let before = dropped_lines();
        let line = vec![b'x'; CAPACITY / 8];
        // One is being written, eight wait.
        for _ in 0..20 {
            pipe.push(&line);
        }
        assert!((11..=12).contains(&(dropped_lines() - before)), "{}", dropped_lines() - before);
        pipe.flush(Duration::from_millis(1));
        for _ in 0..8 {
            allow.send(()).unwrap();
            assert_eq!(lines.recv_timeout(PATIENCE).unwrap().len(), line.len());
        }
    }

    #[test]
    fn lines_go_where_they_belonged_when_they_were_logged() {
        let (first, allow_first, first_lines) = gated();
        let (second, allow_second, second_lines) = gated();
        let pipe = Pipe::start(first).unwrap();
        pipe.push(b"one\n");
        pipe.switch(second);
        pipe.push(b"two\n");
        allow_first.send(()).unwrap();
        allow_second.send(()).unwrap();
        pipe.flush(PATIENCE);
        assert_eq!(first_lines.try_recv().unwrap(), b"one\n");
        assert_eq!(second_lines.try_recv().unwrap(), b"two\n");
    }
}
