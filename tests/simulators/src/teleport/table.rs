//! Rows that remember for a while what they were, so that a read can be answered from an older state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long former values are kept.
const MEMORY: Duration = Duration::from_mins(1);
/// Rows that are gone are swept out after this many removals.
const SWEEP_AFTER: u32 = 1024;

struct Version<T> {
    since: Instant,
    value: Option<Arc<T>>,
}

/// A table of resources by name.
pub(crate) struct Table<T> {
    rows: BTreeMap<String, Vec<Version<T>>>,
    removals: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), removals: 0 }
    }
}

impl<T> Table<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.rows.get(name)?.last()?.value.as_ref()
    }

    pub(crate) fn put(&mut self, name: &str, value: T) {
        self.write(name, Some(Arc::new(value)));
    }

    /// Removes a row; false when there is none.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        if self.get(name).is_none() {
            return false;
        }
        self.write(name, None);
        self.removals += 1;
        if self.removals.is_multiple_of(SWEEP_AFTER) {
            self.rows.retain(|_, versions| {
                versions.last().is_some_and(|last| last.value.is_some() || last.since.elapsed() < MEMORY)
            });
        }
        true
    }

    /// All rows as they were at `moment`; as they are, without one. Ordered by name.
    pub(crate) fn rows(&self, moment: Option<Instant>) -> impl Iterator<Item = (&str, &Arc<T>)> {
        self.rows.iter().filter_map(move |(name, versions)| Some((name.as_str(), pick(versions, moment)?)))
    }

    /// One row as it was at `moment`.
    pub(crate) fn get_at(&self, name: &str, moment: Option<Instant>) -> Option<&Arc<T>> {
        pick(self.rows.get(name)?, moment)
    }

    fn write(&mut self, name: &str, value: Option<Arc<T>>) {
        let versions = self.rows.entry(name.to_owned()).or_default();
        let now = Instant::now();
        let old = versions.partition_point(|version| now.duration_since(version.since) > MEMORY);
        // The newest of the old ones is still what a read from a minute ago sees.
        versions.drain(..old.saturating_sub(1));
        versions.push(Version { since: now, value });
    }
}

fn pick<T>(versions: &[Version<T>], moment: Option<Instant>) -> Option<&Arc<T>> {
    let end = moment.map_or(versions.len(), |moment| versions.partition_point(|version| version.since <= moment));
    versions.get(end.checked_sub(1)?)?.value.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_from_before_a_write_sees_what_was_there() {
        let mut table = Table::default();
        table.put("a", 1);
        let then = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        table.put("a", 2);
        table.put("b", 3);
        assert_eq!(table.get_at("a", Some(then)).map(|value| **value), Some(1));
        assert_eq!(table.get_at("b", Some(then)), None);
        assert_eq!(table.rows(None).map(|(_, value)| **value).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_removed_row_is_gone_now_but_not_then() {
        let mut table = Table::default();
        table.put("a", 1);
        let then = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(table.remove("a"));
        assert!(!table.remove("a"));
        assert_eq!(table.get("a"), None);
        assert!(table.get_at("a", Some(then)).is_some());
    }
}
