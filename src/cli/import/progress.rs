//! How far an import is: a bar on a terminal, else a line every few seconds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::cli::output::print_error;
use crate::import::Progress;

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Shows progress on standard error.
pub(super) struct ProgressBarOrLines {
    /// The bar; `None` without a terminal.
    bar: Option<ProgressBar>,
    /// The size of the input, in rows or bytes; `None` if it is unknown.
    size: Option<u64>,
    /// Whether the size is in rows.
    of_rows: bool,
    begun: Instant,
    last_line: Mutex<Instant>,
}

impl ProgressBarOrLines {
    pub(super) fn new(size: Option<u64>, of_rows: bool) -> Self {
        let begun = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| bar(size));
        Self { bar, size, of_rows, begun, last_line: Mutex::new(begun) }
    }

    pub(super) fn show(&self, progress: Progress) {
        let position = if self.of_rows { progress.tally.read } else { progress.position };
        let text = self.text(&progress, position);
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(text);
            return;
        }
        let mut last = self.last_line.lock();
        if last.elapsed() >= EVERY {
            *last = Instant::now();
            print_error(text);
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn text(&self, Progress { tally, is_digesting, .. }: &Progress, position: u64) -> String {
        let rows = HumanCount(tally.read);
        if *is_digesting {
            return format!("{rows} rows; building facts about conversations");
        }
        let elapsed = self.begun.elapsed();
        let rate = tally.read * 1_000 / u64::try_from(elapsed.as_millis()).unwrap_or(1).max(1);
        let left = match self.size.filter(|size| position > 0 && *size >= position) {
            Some(size) => format!(", {} left", HumanDuration(left(elapsed, position, size))),
            None => String::new(),
        };
        let refused = HumanCount(tally.refused);
        format!("{rows} rows, {refused} refused, {} a second{left}", HumanCount(rate))
    }
}

/// Returns how long the rest takes at the speed so far.
fn left(elapsed: Duration, position: u64, size: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let ratio = (size - position) as f64 / position as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * ratio).unwrap_or_default()
}

fn bar(size: Option<u64>) -> ProgressBar {
    let bar = match size {
        Some(size) => ProgressBar::new(size),
        None => ProgressBar::new_spinner(),
    };
    let template = if size.is_some() { "{wide_bar} {percent} % {msg}" } else { "{spinner} {msg}" };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is valid"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Tally;

    #[test]
    fn the_line_tells_rows_rate_and_the_time_left() {
        let begun = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let shown = |size, is_digesting| {
            let lines =
                ProgressBarOrLines { bar: None, size, of_rows: false, begun, last_line: Mutex::new(begun) };
            let tally = Tally { read: 500_000, refused: 2, ..Tally::default() };
            lines.text(&Progress { tally, position: 250, is_digesting }, 250)
        };
        let text = shown(Some(1_000), false);
        assert!(
            text.starts_with("500,000 rows, 2 refused, 49,") || text.contains(" 50,000 a second"),
            "{text}"
        );
        assert!(text.ends_with(", 30 seconds left"), "{text}");
        assert!(shown(None, false).ends_with(" a second"), "what has no known size has no end");
        assert!(shown(Some(1_000), true).contains("building facts"));
    }
}
