//! The life of the process: its tasks, and how it comes to an end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(unix)]
use tokio::signal::unix;
#[cfg(windows)]
use tokio::signal::windows;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Tracks every task. When one ends by itself, the process stops as a failure: it cannot do its work without it.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stopping: CancellationToken,
    ending: CancellationToken,
    failed: Arc<AtomicBool>,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Runs `task`, which is to end only after [`Lifecycle::stopping`] or [`Lifecycle::ending`] is cancelled.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let ended = Ended { name, lifecycle: self.clone(), stop: self.stopping.clone().drop_guard() };
        self.tasks.spawn(async move {
            let _ended = ended;
            task.await;
        });
    }

    /// Cancelled when the process begins to stop: no new requests are taken.
    #[must_use]
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Cancelled when the last request was answered: what is queued is finished.
    #[must_use]
    pub const fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// Begins to stop.
    pub fn begin_stop(&self) {
        self.stopping.cancel();
    }

    /// Waits until every task has ended, which they do now.
    pub async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether a task ended by itself.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Dropped with its task, also when that panics.
struct Ended {
    name: &'static str,
    lifecycle: Lifecycle,
    #[expect(dead_code, reason = "stops the process when it is dropped")]
    stop: DropGuard,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if !self.lifecycle.stopping.is_cancelled() {
            self.lifecycle.failed.store(true, Ordering::Relaxed);
            tracing::error!(task = self.name, "the {} task ended by itself; the service stops", self.name);
        }
    }
}

/// The signals to stop, SIGTERM and Ctrl-C. Once this is made, none is lost, and none ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: unix::Signal,
    #[cfg(unix)]
    terminate: unix::Signal,
    #[cfg(windows)]
    interrupt: windows::CtrlC,
}

impl Signals {
    /// Begins to listen for them.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: unix::signal(unix::SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: unix::signal(unix::SignalKind::terminate())?,
            #[cfg(windows)]
            interrupt: windows::ctrl_c()?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(windows)]
        self.interrupt.recv().await;
    }
}
