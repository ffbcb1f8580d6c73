//! What a process costs, as Linux counts it.

use std::{fs, io};

/// Processor time and memory of a process, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Nanoseconds on a processor, over all threads that still run.
    pub(crate) cpu_nanos: u64,
    /// KiB in memory.
    pub(crate) resident: u64,
}

impl Cost {
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let mut cpu_nanos = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            cpu_nanos += number(text.split_whitespace().next())?;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = number(line.and_then(|line| line.split_whitespace().next()))?;
        Ok(Self { cpu_nanos, resident })
    }
}

fn number(text: Option<&str>) -> io::Result<u64> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::{hint, process, time::Instant};

    use super::*;

    #[test]
    fn work_and_memory_show() {
        let before = Cost::of(process::id()).unwrap();
        assert!(before.resident > 1000, "{before:?}");
        let start = Instant::now();
        let memory = hint::black_box(vec![1_u8; 64 << 20]);
        while start.elapsed().as_millis() < 100 {
            hint::black_box(&memory);
        }
        let after = Cost::of(process::id()).unwrap();
        assert!(after.cpu_nanos > before.cpu_nanos, "{before:?} {after:?}");
        assert!(after.resident > before.resident + (32 << 10), "{before:?} {after:?}");
        drop(memory);
        assert!(Cost::of(u32::MAX).is_err());
    }
}
