//! Who this worker is: a host on which at most one worker lives at a time, so that a claim of the same host by another
//! incarnation is known to be of a dead one.
//!
//! In a pod the host is the pod: a container is started again only when its predecessor has ended. Elsewhere it is a slot,
//! a file that this process keeps locked; the system releases the lock when the process ends, however it ends. Where no
//! slot can be locked the host is random, and claims of a predecessor are waited for like those of any other worker.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::config::StatusObject;
use crate::config::paths::POD_NAME_VARIABLE;
use crate::delivery::claims::WorkerId;

/// More workers than a machine runs with one place for slots.
const MOST_SLOTS: usize = 32;
/// Changes with every boot: a copy of a slot's file on another machine is another host.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Hexadecimal digits of a name.
const NAME_LENGTH: usize = 16;

/// The host of this process, kept as long as this value lives.
#[derive(Debug)]
pub(crate) struct Host {
    name: String,
    /// Keeps the slot locked.
    _slot: Option<File>,
}

impl Host {
    /// The host of this process, which works for `object`, if there is one.
    pub(crate) fn find(object: Option<&StatusObject>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(object), Some(pod)) = (object, variable(POD_NAME_VARIABLE)) {
            return Self::of_pod(object, &pod);
        }
        // systemd's directories for a service's own files, then a login's, then everybody's.
        let places = ["STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"].into_iter().filter_map(variable);
        let places = places.map(PathBuf::from).chain([std::env::temp_dir()]);
        places.into_iter().find_map(|place| Self::of_slot(&place)).unwrap_or_else(Self::random)
    }

    /// What is before the hyphen names the object, see [`WorkerId::is_of_another_object`].
    fn of_pod(object: &StatusObject, pod: &str) -> Self {
        let StatusObject { namespace, name, uid } = object;
        let object = digest(&["object", namespace, name, uid.as_deref().unwrap_or_default()]);
        Self { name: format!("{object}-{}", digest(&["pod", namespace, pod])), _slot: None }
    }

    /// The first free slot in `place`; `None` where none can be locked.
    fn of_slot(place: &Path) -> Option<Self> {
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        (0..MOST_SLOTS).find_map(|number| {
            let path = place.join(format!(".slack-access-operator-{number}.slot"));
            let mut slot = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).ok()?;
            slot.try_lock().ok()?;
            let content = content(&mut slot).ok()?;
            Some(Self { name: digest(&["slot", &content, boot.trim()]), _slot: Some(slot) })
        })
    }

    fn random() -> Self {
        Self { name: random(), _slot: None }
    }

    /// A new incarnation of the worker on this host.
    pub(crate) fn worker_id(&self) -> WorkerId {
        WorkerId::new(&self.name, random())
    }
}

/// What names the slot: written once, by the process that first locks it.
fn content(slot: &mut File) -> io::Result<String> {
    let mut text = String::new();
    slot.take(u64::try_from(NAME_LENGTH).unwrap_or(u64::MAX)).read_to_string(&mut text)?;
    if text.len() < NAME_LENGTH {
        slot.set_len(0)?;
        text = random();
        slot.write_all(text.as_bytes())?;
    }
    Ok(text)
}

fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let first = hash.finalize().first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_live_workers_never_share_a_host_and_a_successor_has_that_of_its_predecessor() {
        let place = tempfile::tempdir().unwrap();
        let first = Host::of_slot(place.path()).unwrap();
        let second = Host::of_slot(place.path()).unwrap();
        assert_ne!(first.name, second.name);
        let name = first.name.clone();
        let predecessor = first.worker_id().name();
        drop(first);
        let successor = Host::of_slot(place.path()).unwrap();
        assert_eq!(successor.name, name);
        assert!(successor.worker_id().succeeds(&predecessor));
        assert!(!second.worker_id().succeeds(&predecessor));
    }

    #[test]
    fn slots_of_other_places_are_other_hosts() {
        let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [first, second] = places.each_ref().map(|place| Host::of_slot(place.path()).unwrap());
        assert_ne!(first.name, second.name);
    }

    #[test]
    fn where_nothing_can_be_locked_there_is_no_slot() {
        assert!(Host::of_slot(Path::new("/does/not/exist")).is_none());
        assert_ne!(Host::random().name, Host::random().name);
    }

    #[test]
    fn a_slot_that_was_cut_short_is_named_anew() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join(".slack-access-operator-0.slot"), "12").unwrap();
        let name = Host::of_slot(place.path()).unwrap().name.clone();
        assert_eq!(Host::of_slot(place.path()).unwrap().name, name);
    }

    #[test]
    fn a_container_that_is_started_again_is_on_the_same_host() {
        let object = |name: &str| StatusObject { namespace: "a".to_owned(), name: name.to_owned(), uid: None };
        let host = |name, pod| Host::of_pod(&object(name), pod);
        assert_eq!(host("x", "b").name, host("x", "b").name);
        assert_ne!(host("x", "b").name, host("x", "c").name);
        let me = host("x", "b").worker_id();
        assert!(me.succeeds(&host("x", "b").worker_id().name()));
        assert!(!me.is_of_another_object(&host("x", "c").worker_id().name()));
        assert!(me.is_of_another_object(&host("y", "b").worker_id().name()));
    }
}
