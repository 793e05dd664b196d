//! Files that change under us: credentials and configuration, re-read by content.
//!
//! Polling, because it sees every way in which such files change: a Secret volume's `..data` link switched by the
//! kubelet, a new file renamed over the old one, a rewrite in place, a file that is away for a while. Notifications of
//! the kernel miss some of these, and network file systems send none.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use crate::descriptors;

/// How often files are looked at. A change is used after it has been still for this long, so within two of these.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// Credentials and configurations are far smaller; whatever is larger is not one.
const SIZE_LIMIT: u64 = 1024 * 1024;
/// Room for what does not say its size before it is read (a pipe), in bytes.
const FIRST_READ: u64 = 16 * 1024;

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Whether the files can be read now, or why not.
pub type State = Result<(), Arc<Error>>;

/// Files that are watched together, because they are only useful together (a certificate and its key).
///
/// Only digests are kept: most of the files are secrets. Watching ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Watched {
    states: watch::Receiver<State>,
    _poller: Arc<AbortOnDropHandle<()>>,
}

impl Watched {
    /// Starts to watch files that need not be there yet.
    pub fn await_files(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let (told, first) = match digest(&paths) {
            Ok(digest) => (Told::Contents(digest), Ok(())),
            Err(error) => (Told::Unreadable(error.to_string()), Err(Arc::new(error))),
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
        let read = digest(&self.paths);
        if read.as_ref().is_err_and(|error| descriptors::are_exhausted(&error.source)) {
            // That says nothing about the files: the next look tries again.
            return None;
        }
        if self.stamps() != stamps {
            // Changed while being read: what was read may be half of each.
            self.candidate = None;
            return None;
        }
        self.settled = self.candidate.take();
        let (told, state) = match read {
            Ok(digest) => (Told::Contents(digest), Ok(())),
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

/// Of all the files; where one ends and the next begins is part of it.
fn digest(paths: &[PathBuf]) -> Result<[u8; 32], Error> {
    let mut hasher = Sha256::new();
    for path in paths {
        let file = read(path).map_err(|source| Error { path: path.clone(), source })?;
        hasher.update(file.len().to_le_bytes());
        hasher.update(&*file);
    }
    Ok(hasher.finalize().into())
}

/// Whether every user of the machine can read a file: its mode and those of the folders above allow it.
pub fn is_readable_by_others(path: &Path) -> bool {
    let allows = |path: &Path, bit: u32| fs::metadata(path).is_ok_and(|metadata| metadata.mode() & bit != 0);
    let Ok(path) = path.canonicalize() else { return false };
    allows(&path, 0o004) && path.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}

/// Reads a file that may be read again at any time: a regular one. (A pipe would hold up whoever opens it until somebody writes.)
pub fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    read_once(path)
}

/// Reads whatever is there, once, up to the limit.
pub fn read_once(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = fs::File::open(path)?;
    // A buffer that grew would leave copies behind that nothing overwrites.
    let size = file.metadata().map_or(0, |metadata| metadata.len()).clamp(FIRST_READ, SIZE_LIMIT) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
    file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= SIZE_LIMIT) {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"))
    }
}

/// Time is paused: the clock jumps from look to look, so nothing here waits.
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;
    use tokio::time::{sleep, timeout};

    use crate::file_watch::*;

    const SOON: Duration = Duration::from_secs(10);

    fn directory() -> TempDir {
        tempfile::tempdir().unwrap()
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
        let mut watched = Watched::await_files([path.clone()]);
        assert_quiet(&mut watched).await;
        fs::write(&path, "newer").unwrap();
        next(&mut watched).await.unwrap();
        assert_quiet(&mut watched).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_rename_over_the_file_is_seen() {
        let directory = directory();
        let path = directory.path().join("identity");
        fs::write(&path, "old").unwrap();
        let mut watched = Watched::await_files([path.clone()]);
        fs::write(directory.path().join("new"), "new").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        next(&mut watched).await.unwrap();
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
        let mut watched = Watched::await_files([root.join("auth.crt"), root.join("auth.key")]);
        symlink("..2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        fs::remove_dir_all(root.join("..1")).unwrap();
        next(&mut watched).await.unwrap();
        assert_quiet(&mut watched).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_written_file_is_not_shown() {
        let directory = directory();
        let path = directory.path().join("identity");
        fs::write(&path, "old").unwrap();
        let mut watched = Watched::await_files([path.clone()]);
        for length in 4..12 {
            fs::write(&path, "x".repeat(length)).unwrap();
            sleep(INTERVAL).await;
            assert!(!watched.states.has_changed().unwrap(), "{length} bytes were taken for the whole");
        }
        next(&mut watched).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_file_is_told_once_and_so_is_its_return() {
        let directory = directory();
        let path = directory.path().join("token");
        fs::write(&path, "same").unwrap();
        let mut watched = Watched::await_files([path.clone()]);
        fs::remove_file(&path).unwrap();
        let error = next(&mut watched).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read {}: ", path.display())), "{error}");
        assert_quiet(&mut watched).await;
        fs::write(&path, "same").unwrap();
        next(&mut watched).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_content_written_again_is_no_change() {
        let directory = directory();
        let path = directory.path().join("token");
        fs::write(&path, "same").unwrap();
        let mut watched = Watched::await_files([path.clone()]);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "same").unwrap();
        assert_quiet(&mut watched).await;
    }

    #[test]
    fn a_huge_file_is_refused_and_not_loaded() {
        let directory = directory();
        let path = directory.path().join("token");
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "larger than 1 MiB");
    }

    #[test]
    fn a_file_is_private_by_its_own_mode_or_by_that_of_a_folder_above() {
        let directory = directory();
        let (folder, path) = (directory.path().join("folder"), directory.path().join("folder/token"));
        fs::create_dir(&folder).unwrap();
        fs::write(&path, "xoxb-1").unwrap();
        let expose = |folder_mode: u32, mode: u32| {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(folder_mode)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            is_readable_by_others(&path)
        };
        assert!(expose(0o755, 0o644));
        assert!(!expose(0o755, 0o640));
        assert!(!expose(0o700, 0o644));
        assert!(!is_readable_by_others(&directory.path().join("none")));
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
        let mut watched = Watched::await_files([one.clone(), two.clone()]);
        fs::write(&one, "a").unwrap();
        fs::write(&two, "bc").unwrap();
        next(&mut watched).await.unwrap();
    }
}
