//! The C example, as a C program that is linked to both libraries and speaks through a relay.

#[path = "../../embed/tests/support/mod.rs"]
mod support;

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use support::{RelayForTests, in_time};

/// Where cargo puts the libraries of this test.
fn libraries() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// Compiles a C file; `None` where there is no compiler for it.
fn compile(source: &str, name: &str, link: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(root.join("include"))
        .arg(root.join(source))
        .args(link)
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output();
    let Ok(output) = output else {
        // Not by `println`, whose output is shown of tests that fail only.
        let skipped = "the C example was NOT compiled, because there is no `cc`; install gcc";
        let _ = writeln!(io::stdout(), "\nSKIPPED: {skipped}");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(program)
}

fn run(program: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args);
    in_time(move || command.output().unwrap())
}

/// Publishes and subscribes through a relay.
fn words_come_back(program: &Path) {
    let relay = RelayForTests::start();
    let output = run(program, &[&relay.address.to_string(), &relay.fingerprint, "hello", "wörld"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(output.stdout, "hello\nwörld\n".as_bytes(), "{errors}");
}

#[test]
#[cfg(unix)]
fn words_come_back_through_the_static_library() {
    let library = libraries().join("libsmoq_ffi.a").display().to_string();
    let Some(program) = compile("examples/echo.c", "echo-static", &[&library]) else { return };
    words_come_back(&program);
}

#[test]
#[cfg(unix)]
fn words_come_back_through_the_shared_library() {
    let folder = libraries().display().to_string();
    let link = [&format!("-L{folder}"), "-lsmoq_ffi", &format!("-Wl,-rpath,{folder}")];
    let Some(program) = compile("examples/echo.c", "echo-shared", &link) else { return };
    words_come_back(&program);
    let output = run(&program, &["127.0.0.1:1", "no fingerprint", "hello"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("64 hexadecimal digits"));
}
