//! What came of it, for people and for programs.

use std::{fmt, time::Duration};

use super::{cost::Cost, shape::Shape};

/// One run.
pub(super) struct Report {
    pub(super) url: String,
    pub(super) version: String,
    pub(super) shape: Shape,
    pub(super) subscribers: usize,
    pub(super) duration: Duration,
    /// Frames that all subscribers together should have got, and did get.
    pub(super) expected: u64,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Microseconds, sorted.
    pub(super) latencies: Vec<u32>,
    /// From dialing to the first frame, or to the session if nothing flows; sorted.
    pub(super) joins: Vec<Duration>,
    /// From the first dialing to the last session.
    pub(super) connecting: Duration,
    /// What the server cost, if it could be watched.
    pub(super) server: Option<ServerCost>,
    /// Nanoseconds on a processor of the load itself.
    pub(super) load_nanos: u64,
}

/// Of the server: before anybody was there, at the begin and at the end.
#[derive(Clone, Copy)]
pub(super) struct ServerCost {
    pub(super) before: Cost,
    pub(super) start: Cost,
    pub(super) end: Cost,
}

impl ServerCost {
    fn cpu_seconds(&self) -> f64 {
        self.end.cpu_nanos.saturating_sub(self.start.cpu_nanos) as f64 / 1e9
    }

    /// KiB for each subscriber.
    fn resident(&self, subscribers: usize) -> f64 {
        self.end.resident.saturating_sub(self.before.resident) as f64 / subscribers.max(1) as f64
    }
}

/// The value below which `share` of a sorted list lies.
fn quantile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

impl Report {
    fn delivered(&self) -> f64 {
        if self.expected == 0 { 1.0 } else { self.frames as f64 / self.expected as f64 }
    }

    fn latency(&self, share: f64) -> f64 {
        f64::from(quantile(&self.latencies, share)) / 1e3
    }

    fn join(&self, share: f64) -> f64 {
        quantile(&self.joins, share).as_secs_f64() * 1e3
    }

    fn sessions_per_second(&self) -> f64 {
        self.subscribers as f64 / self.connecting.as_secs_f64().max(1e-9)
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        let mut text = format!(
            r#"{{"shape":"{}","version":"{}","subscribers":{},"seconds":{},"expected":{},"frames":{},"bytes":{},"latency_ms":{{"p50":{:.3},"p99":{:.3},"p999":{:.3},"max":{:.3}}},"join_ms":{{"p50":{:.1},"p99":{:.1}}},"sessions_per_second":{:.1},"load_cpu_seconds":{:.3}"#,
            self.shape.name(),
            self.version,
            self.subscribers,
            self.duration.as_secs_f64(),
            self.expected,
            self.frames,
            self.bytes,
            self.latency(0.5),
            self.latency(0.99),
            self.latency(0.999),
            self.latency(1.0),
            self.join(0.5),
            self.join(0.99),
            self.sessions_per_second(),
            self.load_nanos as f64 / 1e9,
        );
        if let Some(server) = &self.server {
            text += &format!(
                r#","server":{{"cpu_seconds":{:.4},"resident_kib":{},"resident_kib_before":{}}}"#,
                server.cpu_seconds(),
                server.end.resident,
                server.before.resident,
            );
        }
        text + "}"
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {} subscribers of {} ({}), {:.0} s",
            self.shape.name(),
            self.subscribers,
            self.url,
            self.version,
            self.duration.as_secs_f64()
        )?;
        writeln!(
            f,
            "sessions    {:.0} a second; to the first frame {:.1} ms, 99 % {:.1} ms",
            self.sessions_per_second(),
            self.join(0.5),
            self.join(0.99)
        )?;
        if self.expected > 0 {
            writeln!(
                f,
                "delivered   {:.3} %, {} frames, {:.1} Mbit/s",
                self.delivered() * 100.0,
                self.frames,
                self.bytes as f64 * 8e-6 / self.duration.as_secs_f64()
            )?;
            writeln!(
                f,
                "latency     {:.2} ms, 99 % {:.2} ms, 99.9 % {:.2} ms, at most {:.2} ms",
                self.latency(0.5),
                self.latency(0.99),
                self.latency(0.999),
                self.latency(1.0)
            )?;
        }
        if let Some(server) = &self.server {
            let cpu = server.cpu_seconds();
            write!(f, "server      {:.1} % of a core", cpu / self.duration.as_secs_f64() * 100.0)?;
            if self.frames > 0 {
                write!(
                    f,
                    ", {:.2} s per GB, {:.2} s per million frames",
                    cpu / (self.bytes as f64 / 1e9),
                    cpu / (self.frames as f64 / 1e6)
                )?;
            }
            writeln!(
                f,
                "; {} KiB, {:.1} KiB for each subscriber",
                server.end.resident,
                server.resident(self.subscribers)
            )?;
        }
        let load = self.load_nanos as f64 / 1e7 / self.duration.as_secs_f64();
        write!(f, "this load   {load:.1} % of a core")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let cost = |cpu_nanos, resident| Cost { cpu_nanos, resident };
        Report {
            url: "moqt://localhost:4443".into(),
            version: "moq-lite-06".into(),
            shape: Shape::Video,
            subscribers: 10,
            duration: Duration::from_secs(2),
            expected: 600,
            frames: 300,
            bytes: 1_000_000_000,
            latencies: (1..=1000).map(|ms| ms * 1000).collect(),
            joins: vec![Duration::from_millis(5); 10],
            connecting: Duration::from_secs(1),
            server: Some(ServerCost {
                before: cost(0, 1000),
                start: cost(0, 2000),
                end: cost(3_000_000_000, 2000),
            }),
            load_nanos: 1_000_000_000,
        }
    }

    #[test]
    fn people_see_what_they_asked_for() {
        let text = report().to_string();
        for part in [
            "video, 10 subscribers of moqt://localhost:4443 (moq-lite-06), 2 s",
            "50.000 %, 300 frames, 4000.0 Mbit/s",
            "150.0 % of a core, 3.00 s per GB, 10000.00 s per million frames; 2000 KiB, 100.0 KiB",
            "501.00 ms, 99 % 990.00 ms, 99.9 % 999.00 ms, at most 1000.00 ms",
            "this load   50.0 % of a core",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn programs_see_numbers() {
        let json = report().json();
        for part in [
            r#"{"shape":"video","version":"moq-lite-06","subscribers":10,"seconds":2,"expected":600,"#,
            r#""latency_ms":{"p50":501.000,"p99":990.000,"p999":999.000,"max":1000.000}"#,
            r#""server":{"cpu_seconds":3.0000,"resident_kib":2000,"resident_kib_before":1000}}"#,
        ] {
            assert!(json.contains(part), "{part} is not in {json}");
        }
        assert_eq!(Report { server: None, ..report() }.json().matches("server").count(), 0);
    }
}
