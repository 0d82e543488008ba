//! Reads what the operating system knows about this process and its machine: memory and CPU time from `/proc`. Where
//! there is no `/proc`, the figures are 0.

use std::sync::OnceLock;
use std::time::Duration;

use slotmux_core::answer::process::ProcessUsage;

/// Clock ticks in `/proc/self/stat`: 100 a second on every platform that Rust supports Linux on.
const TICK: Duration = Duration::from_millis(10);

/// The present resource usage of the process. Reads two small files.
pub fn usage() -> ProcessUsage {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let (user, system) = std::fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| cpu_times(&stat))
        .unwrap_or_default();
    ProcessUsage {
        resident: kilobytes(&status, "VmRSS").unwrap_or(0),
        peak: kilobytes(&status, "VmHWM").unwrap_or(0),
        user,
        system,
        total_memory: total_memory(),
        operating_system: operating_system(),
        process_id: std::process::id(),
        executable: executable(),
    }
}

/// System, kernel release and architecture, such as `Linux 6.1.0 x86_64`.
fn operating_system() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let part = |file: &str, or: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/kernel/{file}"));
            text.map_or_else(|_| or.to_owned(), |text| text.trim().to_owned())
        };
        let (system, release) = (part("ostype", std::env::consts::OS), part("osrelease", "-"));
        format!("{system} {release} {}", std::env::consts::ARCH)
    })
}

/// The path of this program.
fn executable() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = std::env::current_exe().unwrap_or_default();
        path.to_string_lossy().into_owned()
    })
}

/// Bytes of memory that the machine has.
fn total_memory() -> u64 {
    static TOTAL: OnceLock<u64> = OnceLock::new();
    *TOTAL.get_or_init(|| {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        kilobytes(&meminfo, "MemTotal").unwrap_or(0)
    })
}

/// Bytes of a field such as `VmRSS:   123 kB`.
fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find(|line| {
        let rest = line.strip_prefix(field);
        rest.is_some_and(|rest| rest.starts_with(':'))
    })?;
    let number = line.split_ascii_whitespace().nth(1)?;
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// User and system time from `/proc/self/stat`, whose second field is a name in parentheses that may hold anything.
fn cpu_times(stat: &str) -> Option<(Duration, Duration)> {
    let (_, fields) = stat.rsplit_once(')')?;
    // The first field here is the third of the file; the times are the 14th and the 15th.
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut next = || TICK.checked_mul(times.next()?.parse().ok()?);
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_status() {
        let text = "Name:\tVmRSS: 7 kB\nVmRSSx:\t 5 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10 kB\n";
        assert_eq!(kilobytes(text, "VmRSS"), Some(10 * 1024));
        assert_eq!(kilobytes(text, "VmHWM"), Some(20480 * 1024));
        assert_eq!(kilobytes(text, "VmSwap"), None);
        assert_eq!(kilobytes("VmRSS: much\n", "VmRSS"), None);
    }

    #[test]
    fn times_stand_behind_a_name_that_may_hold_anything() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 7 0 0 20 0";
        let times = (Duration::from_millis(1500), Duration::from_millis(70));
        assert_eq!(cpu_times(stat), Some(times));
        assert_eq!(cpu_times("42 (a) S 1 2"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory() {
        let usage = usage();
        assert!(
            usage.resident > 0 && usage.peak >= usage.resident,
            "{usage:?}"
        );
        assert!(usage.total_memory > usage.resident);
        assert!(usage.operating_system.starts_with("Linux "));
    }
}
