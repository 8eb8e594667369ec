//! What the kernel says about this process, read from /proc at each scrape. Where there is no
//! /proc, nothing is reported.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};

use super::declare::{Declare, literal};

/// The process metrics, by Prometheus' customary names.
#[derive(Clone)]
pub(super) struct Process {
    cpu: Counter,
    resident: Gauge,
    open_files: Gauge,
    threads: Gauge,
    start: Gauge,
}

impl Process {
    pub(super) fn new(declare: &mut Declare) -> Self {
        let mut gauge = |name: &str, help: &str| {
            declare.note(name, "gauge", &[]);
            literal(Gauge::with_opts(Opts::new(name, help)))
        };
        let process = Self {
            resident: gauge("process_resident_memory_bytes", "Resident memory."),
            open_files: gauge("process_open_fds", "Open file descriptors."),
            threads: gauge("process_threads", "Threads."),
            start: gauge("process_start_time_seconds", "When the process started."),
            cpu: literal(Counter::with_opts(Opts::new(
                "process_cpu_seconds_total",
                "User and system CPU time spent.",
            ))),
        };
        declare.note("process_cpu_seconds_total", "counter", &[]);
        process
    }

    fn read(&self) {
        if let Some(stat) = read("/proc/self/stat").as_deref().and_then(Stat::parse) {
            self.cpu.inc_by((stat.cpu - self.cpu.get()).max(0.0));
            self.threads.set(stat.threads);
            if let Some(boot) = read("/proc/stat").as_deref().and_then(boot_time) {
                self.start.set(boot + stat.start);
            }
        }
        if let Some(bytes) = read("/proc/self/status").as_deref().and_then(resident) {
            self.resident.set(bytes);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            self.open_files.set(files.count().saturating_sub(1) as f64);
        }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [&self.resident, &self.open_files, &self.threads, &self.start];
        let mut desc = self.cpu.desc();
        desc.extend(gauges.into_iter().flat_map(Collector::desc));
        desc
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        let gauges = [&self.resident, &self.open_files, &self.threads, &self.start];
        let mut families = self.cpu.collect();
        families.extend(gauges.into_iter().flat_map(Collector::collect));
        families
    }
}

/// The parts of `/proc/self/stat` we report.
#[derive(Debug, PartialEq)]
struct Stat {
    /// Seconds, user and system.
    cpu: f64,
    threads: f64,
    /// Seconds after boot.
    start: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // the command stands in brackets and may hold spaces and brackets; what follows does not
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // `fields` begins with field 3 of the manual page
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            threads: field(20)?,
            start: field(22)? / TICKS_PER_SECOND,
        })
    }
}

/// `btime` of /proc/stat.
fn boot_time(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// `VmRSS` of /proc/self/status, in bytes.
fn resident(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[expect(
    clippy::disallowed_methods,
    reason = "/proc is the kernel's memory: reading it waits for no disk"
)]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `USER_HZ`, which is 100 on every Linux that /proc speaks for.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read_as_the_manual_says() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 7 0 9000 1 2 3";
        assert_eq!(
            Stat::parse(stat),
            Some(Stat {
                cpu: 2.0,
                threads: 7.0,
                start: 90.0
            })
        );
        assert_eq!(Stat::parse("42 (a) S"), None);
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_000.0)
        );
        assert_eq!(
            resident("Name:\tx\nVmRSS:\t    2048 kB\n"),
            Some(2_097_152.0)
        );
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
