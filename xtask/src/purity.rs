//! Purity of core: no clock, lock, thread, waker, randomness or std, neither in its text nor in what
//! it depends on. The same of the text of tape, and of signal, its server aside; of HTTP/3: no std. And no
//! executor in the crates that must run on any, none but its own in the crate of one, and no HTTP/3 in
//! what is built without it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::run::{Outcome, cargo, output, root};
use crate::scan::scan;

/// The crates without std.
const BARE: &[&str] = &["smoq-core", "smoq-h3"];

/// All that they may depend on: three crates and what the derive of thiserror is built from.
const BARE_TREE: &[&str] = &[
    "bytes",
    "proc-macro2",
    "quote",
    "smallvec",
    "syn",
    "thiserror",
    "thiserror-impl",
    "unicode-ident",
];

/// Crates that run on every executor, so they may depend on none.
const EXECUTOR_FREE: &[&str] = &["smoq-quic", "smoq-runtime"];
/// What is not to come along with the crate of one executor. async-std is a feature that is off: it is
/// discontinued, and brings tokio along for browsers.
const OTHER_EXECUTORS: &[(&str, &[&str])] = &[
    ("smoq-smol", &["async-std", "mio", "tokio"]),
    ("smoq-tokio", &["async-executor", "async-io", "async-std", "polling", "smol"]),
];
/// What nobody wants who speaks raw QUIC only.
const HTTP: &[&str] = &["http", "hyper", "smoq-h3"];
const EXECUTORS: &[&str] =
    &["async-executor", "async-io", "async-std", "mio", "polling", "smol", "tokio"];

/// Targets that have no std at all. One that is installed gets a build of core.
const BARE_TARGETS: &[&str] =
    &["thumbv7em-none-eabi", "thumbv7em-none-eabihf", "x86_64-unknown-none"];

/// Checks everything that this module promises.
pub(crate) fn run() -> Outcome {
    names_nothing_impure("core", None)?;
    names_nothing_impure("signal", Some("server"))?;
    names_nothing_impure("tape", None)?;
    BARE.iter()
        .chain(&["smoq-signal", "smoq-tape"])
        .try_for_each(|package| links_no_std(package))?;
    builds_for_a_bare_target()?;
    BARE.iter()
        .try_for_each(|package| only_known_crates(package, &tree(package, "--all-features")?))?;
    EXECUTOR_FREE.iter().try_for_each(|package| {
        has_none_of(package, "executor", EXECUTORS, &tree(package, "--all-features")?)
    })?;
    OTHER_EXECUTORS.iter().try_for_each(|(package, others)| {
        has_none_of(package, "other executor", others, &tree(package, "")?)
    })?;
    // The command has the signalling hub, which is on HTTP/1.
    has_none_of("smoq", "HTTP/3", &["smoq-h3"], &tree("smoq", "--no-default-features")?)?;
    has_none_of("smoq-relay", "HTTP", HTTP, &tree("smoq-relay", "--no-default-features")?)?;
    cargo("check --package smoq --no-default-features")
}

/// Scans the source of the crate in `folder`, all but the module `impure`.
fn names_nothing_impure(folder: &str, impure: Option<&str>) -> Outcome {
    let source = root().join(folder).join("src");
    let mut files = Vec::new();
    source_files(&source, &mut files)?;
    files.retain(|file| impure.is_none_or(|name| !file.starts_with(source.join(name))));
    let scans = files
        .into_iter()
        .map(|file| read(&file).map(|text| (scan(&text), file)))
        .collect::<Result<Vec<_>, _>>()?;
    let tests: Vec<PathBuf> = scans
        .iter()
        .flat_map(|(scan, file)| {
            scan.test_modules.iter().map(move |name| module_folder(file).join(name))
        })
        .collect();
    let is_test = |file: &Path| {
        tests.iter().any(|test| file.starts_with(test) || file.with_extension("") == *test)
    };
    let production: Vec<_> = scans.iter().filter(|(_, file)| !is_test(file)).collect();

    let mut found = 0;
    for (scan, file) in &production {
        for finding in &scan.findings {
            eprintln!("{}:{}: `{}` is {}", file.display(), finding.line, finding.word, finding.why);
            found += 1;
        }
    }
    if found > 0 {
        return Err(format!("{folder} is not pure: {found} banned words in its source"));
    }
    println!("{folder}: {} source files name nothing impure", production.len());
    Ok(())
}

