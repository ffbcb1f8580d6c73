//! `cargo xtask interop`: every peer in every role, and the matrix of what came out.

mod cell;
mod changes;
mod faults;
mod programs;
mod report;
mod runners;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use cell::Cell;
use programs::Programs;

use crate::run::{Outcome, root};
use crate::server::target;
use crate::{browser_tests, foreign};

/// Where the matrix is written to, and what each later run is compared with.
const DOCUMENT: &str = "docs/interop.md";

/// Runs everything that this machine has, shows the matrix, and fails if it is not as written.
pub(crate) fn compare() -> Outcome {
    interop(false)
}

/// Runs the same, and writes the matrix down if nothing failed that is not known. What it says of peers that were
/// not run stays.
pub(crate) fn write() -> Outcome {
    interop(true)
}

fn interop(write: bool) -> Outcome {
    let programs = Programs::new()?;
    let mut cells = programs.gomoqt()?;
    cells.extend(programs.moq_relay()?);
    let mut tests = foreign("test --workspace");
    tests.env("SMOQ_BIN", programs.smoq());
    if let Some(moq_relay) = programs::installed_moq_relay() {
        tests.env("MOQ_RELAY_BIN", moq_relay);
    }
    let (tested, more) = lines(&mut tests, runners::rust)?;
    cells.extend(more);
    let tap = root().join(target()).join("interop/browser.tap");
    let _ = fs::remove_file(&tap);
    let browsed = browser_tests(Some(&tap));
    match fs::read_to_string(&tap) {
        Ok(text) => cells.extend(text.lines().filter_map(runners::browser)),
        Err(_) => {
            let why = browsed.as_ref().err().map_or("node, npm or chromium was not at hand", |e| e);
            cells.extend(runners::without_browser(why));
        }
    }
    print!("\n{}", report::summary(&cells));
    let path = root().join(DOCUMENT);
    let failed = |error| format!("{DOCUMENT}: {error}");
    let page = fs::read_to_string(&path).map_err(failed)?;
    for peer in changes::not_run(&cells) {
        println!("SKIPPED: {peer} was not run; what {DOCUMENT} says of it was not compared");
    }
    let mut surprises = faults::surprises(&cells);
    if !write {
        surprises.extend(changes::changes(&cells, &report::read(&page)));
    }
    if !surprises.is_empty() {
        return Err(format!("not as known:\n  {}", surprises.join("\n  ")));
    }
    tested?;
    browsed?;
    if write {
        fs::write(&path, report::document(&cells, &page)?).map_err(failed)?;
        println!("{DOCUMENT} is written");
    }
    Ok(())
}

/// Runs a command, shows its lines as they come, and gives what `read` finds in them.
fn lines(
    command: &mut Command,
    read: impl Fn(&str) -> Option<Cell>,
) -> Result<(Outcome, Vec<Cell>), String> {
    let failed = |error| format!("the tests cannot be run: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let stdout = child.stdout.take().ok_or("the tests have no output")?;
    let mut cells = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(failed)?;
        println!("{line}");
        cells.extend(read(&line));
    }
    let status = child.wait().map_err(failed)?;
    let outcome = if status.success() { Ok(()) } else { Err("tests failed, see above".into()) };
    Ok((outcome, cells))
}
