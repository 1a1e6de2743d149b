//! The tasks of the process, its stop signals and its shutdown.

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

/// Tracks every task. When one ends unexpectedly, the process shuts down with a failure.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stopping: CancellationToken,
    ending: CancellationToken,
    failed: Arc<AtomicBool>,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Spawns `task`, which must not end before [`Lifecycle::stopping`] or [`Lifecycle::ending`] is
    /// cancelled.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let ended = Ended { name, lifecycle: self.clone(), stop: self.stopping.clone().drop_guard() };
        self.tasks.spawn(async move {
            let _ended = ended;
            task.await;
        });
    }

    /// Returns the token that is cancelled when the shutdown begins: no new requests are accepted.
    #[must_use]
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Returns the token that is cancelled after the last response: queued work is finished.
    #[must_use]
    pub const fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// Begins the shutdown.
    pub fn begin_stop(&self) {
        self.stopping.cancel();
    }

    /// Cancels [`Lifecycle::ending`] and waits until every task has ended.
    pub async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Returns whether a task ended unexpectedly.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// A guard that is dropped when its task ends, even by a panic.
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
            tracing::error!(task = self.name, "the {} task ended unexpectedly; shutting down", self.name);
        }
    }
}

/// The stop signals, SIGTERM and Ctrl-C. While this exists, none is lost, and none kills the process; nor do SIGHUP (the terminal
/// is gone, or a reload is asked for), SIGUSR1 and SIGUSR2.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: unix::Signal,
    #[cfg(unix)]
    terminate: unix::Signal,
    /// Signals that would end the process if nothing listened for them, and that do nothing here.
    #[cfg(unix)]
    _ignored: [unix::Signal; 3],
    #[cfg(windows)]
    interrupt: windows::CtrlC,
}

impl Signals {
    /// Installs the signal handlers.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: unix::signal(unix::SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: unix::signal(unix::SignalKind::terminate())?,
            #[cfg(unix)]
            _ignored: [
                unix::signal(unix::SignalKind::hangup())?,
                unix::signal(unix::SignalKind::user_defined1())?,
                unix::signal(unix::SignalKind::user_defined2())?,
            ],
            #[cfg(windows)]
            interrupt: windows::ctrl_c()?,
        })
    }

    /// Waits for the next signal.
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