/// Builds a package for this machine and compiles a crate with a panic handler on top of it. The compiler
/// refuses a second panic handler, so this fails if the package or anything below it brings std along.
fn links_no_std(package: &str) -> Outcome {
    cargo(&format!("build --package {package}"))?;
    let name = package.replace('-', "_");
    let built =
        env::current_exe().map_err(|error| format!("cannot find the build folder: {error}"))?;
    let built = built.parent().ok_or("cannot find the build folder")?;
    let args = [
        format!("-Ldependency={}", built.join("deps").display()),
        format!("--extern={name}={}", built.join(format!("lib{name}.rlib")).display()),
    ];
    match panic_handler_is_free(&format!("extern crate {name};"), &args)? {
        true => {
            println!("{package}: no_std, and so is all below it");
            Ok(())
        }
        false => Err(format!("{package} links std: a dependency was built with its std feature")),
    }
}

/// Whether a crate that uses `crates` can still define the panic handler, which std would have done.
fn panic_handler_is_free(crates: &str, args: &[String]) -> Result<bool, String> {
    let source = format!(
        "#![no_std]\n{crates}\n#[panic_handler]\nfn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {{ loop {{}} }}"
    );
    let mut rustc = Command::new("rustc")
        .args([
            "-",
            "--crate-name=probe",
            "--crate-type=lib",
            "--edition=2024",
            "--emit=metadata=-",
        ])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start rustc: {error}"))?;
    let mut stdin = rustc.stdin.take().expect("standard input is piped");
    stdin
        .write_all(source.as_bytes())
        .map_err(|error| format!("cannot write to rustc: {error}"))?;
    drop(stdin);
    let output =
        rustc.wait_with_output().map_err(|error| format!("cannot wait for rustc: {error}"))?;
    let message = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(true),
        false if message.contains("E0152") => Ok(false),
        false => Err(format!("rustc failed for a reason other than std:\n{message}")),
    }
}

fn builds_for_a_bare_target() -> Outcome {
    for target in BARE_TARGETS {
        let folder = output("rustc", &format!("--print target-libdir --target {target}"))?;
        if Path::new(folder.trim()).exists() {
            for package in BARE {
                cargo(&format!("build --package {package} --target {target}"))?;
                println!("{package}: builds for {target}");
            }
            return Ok(());
        }
    }
    println!(
        "SKIPPED: no target without std is installed; `rustup target add {}` brings one",
        BARE_TARGETS[0]
    );
    Ok(())
}

/// The names of a package and of all that its normal build needs, on any platform, with these features.
fn tree(package: &str, features: &str) -> Result<Vec<String>, String> {
    let text = output(
        "cargo",
        &format!("tree --package {package} --edges normal --target all {features} --prefix none"),
    )?;
    let mut names: Vec<_> =
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn only_known_crates(package: &str, tree: &[String]) -> Outcome {
    let known = |name: &str| name == package || BARE_TREE.contains(&name);
    let strangers: Vec<_> = tree.iter().filter(|name| !known(name)).cloned().collect();
    if !strangers.is_empty() {
        return Err(format!("{package} must not depend on {}", strangers.join(", ")));
    }
    println!("{package}: depends on known crates only");
    Ok(())
}

fn has_none_of(package: &str, what: &str, banned: &[&str], tree: &[String]) -> Outcome {
    let found: Vec<_> =
        tree.iter().filter(|name| banned.contains(&name.as_str())).cloned().collect();
    if !found.is_empty() {
        return Err(format!(
            "{package} must do without {what}, but depends on {}",
            found.join(", ")
        ));
    }
    println!("{package}: depends on no {what}");
    Ok(())
}

/// Where the modules that a file declares lie.
fn module_folder(file: &Path) -> PathBuf {
    match file.file_name().and_then(|name| name.to_str()) {
        Some("lib.rs" | "mod.rs") => file.parent().unwrap_or(file).to_owned(),
        _ => file.with_extension(""),
    }
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    let cannot = |error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_dir() {
            source_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn std_below_a_crate_is_noticed() {
        assert_eq!(panic_handler_is_free("extern crate alloc;", &[]), Ok(true));
        assert_eq!(panic_handler_is_free("extern crate std;", &[]), Ok(false));
    }

    #[test]
    fn a_stranger_in_the_tree_of_core_is_noticed() {
        assert_eq!(only_known_crates("smoq-core", &names(BARE_TREE)), Ok(()));
        assert!(only_known_crates("smoq-core", &names(&["smoq-core", "getrandom"])).is_err());
    }

    #[test]
    fn an_executor_is_noticed() {
        let check =
            |tree: &[&str]| has_none_of("smoq-runtime", "executor", EXECUTORS, &names(tree));
        assert_eq!(check(&["smoq-runtime", "quinn-proto"]), Ok(()));
        assert!(check(&["smoq-runtime", "tokio"]).is_err());
    }

    #[test]
    fn modules_lie_beside_mod_rs_and_below_other_files() {
        assert_eq!(module_folder(Path::new("src/store/mod.rs")), Path::new("src/store"));
        assert_eq!(module_folder(Path::new("src/store/group.rs")), Path::new("src/store/group"));
    }
}
