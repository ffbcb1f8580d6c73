//! Which lines and branches of core the tests run.

use std::fs;

use crate::run::{Outcome, command, output, probe, root, run};
use crate::target;

/// Whose tests are about core.
const PACKAGES: &str = "--package smoq-core --package smoq-sim --package smoq-fuzz";

/// Hundreds of worlds and states, each like the others: they take long and reach no line that is not reached.
const LEFT_OUT: &str = "--skip seeds_from --skip planted --skip made_smaller --skip every_order";

/// Branches are told apart by an option that is not stable yet, which this lets a stable compiler take.
const UNSTABLE: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");
const FLAGS: &str = "-C instrument-coverage -Z coverage-options=branch";

/// Runs the tests with counters and prints a table: a line for each file of core.
pub(crate) fn coverage() -> Outcome {
    let Some(tools) = Tools::find()? else {
        println!(
            "SKIPPED: coverage needs llvm-cov and llvm-profdata of the compiler's LLVM; `rustup component \
             add llvm-tools` or the llvm package of Debian with the same number brings them"
        );
        return Ok(());
    };
    let folder = root().join(target()).join("coverage");
    let counts = folder.join("counts");
    // Counts of another build would be mixed in.
    let _ = fs::remove_dir_all(&counts);
    let cargo = |args: &str| {
        let mut cargo = command("cargo", &format!("test {PACKAGES} {args}"));
        cargo.env(UNSTABLE.0, UNSTABLE.1).env("RUSTFLAGS", FLAGS);
        cargo.env("CARGO_TARGET_DIR", &folder);
        cargo.env("LLVM_PROFILE_FILE", counts.join("%p-%m.profraw"));
        cargo
    };
    run(&mut cargo(&format!("--tests -- {LEFT_OUT}")))?;
    let built = cargo("--tests --no-run --message-format json").output();
    let built = built.map_err(|error| format!("cannot start cargo: {error}"))?;
    let merged = folder.join("core.profdata");
    run(command(&tools.profdata, "merge --sparse -o").arg(&merged).arg(&counts))?;
    let mut report = command(&tools.cov, "report --show-region-summary=false");
    report.arg(format!("--instr-profile={}", merged.display()));
    for program in programs(&String::from_utf8_lossy(&built.stdout)) {
        report.args(["--object", program]);
    }
    run(report.arg("--sources").arg(root().join("core/src")))
}

/// The test programs that cargo tells of.
fn programs(messages: &str) -> impl Iterator<Item = &str> {
    messages.split("\"executable\":\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0))
}

struct Tools {
    cov: String,
    profdata: String,
}

impl Tools {
    /// Those of the toolchain, or Debian's of the same LLVM: others cannot read the counts.
    fn find() -> Result<Option<Self>, String> {
        let version = output("rustc", "-vV")?;
        let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name));
        let (Some(host), Some(llvm)) = (field("host: "), field("LLVM version: ")) else {
            return Err("rustc does not say which LLVM it has".into());
        };
        let sysroot = output("rustc", "--print sysroot")?;
        let own = format!("{}/lib/rustlib/{host}/bin/", sysroot.trim());
        let major = llvm.split('.').next().unwrap_or(llvm);
        let places = [(own, String::new()), (String::new(), format!("-{major}"))];
        let tools = places.map(|(before, behind)| Self {
            cov: format!("{before}llvm-cov{behind}"),
            profdata: format!("{before}llvm-profdata{behind}"),
        });
        let there = |tools: &Self| {
            [&tools.cov, &tools.profdata].into_iter().all(|tool| probe(tool, "--version"))
        };
        Ok(tools.into_iter().find(there))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_found_among_other_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"executable\":\"/t/debug/deps/vectors-1\",\"fresh\":true}\n\
                        {\"executable\":\"/t/debug/deps/link-2\"}\n";
        let found: Vec<_> = programs(messages).collect();
        assert_eq!(found, ["/t/debug/deps/vectors-1", "/t/debug/deps/link-2"]);
    }
}
