//! `smoq sim` and `smoq explore` as a process.
#![cfg(unix)]

mod support;

use support::User;

#[test]
fn seeds_are_run_and_one_is_told() {
    let user = User::new();
    let done = user.run(&["sim", "--seeds", "0..3"]).expect(0);
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(told.contains("seed 2: ") && told.contains("3 worlds"), "{told}");
    let done = user.run(&["sim", "--seed", "2"]).expect(0);
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(told.contains("everything heals") && told.contains("subscribes to"), "{told}");
    user.run(&["sim", "--seeds", "3..3"]).expect(2).says("0..500");
}

#[test]
fn a_planted_bug_is_caught_and_told() {
    let user = User::new();
    let done = user.run(&["sim", "--break", "wrong-end"]).expect(1);
    let told = String::from_utf8(done.stdout.clone()).unwrap();
    assert!(told.contains("made smaller"), "{told}");
    done.says("no invention");
    user.run(&["sim", "--break", "nothing"]).expect(2).says("list");
    let done = user.run(&["explore", "--break", "list"]).expect(0);
    assert!(String::from_utf8(done.stdout).unwrap().contains("leaked-subscription"));
}
