//! What a process has used: time on a processor, and memory at its highest.
//!
//! Asked of Linux by whoever measures; elsewhere there is nothing to read and the answer is `None`. Processor time
//! is the scheduler's own count in nanoseconds, which a busy machine does not inflate as it does wall time.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// What one process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a processor, of all threads that it has or had.
    pub cpu: Duration,
    /// Resident memory at its highest, in bytes.
    pub peak: u64,
    /// Resident memory now, in bytes.
    pub resident: u64,
}

impl Usage {
    /// Of the process with this id.
    pub fn of(pid: u32) -> Option<Self> {
        let folder = Path::new("/proc").join(pid.to_string());
        let status = fs::read_to_string(folder.join("status")).ok()?;
        Some(Self {
            cpu: on_processors(pid)?,
            peak: kilobytes(&status, "VmHWM:")? * 1024,
            resident: kilobytes(&status, "VmRSS:")? * 1024,
        })
    }

    /// Time that the calling thread has spent on a processor.
    pub fn of_this_thread() -> Duration {
        let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Duration::from_nanos(on_cpu(&told))
    }

    /// Time on a processor of those children of this process's parent that have ended, as far as a count of hundredths
    /// of a second tells.
    pub fn of_ended_siblings(pid: u32) -> Option<Duration> {
        let fields = |pid: &str| {
            let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
            // What comes before is the program's name, which may hold anything.
            let (_, rest) = stat.rsplit_once(')')?;
            Some(rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        };
        let parent = fields(&pid.to_string())?;
        let parent = fields(parent.get(1)?)?;
        let ticks = |at: usize| parent.get(at)?.parse::<u64>().ok();
        Some(Duration::from_millis(10 * (ticks(13)? + ticks(14)?)))
    }

    /// Lets the peak begin anew: what is highest from now on.
    pub fn forget_peak(pid: u32) -> bool {
        fs::write(Path::new("/proc").join(pid.to_string()).join("clear_refs"), "5").is_ok()
    }
}

/// What the process's own clock says; `/proc` knows of living threads only.
#[cfg(target_os = "linux")]
fn on_processors(pid: u32) -> Option<Duration> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).ok()?);
    let clock = nix::time::clock_getcpuclockid(pid).ok()?;
    Some(nix::time::clock_gettime(clock).ok()?.into())
}

#[cfg(not(target_os = "linux"))]
fn on_processors(_pid: u32) -> Option<Duration> {
    None
}

/// The first of the scheduler's three figures.
fn on_cpu(schedstat: &str) -> u64 {
    let first = schedstat.split_whitespace().next();
    first.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn we_have_used_something_ourselves() {
        let Some(before) = Usage::of(std::process::id()) else {
            return;
        };
        assert!(
            before.peak >= before.resident && before.resident > 100_000,
            "{before:?}"
        );
        // By a thread that is no more.
        let work = || {
            let (begun, mut sum) = (Instant::now(), 0_u64);
            while begun.elapsed() < Duration::from_millis(100) {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
        };
        std::thread::spawn(work).join().unwrap();
        let after = Usage::of(std::process::id()).unwrap();
        assert!(
            after.cpu - before.cpu >= Duration::from_millis(5),
            "{before:?} {after:?}"
        );
    }

    #[test]
    fn nobody_has_used_nothing() {
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
