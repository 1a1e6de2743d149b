//! Logging, and the banner printed at start.

use std::io::{self, IsTerminal, Write, stderr};
use std::panic::PanicHookInfo;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::fmt;

use crate::config::{Config, LogFormat, Mode};
use crate::metrics::LOST_LINES;
use crate::retention::Policy;

/// How many lines wait while standard error is slow. More are lost.
const MAX_WAITING: usize = 4_096;

/// Sets up logging to standard error in the configured format, including that of panics. A line that cannot be written is
/// lost and counted; a reader that stalls blocks only the thread that writes the log. Waiting lines are written when the guard is
/// dropped.
pub fn init(config: &Config) -> WorkerGuard {
    // The filter was validated with the other settings.
    let filter = EnvFilter::builder().parse_lossy(&config.rust_log);
    let lines = NonBlockingBuilder::default().buffered_lines_limit(MAX_WAITING).thread_name("log");
    let (writer, guard) = lines.finish(LogOutput);
    LOST_LINES.watch(writer.error_counter());
    let logs = fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    match config.log_format() {
        LogFormat::Text => logs.with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().flatten_event(true).with_span_list(false).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    guard
}

/// Standard error, where a line that cannot be written is counted. Every call writes one line.
struct LogOutput;

impl Write for LogOutput {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if stderr().write_all(line).is_err() {
            LOST_LINES.count();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs the location of a panic. Its message is left out: it may quote what a caller sent.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panicked at {place}");
}

/// Returns the banner, which is printed to standard output before the first request is served.
#[must_use]
pub fn banner(config: &Config, store_place: &str, port: u16) -> String {
    let security = match config.authenticates() {
        true => "🔐 Security: API Key Authentication ENABLED",
        false => "⚠️  Security: API Key Authentication DISABLED (Development Mode)",
    };
    let limits = match (config.limits(), config.rate_limit_mode) {
        (false, _) => "DISABLED",
        (true, Mode::Enforce) => "ENABLED",
        (true, Mode::Shadow) => "SHADOW (counted, not enforced)",
    };
    let retention = format!(
        "{}; every day at {} ({})",
        Policy::of(config).summary(),
        config.retention_at.0.format("%H:%M"),
        config.time_zone
    );
    let host = config.host();
    let url = match host.is_loopback() || host.is_unspecified() {
        true => format!("http://localhost:{port}/"),
        false if host.is_ipv6() => format!("http://[{host}]:{port}/"),
        false => format!("http://{host}:{port}/"),
    };
    format!(
        "{security}\n🚦 Rate Limiting: {limits}\n💾 Database: {store_place}\n🧹 Retention: {retention}\n🌐 {url}"
    )
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, set_hook, take_hook};
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_panic_is_logged_with_its_location_and_without_its_message() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = fmt().json().with_writer(Mutex::new(log.reopen().unwrap())).finish();
        let usual = take_hook();
        set_hook(Box::new(log_panic));
        tracing::subscriber::with_default(subscriber, || {
            catch_unwind(|| panic!("it quotes a caller")).unwrap_err();
        });
        set_hook(usual);
        let line = std::fs::read_to_string(log.path()).unwrap();
        assert!(line.contains("panicked at src/telemetry.rs:"), "{line}");
        assert!(!line.contains("quotes a caller"), "{line}");
    }
}
