//! Figures of the operating system about this process and its machine, for `INFO`. The binary reads them.

use std::time::Duration;

/// Resources of the process and the machine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    /// Bytes of memory in use.
    pub resident: u64,
    /// The most that `resident` ever was.
    pub peak: u64,
    /// CPU time in user space.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Bytes of memory that the machine has.
    pub total_memory: u64,
    /// System, kernel release and architecture, such as `Linux 6.1.0 x86_64`.
    pub operating_system: &'static str,
    /// The number of the process.
    pub process_id: u32,
    /// The path of its program.
    pub executable: &'static str,
}
