//! The real worker as a child process: started, stopped, killed, and listened to.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

/// Log lines that are kept for the page.
const KEPT: usize = 500;
/// A worker that does not end within this time after being asked is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be done to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Start it, unless it runs.
    Start,
    /// Ask it to end, as a service manager does.
    Stop,
    /// Kill it without a chance to finish anything.
    Kill,
}

/// How the worker is.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct View {
    /// Process id while it runs.
    pub(super) pid: Option<u32>,
    /// How it ended, when it does not run.
    pub(super) ended: Option<String>,
    /// How often it was started.
    pub(super) starts: u32,
}

/// A line that it wrote.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    /// Counts from 1 over all runs.
    pub(super) number: u64,
    /// When it was read.
    pub(super) at: Timestamp,
    /// The line.
    pub(super) text: String,
}

#[derive(Default)]
struct Book {
    view: View,
    lines: VecDeque<Line>,
    last: u64,
}

/// Clones steer the same worker.
#[derive(Clone)]
pub(super) struct Supervisor {
    orders: mpsc::UnboundedSender<Option<Order>>,
    record: Record,
}

#[derive(Clone)]
struct Record {
    book: Arc<Mutex<Book>>,
    changed: watch::Sender<()>,
    echo: bool,
}

impl Record {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.book());
        self.changed.send_replace(());
    }

    fn line(&self, text: String) {
        if self.echo {
            // The terminal may be gone; the page is still there.
            let _ = writeln!(io::stderr(), "worker │ {text}");
        }
        self.change(|book| {
            book.last += 1;
            if book.lines.len() == KEPT {
                book.lines.pop_front();
            }
            book.lines.push_back(Line { number: book.last, at: Timestamp::now(), text });
        });
    }
}

impl Supervisor {
    /// Starts the worker. With `echo`, its lines also go to standard error.
    pub(super) fn start(program: PathBuf, configuration: PathBuf, echo: bool, tasks: &TaskTracker) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let record = Record { book: Arc::default(), changed: watch::Sender::new(()), echo };
        let supervisor = Self { orders, record: record.clone() };
        supervisor.order(Order::Start);
        tasks.spawn(Care { program, configuration, record, child: None }.run(received));
        supervisor
    }

    pub(super) fn order(&self, order: Order) {
        // After the end there is nobody to listen, and nothing to do.
        let _ = self.orders.send(Some(order));
    }

    /// Stops the worker for good.
    pub(super) fn end(&self) {
        let _ = self.orders.send(None);
    }

    pub(super) fn view(&self) -> View {
        self.record.book().view.clone()
    }

    /// Lines after that number.
    pub(super) fn lines_after(&self, number: u64) -> Vec<Line> {
        self.record.book().lines.iter().filter(|line| line.number > number).cloned().collect()
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.record.changed.subscribe()
    }
}

struct Care {
    program: PathBuf,
    configuration: PathBuf,
    record: Record,
    child: Option<Child>,
}

impl Care {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Option<Order>>) {
        loop {
            let order = tokio::select! {
                order = orders.recv() => order.flatten(),
                ended = ended(&mut self.child) => {
                    self.note_end(&ended);
                    continue;
                }
            };
            match order {
                Some(Order::Start) => self.spawn(),
                Some(Order::Stop) => self.stop().await,
                Some(Order::Kill) => self.kill().await,
                None => return self.stop().await,
            }
        }
    }

    fn spawn(&mut self) {
        if self.child.is_some() {
            return;
        }
        let started = Command::new(&self.program)
            .arg("start")
            .arg("--config")
            .arg(&self.configuration)
            // The file that tells its successor that it is dead lies beside its configuration, and goes with it.
            .env("STATE_DIRECTORY", self.configuration.parent().unwrap_or(Path::new(".")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C reaches everything in the terminal; the worker is ended by us, once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                let ended = format!("cannot start {}: {error}", self.program.display());
                return self.record.change(|book| book.view.ended = Some(ended));
            }
        };
        if let Some(output) = child.stdout.take() {
            tokio::spawn(listen(output, self.record.clone()));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(listen(output, self.record.clone()));
        }
        let pid = child.id();
        self.child = Some(child);
        self.record.change(|book| book.view = View { pid, ended: None, starts: book.view.starts + 1 });
    }

    async fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::warn!("cannot ask the worker to end: {error}");
        }
        match tokio::time::timeout(PATIENCE, child.wait()).await {
            Ok(ended) => self.note_end(&ended),
            Err(_) => self.kill().await,
        }
    }

    async fn kill(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Err(error) = child.start_kill() {
            tracing::warn!("cannot kill the worker: {error}");
        }
        let ended = child.wait().await;
        self.note_end(&ended);
    }

    fn note_end(&mut self, ended: &io::Result<ExitStatus>) {
        self.child = None;
        let how = match ended {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        self.record.change(|book| {
            book.view.pid = None;
            book.view.ended = Some(how);
        });
    }
}

/// Resolves when the child ends; never without one.
async fn ended(child: &mut Option<Child>) -> io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

async fn listen(output: impl AsyncRead + Unpin, record: Record) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        record.line(line);
    }
}
