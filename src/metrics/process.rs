//! Resource usage of the process, on every system that `sysinfo` supports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::family::Spec;

/// The minimum time over which a CPU percentage is computed.
const MIN_CPU_SPAN: Duration = Duration::from_secs(1);

const CPU: Spec = Spec {
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent in seconds.",
    labels: &[],
    kind: MetricType::COUNTER,
};
const RESIDENT: Spec = Spec {
    name: "process_resident_memory_bytes",
    help: "Resident memory size in bytes.",
    labels: &[],
    kind: MetricType::GAUGE,
};
const VIRTUAL: Spec = Spec {
    name: "process_virtual_memory_bytes",
    help: "Virtual memory size in bytes.",
    labels: &[],
    kind: MetricType::GAUGE,
};
const START: Spec = Spec {
    name: "process_start_time_seconds",
    help: "Start time of the process since unix epoch in seconds.",
    labels: &[],
    kind: MetricType::GAUGE,
};

/// The resource usage of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// The CPU time used since the start.
    pub cpu: Duration,
    /// The share of one core used since the last measurement, in percent; above 100 if several cores were
    /// busy.
    pub cpu_percent: f64,
    /// The start time, in seconds since 1970.
    pub started: u64,
}

/// Measures this process.
#[derive(Debug)]
pub struct Process(Mutex<State>);

#[derive(Debug)]
struct State {
    system: System,
    percent: f64,
    measured: (Instant, Duration),
}

impl Default for Process {
    fn default() -> Self {
        let state = State { system: System::new(), percent: 0.0, measured: (Instant::now(), Duration::ZERO) };
        Self(Mutex::new(state))
    }
}

impl Process {
    /// Measures the current resource usage.
    pub fn usage(&self) -> Usage {
        let mut state = self.0.lock();
        let pid = Pid::from_u32(std::process::id());
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        state.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
        let Some(process) = state.system.process(pid) else { return Usage::default() };
        let usage = Usage {
            resident_bytes: process.memory(),
            virtual_bytes: process.virtual_memory(),
            cpu: Duration::from_millis(process.accumulated_cpu_time()),
            cpu_percent: 0.0,
            started: process.start_time(),
        };
        Usage { cpu_percent: state.percent_at(Instant::now(), usage.cpu), ..usage }
    }
}

impl State {
    fn percent_at(&mut self, now: Instant, cpu: Duration) -> f64 {
        let span = now - self.measured.0;
        if span >= MIN_CPU_SPAN {
            let used = cpu.saturating_sub(self.measured.1);
            self.percent = 100.0 * used.as_secs_f64() / span.as_secs_f64();
            self.measured = (now, cpu);
        }
        self.percent
    }
}

/// Exports [`Usage`] under the names that Prometheus client libraries use.
pub(super) struct ProcessCollector {
    process: Arc<Process>,
    descs: Vec<Desc>,
}

impl ProcessCollector {
    pub(super) fn new(process: Arc<Process>) -> Self {
        Self { process, descs: [CPU, RESIDENT, VIRTUAL, START].iter().map(Spec::desc).collect() }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes and seconds are far below 2^53")]
    fn collect(&self) -> Vec<MetricFamily> {
        let usage = self.process.usage();
        vec![
            CPU.family().with(&[], usage.cpu.as_secs_f64()).build(),
            RESIDENT.family().with(&[], usage.resident_bytes as f64).build(),
            VIRTUAL.family().with(&[], usage.virtual_bytes as f64).build(),
            START.family().with(&[], usage.started as f64).build(),
        ]
    }
}
