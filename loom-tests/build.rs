//! Copies the runtime's source to where `src/lib.rs` compiles it on the types of loom, and plants into the
//! copy each bug of `mutants.rs`, behind a switch that is off.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

include!("mutants.rs");

const SOURCE: &str = "../runtime/src";

fn main() {
    println!("cargo::rustc-cfg=smoq_loom");
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=mutants.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names it")).join("runtime");
    copy(Path::new(SOURCE), &out);
    for mutant in MUTANTS {
        mutant.edits.iter().for_each(|edit| plant(mutant, edit, &out));
    }
    // It is included by a file that has the attributes of the crate.
    edit(&out.join("lib.rs"), |text| {
        let keep = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![");
        text.lines().filter(keep).map(|line| format!("{line}\n")).collect()
    });
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the copy");
    for entry in fs::read_dir(from).expect("the runtime's source lies beside this crate") {
        let entry = entry.expect("an entry of a folder");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a copy of a source file");
        }
    }
}

fn plant(mutant: &Mutant, change: &Edit, out: &Path) {
    edit(&out.join(change.file), |text| {
        let count = text.matches(change.from).count();
        let (name, file) = (mutant.name, change.file);
        assert!(
            count == 1,
            "the bug `{name}` of mutants.rs does not fit {file} any more: what it replaces is there \
             {count} times"
        );
        let switch = format!("crate::planted(\"{name}\")");
        text.replace(change.from, &change.to.replace("PLANTED", &switch))
    });
}

fn edit(file: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(file).expect("a file of the copy");
    fs::write(file, change(text)).expect("a file of the copy");
}
