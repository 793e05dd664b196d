//! Files that change under us: credentials and configuration, re-read by content.
//!
//! Polling, because it sees every way in which such files change: a Secret volume's `..data` link switched by the
//! kubelet, a new file renamed over the old one, a rewrite in place, a file that is away for a while. Notifications of
//! the kernel miss some of these, and network file systems send none.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

/// How often files are looked at. A change is used after it has been still for this long, so within two of these.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// Credentials and configurations are far smaller; whatever is larger is not one.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// What stood in the files, in the order of their paths.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents(Vec<Vec<u8>>);

impl Contents {
    /// One entry for each path.
    #[must_use]
    pub fn files(&self) -> &[Vec<u8>] {
        &self.0
    }
}

/// Shows sizes: the files are mostly secrets.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|file| format!("{} bytes", file.len()))).finish()
    }
}

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// What the files hold now, or why that cannot be known.
pub type State = Result<Arc<Contents>, Arc<Error>>;

/// Files that are watched together, because they are only useful together (a certificate and its key).
///
/// Watching ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Watched {
    states: watch::Receiver<State>,
    _poller: Arc<AbortOnDropHandle<()>>,
}

impl Watched {
    /// Reads the files, which must be there, and starts to watch them.
    pub fn start(paths: impl IntoIterator<Item = PathBuf>) -> Result<(Arc<Contents>, Self), Error> {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let first = Arc::new(read_all(&paths)?);
        let watched = Self::spawn(paths, Ok(Arc::clone(&first)));
        Ok((first, watched))
    }

    /// Starts to watch files that need not be there yet.
    pub fn await_files(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let first = read_all(&paths).map(Arc::new).map_err(Arc::new);
        Self::spawn(paths, first)
    }

    fn spawn(paths: Vec<PathBuf>, first: State) -> Self {
        let told = match &first {
            Ok(contents) => Told::Contents(digest(contents)),
            Err(error) => Told::Unreadable(error.to_string()),
        };
        let (sender, states) = watch::channel(first);
        let poller = Poller { told, paths, settled: None, candidate: None };
        let poller = Arc::new(AbortOnDropHandle::new(tokio::spawn(poller.run(sender))));
        Self { states, _poller: poller }
    }

    /// Waits for a state that this handle has not seen: other contents, or that the files have become unreadable (once),
    /// or readable again. Cancel-safe. States that were overtaken are skipped.
    pub async fn changed(&mut self) -> State {
        if self.states.changed().await.is_err() {
            // The poller lives as long as this handle: only the runtime's end can stop it.
            std::future::pending::<()>().await;
        }
        self.states.borrow_and_update().clone()
    }
}

/// What tells that a file may have changed, without reading it. The change time sees what a forged or restored
/// modification time hides, and a mended permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What was told last.
#[derive(PartialEq, Eq)]
enum Told {
    Contents([u8; 32]),
    Unreadable(String),
}

struct Poller {
    paths: Vec<PathBuf>,
    told: Told,
    /// The stamps under which the files were last read.
    settled: Option<Vec<Option<Stamp>>>,
    /// The stamps that the last look found, if they were new.
    candidate: Option<Vec<Option<Stamp>>>,
}

impl Poller {
    async fn run(mut self, sender: watch::Sender<State>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(state) = self.look()
                && sender.send(state).is_err()
            {
                return;
            }
        }
    }

    /// One look. Blocking calls on purpose: a few `stat`s of local files cost less than handing them to a thread.
    ///
    /// Files are read when two looks in a row found the same: a writer in the middle of its work is given time.
    fn look(&mut self) -> Option<State> {
        let stamps = self.stamps();
        if self.settled.as_ref() == Some(&stamps) {
            self.candidate = None;
            return None;
        }
        if self.candidate.as_ref() != Some(&stamps) {
            self.candidate = Some(stamps);
            return None;
        }
        let read = read_all(&self.paths);
        if self.stamps() != stamps {
            // Changed while being read: what was read may be half of each.
            self.candidate = None;
            return None;
        }
        self.settled = self.candidate.take();
        let (told, state) = match read {
            Ok(contents) => (Told::Contents(digest(&contents)), Ok(Arc::new(contents))),
            Err(error) => (Told::Unreadable(error.to_string()), Err(Arc::new(error))),
        };
        if self.told == told {
            return None;
        }
        self.told = told;
        Some(state)
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.paths.iter().map(|path| fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))).collect()
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn read_all(paths: &[PathBuf]) -> Result<Contents, Error> {
    let read = |path: &PathBuf| read(path).map_err(|source| Error { path: path.clone(), source });
    paths.iter().map(read).collect::<Result<_, _>>().map(Contents)
}

/// Reads a file that may be read again at any time: a regular one. (A pipe would hold up whoever opens it until somebody writes.)
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    read_once(path)
}

/// Reads whatever is there, once, up to the limit.
pub fn read_once(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= SIZE_LIMIT) {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"))
    }
}

fn digest(contents: &Contents) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for file in &contents.0 {
        hasher.update(file.len().to_le_bytes());
        hasher.update(file);
    }
    hasher.finalize().into()
}

