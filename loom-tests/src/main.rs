//! `smoq-loom-tests MODEL [BUG]` runs one model, with one bug planted or none. A model that fails takes the
//! process along: unwinding meets locks that are held for ever.

use std::{env, process::ExitCode};

use smoq_loom_tests::{MODELS, MUTANTS};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let name = args.first().map_or("", String::as_str);
    let bug = args.get(1).map_or("", String::as_str);
    let model = MODELS.iter().find(|model| model.name == name);
    let known = MUTANTS.iter().map(|mutant| mutant.name).find(|name| *name == bug);
    match (model, known) {
        (Some(model), bug) if bug.is_some() || args.len() == 1 => {
            println!("{}", model.explore(bug.unwrap_or_default()));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: smoq-loom-tests MODEL [BUG], of these:");
            MODELS.iter().for_each(|model| eprintln!("    {}", model.name));
            MUTANTS.iter().for_each(|bug| eprintln!("    {} {}", bug.model, bug.name));
            ExitCode::from(2)
        }
    }
}
