//! Running other programs from the root of the workspace.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a task gives back: nothing, or why it failed in words for a person.
pub(crate) type Outcome = Result<(), String>;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// A command line, to be run at the root. Words are split at spaces; nothing is quoted.
pub(crate) fn command(program: &str, args: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).args(args.split_whitespace());
    // Cargo describes xtask itself in these; a build script that watches them would run again for
    // nothing.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command, with its output on ours.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status =
        command.status().map_err(|error| format!("cannot start {}: {error}", show(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed", show(command))) }
}

/// Runs cargo, with its output on ours.
pub(crate) fn cargo(args: &str) -> Outcome {
    run(&mut command("cargo", args))
}

/// Whether a command is there and succeeds. Nothing is installed for it and nothing shown.
pub(crate) fn probe(program: &str, args: &str) -> bool {
    command(program, args)
        .env("RUSTUP_AUTO_INSTALL", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The standard output of a command that must succeed.
pub(crate) fn output(program: &str, args: &str) -> Result<String, String> {
    let mut command = command(program, args);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", show(&command)))?;
    if !output.status.success() {
        return Err(format!("{} failed", show(&command)));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{}: {error}", show(&command)))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    format!("`{}`", words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
}