/// Time is paused: the clock jumps from look to look, so nothing here waits.
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use tokio::time::{sleep, timeout};

    use crate::file_watch::*;

    const SOON: Duration = Duration::from_secs(10);

    fn directory() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    fn texts(contents: &Contents) -> Vec<&str> {
        contents.files().iter().map(|file| std::str::from_utf8(file).unwrap()).collect()
    }

    async fn next(watched: &mut Watched) -> State {
        timeout(SOON, watched.changed()).await.unwrap()
    }

    async fn assert_quiet(watched: &mut Watched) {
        assert!(timeout(SOON, watched.changed()).await.is_err(), "nothing has changed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rewrite_in_place_is_seen_once() {
        let directory = directory();
        let path = directory.path().join("token");
        fs::write(&path, "old").unwrap();
        let (first, mut watched) = Watched::start([path.clone()]).unwrap();
        assert_eq!(texts(&first), ["old"]);
        assert_quiet(&mut watched).await;
        fs::write(&path, "newer").unwrap();
        assert_eq!(texts(&next(&mut watched).await.unwrap()), ["newer"]);
        assert_quiet(&mut watched).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_rename_over_the_file_is_seen() {
        let directory = directory();
        let path = directory.path().join("identity");
        fs::write(&path, "old").unwrap();
        let (_, mut watched) = Watched::start([path.clone()]).unwrap();
        fs::write(directory.path().join("new"), "new").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        assert_eq!(texts(&next(&mut watched).await.unwrap()), ["new"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_volumes_switch_changes_all_files_at_once() {
        let directory = directory();
        let root = directory.path();
        for (version, text) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(root.join(version)).unwrap();
            for file in ["auth.crt", "auth.key"] {
                fs::write(root.join(version).join(file), format!("{text} {file}")).unwrap();
            }
        }
        symlink("..1", root.join("..data")).unwrap();
        for file in ["auth.crt", "auth.key"] {
            symlink(Path::new("..data").join(file), root.join(file)).unwrap();
        }
        let (first, mut watched) = Watched::start([root.join("auth.crt"), root.join("auth.key")]).unwrap();
        assert_eq!(texts(&first), ["old auth.crt", "old auth.key"]);
        symlink("..2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        fs::remove_dir_all(root.join("..1")).unwrap();
        assert_eq!(texts(&next(&mut watched).await.unwrap()), ["new auth.crt", "new auth.key"]);
        assert_quiet(&mut watched).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_written_file_is_not_shown() {
        let directory = directory();
        let path = directory.path().join("identity");
        fs::write(&path, "old").unwrap();
        let (_, mut watched) = Watched::start([path.clone()]).unwrap();
        for length in 4..12 {
            fs::write(&path, "x".repeat(length)).unwrap();
            sleep(INTERVAL).await;
        }
        assert_eq!(texts(&next(&mut watched).await.unwrap()), ["xxxxxxxxxxx"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_file_is_told_once_and_so_is_its_return() {
        let directory = directory();
        let path = directory.path().join("token");
        fs::write(&path, "same").unwrap();
        let (_, mut watched) = Watched::start([path.clone()]).unwrap();
        fs::remove_file(&path).unwrap();
        let error = next(&mut watched).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read {}: ", path.display())), "{error}");
        assert_quiet(&mut watched).await;
        fs::write(&path, "same").unwrap();
        assert_eq!(texts(&next(&mut watched).await.unwrap()), ["same"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_content_written_again_is_no_change() {
        let directory = directory();
        let path = directory.path().join("token");
        fs::write(&path, "same").unwrap();
        let (_, mut watched) = Watched::start([path.clone()]).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "same").unwrap();
        assert_quiet(&mut watched).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_huge_file_is_refused_and_not_loaded() {
        let directory = directory();
        let path = directory.path().join("token");
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = Watched::start([path]).unwrap_err().to_string();
        assert!(error.ends_with("larger than 1 MiB"), "{error}");
    }

    #[test]
    fn what_has_no_end_or_may_never_come_is_not_read() {
        for path in ["/dev/zero", "/"] {
            assert_eq!(read(Path::new(path)).unwrap_err().to_string(), "not a regular file");
        }
        assert_eq!(read_once(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn contents_moved_from_one_file_to_the_other_are_a_change() {
        let directory = directory();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        fs::write(&one, "ab").unwrap();
        fs::write(&two, "c").unwrap();
        let (_, mut watched) = Watched::start([one.clone(), two.clone()]).unwrap();
        fs::write(&one, "a").unwrap();
        fs::write(&two, "bc").unwrap();
        assert_eq!(texts(&next(&mut watched).await.unwrap()), ["a", "bc"]);
    }

    #[tokio::test(start_paused = true)]
    async fn contents_are_not_shown_when_debugging() {
        let directory = directory();
        let path = directory.path().join("token");
        fs::write(&path, "xoxb-secret").unwrap();
        let (first, watched) = Watched::start([path]).unwrap();
        assert!(!format!("{first:?} {watched:?}").contains("secret"));
    }
}
