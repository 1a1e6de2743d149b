//! The pages that Prometheus reads: one is rendered for all who ask at the same time, and few are held at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// Pages that may be held at the same time. A reader takes its page in within milliseconds; one that does not must not
/// fill the memory.
const MAX_PAGES: usize = 16;

/// A page, which its holders share. It counts as held until the last of them is done with it.
#[derive(Debug, Clone)]
pub struct MetricsPage(Arc<Rendered>);

#[derive(Debug)]
struct Rendered {
    text: String,
    number: u64,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for MetricsPage {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

/// Gives pages out.
#[derive(Debug)]
pub(super) struct PageCache {
    /// The number of the last page that was begun.
    begun: AtomicU64,
    last: Mutex<Option<MetricsPage>>,
    places: Arc<Semaphore>,
}

impl Default for PageCache {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(MAX_PAGES));
        Self { begun: AtomicU64::default(), last: Mutex::default(), places }
    }
}

impl PageCache {
    /// A page that was begun after it was asked for, so that nothing is missing that happened before; `None` while too
    /// many are held.
    pub(super) async fn page(&self, render: impl FnOnce() -> String) -> Option<MetricsPage> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.as_ref().is_some_and(|page| page.0.number > begun) {
            return last.clone();
        }
        *last = None;
        let place = self.places.clone().try_acquire_owned().ok()?;
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        *last = Some(MetricsPage(Arc::new(Rendered { text: render(), number, _place: place })));
        last.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_while_a_page_is_rendered_share_the_next_one() {
        let (pages, rendered) = (PageCache::default(), AtomicU64::new(0));
        let ask = || pages.page(|| rendered.fetch_add(1, Ordering::Relaxed).to_string());
        let rendering = pages.last.lock().await;
        let mut asking = (0..1_000).map(|_| Box::pin(ask())).collect::<Vec<_>>();
        assert!(asking.iter_mut().all(|page| page.now_or_never().is_none()));
        drop(rendering);
        let texts = join_all(asking).await.into_iter().map(|page| page.unwrap().as_ref().to_vec());
        assert!(texts.eq((0..1_000).map(|_| b"0")));
        assert_eq!(ask().await.unwrap().as_ref(), b"1", "who asks later gets a later one");
    }
}
