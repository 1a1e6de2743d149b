//! Rendered `/metrics` pages, shared by concurrent readers and bounded in number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// The maximum number of pages in memory. Readers usually receive their page within milliseconds; slow ones
/// must not fill the memory.
const MAX_PAGES: usize = 16;

/// A page, shared by its readers. It counts towards the maximum until the last of them drops it.
#[derive(Debug, Clone)]
pub struct MetricsPage(Arc<Rendered>);

#[derive(Debug)]
struct Rendered {
    text: String,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for MetricsPage {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

/// Renders and shares pages.
#[derive(Debug)]
pub(super) struct PageCache {
    /// The number of the last page whose rendering began.
    begun: AtomicU64,
    last: Mutex<Option<MetricsPage>>,
    permits: Arc<Semaphore>,
}

impl Default for PageCache {
    fn default() -> Self {
        let permits = Arc::new(Semaphore::new(MAX_PAGES));
        Self { begun: AtomicU64::default(), last: Mutex::default(), permits }
    }
}

impl PageCache {
    /// Returns a page whose rendering began after this call, so that it includes everything that happened
    /// before; `None` if the maximum is reached.
    pub(super) async fn page(&self, render: impl FnOnce() -> String) -> Option<MetricsPage> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.as_ref().is_some_and(|page| page.0.number > begun) {
            return last.clone();
        }
        *last = None;
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        *last = Some(MetricsPage(Arc::new(Rendered { text: render(), number, _permit: permit })));
        last.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn readers_that_arrive_during_rendering_share_the_next_page() {
        let (pages, rendered) = (PageCache::default(), AtomicU64::new(0));
        let ask = || pages.page(|| rendered.fetch_add(1, Ordering::Relaxed).to_string());
        let rendering = pages.last.lock().await;
        let mut asking = (0..1_000).map(|_| Box::pin(ask())).collect::<Vec<_>>();
        assert!(asking.iter_mut().all(|page| page.now_or_never().is_none()));
        drop(rendering);
        let texts = join_all(asking).await.into_iter().map(|page| page.unwrap().as_ref().to_vec());
        assert!(texts.eq((0..1_000).map(|_| b"0")));
        assert_eq!(ask().await.unwrap().as_ref(), b"1", "a later reader gets a later page");
    }
}
