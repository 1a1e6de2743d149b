//! Rendered `/metrics` pages. One task makes them, off the threads that serve requests: one at a time, for all who wait meanwhile,
//! and not more often than the share of a core allows that it may use. So a page is never older than the request for it.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// The maximum number of readers that wait for a page.
const MAX_WAITING: usize = 8_192;

/// The pause after a page, as a multiple of the time that it took to make: pages take at most a fifth of one core.
const PAUSE: u32 = 4;

/// The shortest pause, and how many bytes are sent per second on average: to send a page to many readers takes longer than to make it.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const SENT_PER_SECOND: u32 = 64 * 1024 * 1024;

/// The maximum number of pages in memory. Beyond it, the readers of the oldest one lose it: they read too slowly.
const MAX_PAGES: usize = 4;

/// How long, and how many times, a page waits until those are gone that lost an older one.
const WITHDRAWAL: Duration = Duration::from_millis(5);
const MAX_WITHDRAWALS: usize = 40;

/// Closes the connection of a reader.
pub type Closer = Box<dyn Fn() + Send + Sync>;

/// A page, shared by its readers, in the forms that they accept.
struct Rendered {
    text: Vec<u8>,
    /// Empty if no one has asked for it.
    gzip: Vec<u8>,
    /// Those that have not yet received all of it.
    readers: Mutex<Vec<Weak<Closer>>>,
}

/// The bytes of a page that a reader receives. They are dropped once they are sent.
struct Sent {
    page: Arc<Rendered>,
    is_gzip: bool,
    _closer: Option<Arc<Closer>>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        if self.is_gzip { &self.page.gzip } else { &self.page.text }
    }
}

/// A request for a page.
struct Reader {
    accepts_gzip: bool,
    closer: Option<Closer>,
    reply: oneshot::Sender<Bytes>,
}

/// Asks for pages.
#[derive(Debug, Clone)]
pub(super) struct Pages(mpsc::Sender<Reader>);

/// Makes pages.
pub struct PageMaker {
    readers: mpsc::Receiver<Reader>,
    pages: VecDeque<Weak<Rendered>>,
}

impl fmt::Debug for PageMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageMaker")
    }
}

impl Pages {
    pub(super) fn new() -> (Self, PageMaker) {
        let (sender, readers) = mpsc::channel(MAX_WAITING);
        (Self(sender), PageMaker { readers, pages: VecDeque::new() })
    }

    /// Returns a page that was made after this call, compressed if it is accepted; `None` if too many wait for one. `closer` is called
    /// if the page is not read in time.
    pub(super) async fn page(&self, accepts_gzip: bool, closer: Option<Closer>) -> Option<Bytes> {
        let (reply, page) = oneshot::channel();
        self.0.try_send(Reader { accepts_gzip, closer, reply }).ok()?;
        page.await.ok()
    }
}

impl PageMaker {
    /// Makes pages with `render` until `ending`.
    #[expect(clippy::cast_precision_loss, reason = "the bytes of a few pages are far below 2^53")]
    pub(super) async fn run(
        mut self,
        render: impl Fn() -> String + Clone + Send + 'static,
        ending: CancellationToken,
    ) {
        let make_all = async {
            while let Some(first) = self.readers.recv().await {
                let begun = Instant::now();
                let sent = self.make(first, render.clone()).await;
                let sending = Duration::from_secs(1).mul_f64(sent as f64 / f64::from(SENT_PER_SECOND));
                sleep((begun.elapsed() * PAUSE).max(MIN_PAUSE).max(sending)).await;
            }
        };
        ending.run_until_cancelled(make_all).await;
    }

    /// Makes a page for `first` and all who wait; without room for it, they get none. Returns how many bytes they are sent.
    async fn make(&mut self, first: Reader, render: impl Fn() -> String + Send + 'static) -> usize {
        let mut readers = vec![first];
        while let Ok(reader) = self.readers.try_recv() {
            readers.push(reader);
        }
        readers.retain(|reader| !reader.reply.is_closed());
        let wants_gzip = readers.iter().any(|reader| reader.accepts_gzip);
        if !self.make_room().await {
            return 0;
        }
        let rendered = spawn_blocking(move || {
            let text = render().into_bytes();
            let gzip = if wants_gzip { compress(&text) } else { Vec::new() };
            Arc::new(Rendered { text, gzip, readers: Mutex::default() })
        });
        let page = rendered.await.expect("rendering does not panic");
        self.pages.push_back(Arc::downgrade(&page));
        let mut bytes = 0;
        for Reader { accepts_gzip, closer, reply } in readers {
            let closer = closer.map(Arc::new);
            page.readers.lock().extend(closer.iter().map(Arc::downgrade));
            let sent = Sent { page: page.clone(), is_gzip: accepts_gzip, _closer: closer };
            bytes += sent.as_ref().len();
            // The reader may have gone.
            let _ = reply.send(Bytes::from_owner(sent));
        }
        bytes
    }

    /// Withdraws the oldest pages until there is room for another. Returns whether there is.
    async fn make_room(&mut self) -> bool {
        for _ in 0..MAX_WITHDRAWALS {
            self.pages.retain(|page| page.strong_count() > 0);
            if self.pages.len() < MAX_PAGES {
                return true;
            }
            if let Some(page) = self.pages.front().and_then(Weak::upgrade) {
                page.readers.lock().drain(..).filter_map(|closer| closer.upgrade()).for_each(|close| close());
            }
            sleep(WITHDRAWAL).await;
        }
        false
    }
}

/// Compresses for speed: the text is repetitive, and shrinks to a tenth all the same.
fn compress(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// Runs a maker of pages that contain their number.
    fn start() -> Pages {
        let (pages, maker) = Pages::new();
        let rendered = Arc::new(AtomicU64::new(0));
        let render = move || rendered.fetch_add(1, Ordering::Relaxed).to_string();
        #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
        tokio::spawn(maker.run(render, CancellationToken::new()));
        pages
    }

    #[tokio::test]
    async fn readers_that_wait_at_the_same_time_share_a_page() {
        let pages = start();
        let texts = join_all((0..1_000).map(|_| pages.page(false, None))).await;
        assert!(texts.iter().all(|text| text.as_deref() == Some(&b"0"[..])));
        assert_eq!(pages.page(false, None).await.unwrap(), "1", "a later reader gets a later page");
    }

    #[tokio::test]
    async fn whoever_does_not_read_loses_the_page() {
        let pages = start();
        let mut held = Vec::new();
        let closed = Arc::new(Mutex::new(Vec::new()));
        for number in 0..MAX_PAGES {
            let gone = closed.clone();
            let close: Closer = Box::new(move || gone.lock().push(number));
            held.push(pages.page(false, Some(close)).await.unwrap());
        }
        let next = pages.page(false, None);
        let dropped = async {
            while closed.lock().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
            drop(held.remove(0));
        };
        let (next, ()) = tokio::join!(next, dropped);
        assert_eq!(next.unwrap(), MAX_PAGES.to_string());
        assert_eq!(*closed.lock(), [0], "the oldest page's reader");
    }
}
