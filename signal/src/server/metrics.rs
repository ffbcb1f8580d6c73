//! What a hub has and did, for programs: JSON at `/stats`, Prometheus' text at `/metrics`.

use std::{collections::BTreeMap, fmt::Write};

use crate::{Event, Stats};

/// Counters beside those of the hub.
#[derive(Clone, Default)]
pub(super) struct Metrics {
    stats: Stats,
    forwarded: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
    closed: BTreeMap<&'static str, u64>,
}

impl Metrics {
    pub(super) fn event(&mut self, event: &Event) {
        let (counters, label) = match event {
            Event::Forwarded { kind, .. } => (&mut self.forwarded, kind.name()),
            Event::Refused { refusal, .. } => (&mut self.refused, refusal.code()),
            Event::Closed { reason, .. } => {
                (&mut self.closed, reason.map_or("client", |reason| reason.name()))
            }
            Event::Connected { .. } | Event::Registered { .. } | Event::Unregistered { .. } => {
                return;
            }
        };
        *counters.entry(label).or_default() += 1;
    }

    /// A copy with the hub's own numbers.
    pub(super) fn with(&self, stats: Stats) -> Self {
        Self { stats, ..self.clone() }
    }

    /// The first four have the names that the Go program uses.
    pub(super) fn json(&self) -> String {
        let it = &self.stats;
        let numbers = [
            ("connected_clients", it.connections as u64),
            ("messages_sent", it.messages_sent),
            ("messages_received", it.messages_received),
            ("uptime_seconds", it.uptime_micros / 1_000_000),
            ("registered_ids", it.peers as u64),
            ("rooms", it.rooms as u64),
            ("queued_bytes", it.queued_bytes as u64),
            ("connections_total", it.connected),
            ("turned_away_total", it.turned_away),
            ("bytes_sent", it.bytes_sent),
            ("bytes_received", it.bytes_received),
            ("forwarded", it.forwarded),
            ("refused", it.refused),
        ];
        let fields = numbers.map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}\n", fields.join(","))
    }

    pub(super) fn prometheus(&self) -> String {
        let it = &self.stats;
        let mut text = String::new();
        let mut one = |name: &str, kind: &str, help: &str, value: u64| {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "smoq_signal_{name} {value}");
        };
        one("connections", "gauge", "Connections now.", it.connections as u64);
        one("registered_ids", "gauge", "Registered ids now.", it.peers as u64);
        one("rooms", "gauge", "Rooms with somebody in them now.", it.rooms as u64);
        one("queued_bytes", "gauge", "Bytes that wait for clients now.", it.queued_bytes as u64);
        one("connections_total", "counter", "Connections that were let in.", it.connected);
        one("turned_away_total", "counter", "Connections that were not let in.", it.turned_away);
        one("messages_received_total", "counter", "Messages from clients.", it.messages_received);
        one("messages_sent_total", "counter", "Messages to clients.", it.messages_sent);
        one(
            "received_bytes_total",
            "counter",
            "Bytes of messages from clients.",
            it.bytes_received,
        );
        one("sent_bytes_total", "counter", "Bytes of messages to clients.", it.bytes_sent);
        let uptime = it.uptime_micros / 1_000_000;
        one("uptime_seconds", "gauge", "Seconds since the start.", uptime);
        let families = [
            ("forwarded_total", "kind", "Messages between clients, by kind.", &self.forwarded),
            ("refused_total", "code", "Requests that were not done, by code.", &self.refused),
            ("closed_total", "reason", "Connections that ended, by reason.", &self.closed),
        ];
        for (name, label, help, values) in families {
            head(&mut text, name, "counter", help);
            for (which, value) in values {
                let _ = writeln!(text, "smoq_signal_{name}{{{label}=\"{which}\"}} {value}");
            }
        }
        text
    }
}

// Writing to a string does not fail.
fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP smoq_signal_{name} {help}");
    let _ = writeln!(text, "# TYPE smoq_signal_{name} {kind}");
}
