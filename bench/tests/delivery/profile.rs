//! Who allocates.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use serde_json::Value;

/// The function below which the relay does its work.
const RELAY: &str = "delivery::world::relay";

/// Crates that answer for what is allocated on their behalf, by a collection say.
const ANSWERABLE: [&str; 4] = [OURS, THEIRS, "rustls::", "ring::"];

/// How the names of our crates begin, and that of the one which carries them.
pub(crate) const OURS: &str = "smoq_";
pub(crate) const THEIRS: &str = "quinn_proto::";

/// Allocations of the relay, growth included, by the function that answers for them.
pub(crate) struct Profile(BTreeMap<String, u64>);

impl Profile {
    /// What is allocated while `work` runs.
    pub(crate) fn during(work: impl FnOnce()) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("delivery.json");
        let profiler = dhat::Profiler::builder().trim_backtraces(None).file_name(&file).build();
        work();
        drop(profiler);
        let text = fs::read_to_string(file).expect("the file of the profiler");
        let profile: Value = serde_json::from_str(&text).expect("JSON");
        let names: Vec<_> =
            array(&profile["ftbl"]).iter().map(|frame| function(text_of(frame))).collect();
        let mut functions = BTreeMap::new();
        for point in array(&profile["pps"]) {
            let stack = array(&point["fs"]).iter();
            let mut stack: Vec<_> =
                stack.map(|at| names[at.as_u64().expect("a number") as usize]).collect();
            let Some(top) = stack.iter().position(|name| name.starts_with(RELAY)) else { continue };
            stack.truncate(top);
            let answers = stack
                .iter()
                .find(|name| ANSWERABLE.iter().any(|krate| bare(name).starts_with(krate)));
            let count = point["tbk"].as_u64().expect("a number of blocks");
            *functions.entry(answers.unwrap_or(&"nobody's").to_string()).or_default() += count;
        }
        Self(functions)
    }

    /// How many of them crates answer for whose names begin so.
    pub(crate) fn of(&self, krate: &str) -> u64 {
        let functions = self.0.iter().filter(|(name, _)| bare(name).starts_with(krate));
        functions.map(|(_, count)| count).sum()
    }

    /// A table, with the number for each of so many deliveries.
    pub(crate) fn print(&self, deliveries: u64) {
        for (name, count) in &self.0 {
            println!("{count:>8} {:>8.3}  {name}", *count as f64 / deliveries as f64);
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The name in `0x55d5: path::of::function (file:line:column)`.
fn function(frame: &str) -> &str {
    let name = frame.split_once(": ").map_or(frame, |(_, name)| name);
    name.rsplit_once(" (").map_or(name, |(name, _)| name)
}

/// The name without what goes before its crate in `<smoq_core::Type as Trait>::method`.
fn bare(name: &str) -> &str {
    name.trim_start_matches(['<', '&'])
}
