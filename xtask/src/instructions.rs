//! Whether hot paths take more instructions than before. Unlike time they do not depend on what else
//! runs, so a run can fail for them.

use std::{collections::BTreeMap, fmt, fs};

use serde_json::{Value, json};

use crate::run::{Outcome, cargo, command, output, probe, root};
use crate::server::release;

/// The figures to compare with, and what they were taken with.
const FILE: &str = "bench/instructions.json";
/// The function whose callees are counted.
const COUNTED: &str = "--toggle-collect=*counted_from_here*";
/// The C library copies in the same way on every processor.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX,-ERMS,-FSRM";
/// A change in either direction that is not worth a word, in percent. Repeated runs are equal; this is
/// room for another C library.
const TOLERANCE: f64 = 2.0;

/// `cargo xtask instructions`.
pub(crate) fn compare() -> Outcome {
    if !probe("valgrind", "--version") {
        println!("SKIPPED: valgrind is not at hand; your system has a package of that name");
        return Ok(());
    }
    let now = count()?;
    let text = fs::read_to_string(root().join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let before: Value = serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let compiler = compiler()?;
    let comparable = before["compiler"] == compiler.as_str();
    let before = before["instructions"].as_object().ok_or("the file has no instructions")?;
    let gone: Vec<_> = before.keys().filter(|case| !now.contains_key(*case)).collect();
    gone.iter().for_each(|case| println!("{case:<16}  gone: the program does not have it"));
    let mut worse = !gone.is_empty();
    for (case, &now) in &now {
        let change = if comparable {
            change(before.get(case).and_then(Value::as_u64), now)
        } else {
            Change::Small
        };
        worse |= matches!(change, Change::New | Change::Rose(_));
        println!("{case:<16}{now:>12}{change}");
    }
    if !comparable {
        println!(
            "SKIPPED: instructions were NOT compared, because {FILE} was not made with {compiler}"
        );
    } else if worse {
        return Err(format!(
            "find the cause; if there is a reason for it, run `cargo xtask instructions --update` \
             and give the reason in the commit of {FILE}"
        ));
    }
    Ok(())
}

/// `cargo xtask instructions --update`.
pub(crate) fn update() -> Outcome {
    let figures = json!({ "compiler": compiler()?, "instructions": count()? });
    let text = format!("{figures:#}\n");
    fs::write(root().join(FILE), &text).map_err(|error| format!("{FILE}: {error}"))?;
    print!("{text}");
    Ok(())
}

/// Runs each case in callgrind.
fn count() -> Result<BTreeMap<String, u64>, String> {
    cargo("build --quiet --release --package smoq-bench --bin instructions")?;
    let program = release("instructions");
    let cases = output(&program, "")?;
    let counts = cases.lines().map(|case| Ok((case.into(), count_case(&program, case)?)));
    counts.collect()
}

fn count_case(program: &str, case: &str) -> Result<u64, String> {
    let file = format!("{program}.callgrind");
    let args = format!("--tool=callgrind --callgrind-out-file={file} {COUNTED} {program} {case}");
    let run = command("valgrind", &args).env("GLIBC_TUNABLES", TUNABLES).output();
    let run = run.map_err(|error| format!("cannot start valgrind: {error}"))?;
    if !run.status.success() {
        return Err(format!("{case} in valgrind: {}", String::from_utf8_lossy(&run.stderr)));
    }
    let profile = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.filter(|count| *count > 0).ok_or_else(|| format!("callgrind counted nothing of {case}"))
}

/// The compiler and what it builds for: with others, figures cannot be compared.
fn compiler() -> Result<String, String> {
    let verbose = output("rustc", "--version --verbose")?;
    let version = verbose.lines().next().unwrap_or_default();
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    Ok(format!("{version}, {host}"))
}

/// What became of a case, in percent.
#[derive(PartialEq, Debug)]
enum Change {
    New,
    Small,
    Rose(f64),
    Fell(f64),
}

fn change(before: Option<u64>, now: u64) -> Change {
    let Some(before) = before else { return Change::New };
    let percent = (now as f64 / before as f64 - 1.0) * 100.0;
    if percent > TOLERANCE {
        Change::Rose(percent)
    } else if percent < -TOLERANCE {
        Change::Fell(percent)
    } else {
        Change::Small
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("  new: it is not in the file"),
            Self::Small => Ok(()),
            Self::Rose(percent) => write!(f, "  rose by {percent:.1} %"),
            Self::Fell(percent) => write!(f, "  fell by {:.1} %: an update keeps it so", -percent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_percent_are_allowed() {
        let of = |before: u64, now: u64| change(Some(before), now);
        assert_eq!(of(1000, 1019), Change::Small);
        assert_eq!(of(1000, 981), Change::Small);
        assert!(matches!(of(1000, 1021), Change::Rose(_)));
        assert!(matches!(of(1000, 979), Change::Fell(_)));
        assert_eq!(change(None, 1), Change::New);
    }
}
