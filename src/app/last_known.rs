//! What pages showed last, for when the store is away: figures with their time are better than none.
//!
//! Only sums are kept here, of which none is about a person.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Serialize;
use tokio::time::timeout;

use super::App;
use crate::store::StoreError;

/// The memory that it may take, in bytes.
const CAPACITY: u64 = 16 << 20;

/// The number of values that are expected.
const EXPECTED: usize = 1_000;

/// How long a page waits for a store that is slow, before it shows what is known.
const PATIENCE: Duration = Duration::from_secs(2);

/// How old it may be for that. Older figures are worth a longer wait, which ends at the store's own time limits: a store that is always slow
/// must not have the same figures shown for ever.
const YOUNG: TimeDelta = TimeDelta::minutes(10);

/// What can be kept.
pub trait Remembered: Send + Sync + 'static {
    /// Returns roughly how many bytes of memory it takes.
    fn bytes(&self) -> usize;
}

/// What a value is of. It has the only business that the reader may see, so that nobody is shown what was computed for others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    own: Option<String>,
    what: String,
}

impl Key {
    /// Returns the key of `what`, as seen by a reader who may see only `own`, or all if that is `None`. Periods are named as requests name
    /// them: those that end today are known on the next day too.
    pub fn new(own: Option<&str>, what: &impl Serialize) -> Self {
        let what = serde_json::to_string(what).unwrap_or_default();
        Self { own: own.map(ToOwned::to_owned), what }
    }
}

/// A value, and when it was computed.
#[derive(Debug)]
pub struct Shown<T> {
    /// The value.
    pub value: Arc<T>,
    /// When it was computed.
    pub as_of: DateTime<Utc>,
    /// Whether it is the last known one, because the store is away.
    pub is_stale: bool,
}

#[derive(Clone)]
struct Known {
    value: Arc<dyn Any + Send + Sync>,
    as_of: DateTime<Utc>,
    bytes: usize,
}

#[derive(Clone)]
struct Weight;

impl Weighter<(TypeId, Key), Known> for Weight {
    fn weight(&self, (_, key): &(TypeId, Key), known: &Known) -> u64 {
        let texts = key.what.len() + key.own.as_ref().map_or(0, String::len);
        (size_of::<(TypeId, Key)>() + size_of::<Known>() + texts + known.bytes) as u64
    }
}

/// What pages showed last.
pub struct LastKnown(Cache<(TypeId, Key), Known, Weight>);

impl LastKnown {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(EXPECTED, CAPACITY, Weight))
    }

    fn get<T: Remembered>(&self, key: &Key) -> Option<(Arc<T>, DateTime<Utc>)> {
        let known = self.0.get(&(TypeId::of::<T>(), key.clone()))?;
        Some((known.value.downcast().ok()?, known.as_of))
    }

    fn put<T: Remembered>(&self, key: Key, value: Arc<T>, as_of: DateTime<Utc>) {
        let bytes = size_of::<T>() + value.bytes();
        self.0.insert((TypeId::of::<T>(), key), Known { value, as_of, bytes });
    }
}

impl Default for LastKnown {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LastKnown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastKnown")
    }
}

/// Computes what a page shows; while the store is away, returns what it showed last, if anything.
///
/// # Errors
///
/// Fails like `compute` if nothing is known, or if the store is there.
pub async fn shown<T: Remembered>(
    app: &App,
    key: Key,
    compute: impl AsyncFnOnce() -> Result<T, StoreError>,
) -> Result<Shown<T>, StoreError> {
    let now = app.clock.now();
    let known = app.last_known.get::<T>(&key);
    let is_young = known.as_ref().is_some_and(|(_, as_of)| now - *as_of < YOUNG);
    let computed = match is_young {
        true => timeout(PATIENCE, compute()).await.unwrap_or(Err(StoreError::TimedOut)),
        false => compute().await,
    };
    match (computed, known) {
        (Ok(value), _) => {
            let value = Arc::new(value);
            app.last_known.put(key, value.clone(), now);
            Ok(Shown { value, as_of: now, is_stale: false })
        }
        (Err(error), Some((value, as_of))) if error.is_away() => {
            tracing::warn!("a page shows the last known figures: {error}");
            Ok(Shown { value, as_of, is_stale: true })
        }
        (Err(error), _) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Remembered for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    impl Remembered for String {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn what_is_known_is_for_the_same_reader_the_same_thing_and_the_same_type() {
        let (known, at) = (LastKnown::default(), DateTime::<Utc>::default());
        known.put(Key::new(Some("acme"), &"list"), Arc::new("sums".to_owned()), at);
        let found = |own, what| known.get::<String>(&Key::new(own, &what)).map(|(value, _)| value);
        assert_eq!(found(Some("acme"), "list").as_deref().map(String::as_str), Some("sums"));
        for (own, what) in [(None, "list"), (Some("bolt"), "list"), (Some("acme"), "month")] {
            assert_eq!(found(own, what), None, "{own:?} {what}");
        }
        assert!(known.get::<Vec<u8>>(&Key::new(Some("acme"), &"list")).is_none());
    }

    #[test]
    fn the_memory_is_bounded() {
        let known = LastKnown::default();
        for n in 0..200 {
            known.put(Key::new(None, &n), Arc::new(vec![0_u8; 200_000]), DateTime::default());
        }
        assert!(known.0.weight() <= CAPACITY && !known.0.is_empty());
    }
}
