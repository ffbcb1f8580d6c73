//! Keeps `docs/status.md` true: what it names exists, and its count is that of its rows.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use crate::run::root;

/// All sources below a folder.
fn sources(folder: &Path, all: &mut String) {
    for path in read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            sources(&path, all);
        } else if name.ends_with(".rs") {
            all.push_str(&read_to_string(&path).unwrap());
        }
    }
}

/// What is missing of what a cell names. A word after a file stands in it; a path in Rust may be anywhere.
fn missing(cell: &str, all: &str, are_tests: bool) -> Vec<String> {
    let (mut missing, mut file) = (Vec::new(), None::<PathBuf>);
    for name in cell.split('`').skip(1).step_by(2) {
        // Of a path the last part counts.
        let word = name.rsplit("::").next().unwrap_or(name);
        let is_word = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if name.ends_with(".rs") || name.ends_with(".txt") {
            let folder = file.as_deref().and_then(Path::parent).unwrap_or(root());
            let path = match name.strip_prefix("sim/") {
                Some(rest) if !rest.contains('/') => root().join("sim/tests").join(rest),
                _ if name.contains('/') => root().join(name),
                _ => folder.join(name),
            };
            missing.extend((!path.is_file()).then(|| name.to_owned()));
            file = Some(path);
        } else if is_word {
            let file = file.as_ref().filter(|_| word == name);
            let text = file.map(|path| read_to_string(path).unwrap_or_default());
            let text = text.as_deref().unwrap_or(all);
            let is_there = ["(", "<"].iter().any(|end| text.contains(&format!("fn {word}{end}")));
            let is_missing = !is_there && (are_tests || !text.contains(word));
            missing.extend(is_missing.then(|| name.to_owned()));
        }
    }
    missing
}

#[test]
fn the_status_page_is_true() {
    let page = read_to_string(root().join("docs/status.md")).unwrap();
    let (mut all, mut wrong) = (String::new(), Vec::new());
    sources(root(), &mut all);
    let mut counts = BTreeMap::<&str, [usize; 8]>::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" |").map(str::trim).collect();
        let (place, test) = match cells[..] {
            [.., "Place", "Test", "State"] => continue,
            [_, _, place, test, _] => (place, test),
            [_, level, _, versions, place, test, state] => {
                let first = versions.strip_suffix('+').map(|first| first.parse::<u8>().unwrap());
                let listed = |version: u8| versions.contains(&version.to_string());
                let has = |version| first.map_or(listed(version), |first| version >= first);
                let levels = ["MUST", "SHOULD", "text"].map(|known| level == known);
                let shown = !test.is_empty() || !["tested", "differs"].contains(&state);
                assert!(levels.contains(&true) && shown, "no level or no test: {line}");
                let row = [has(3), has(4), has(5), has(6), levels[0], levels[1], levels[2], true];
                let sums = counts.entry(state).or_default();
                sums.iter_mut().zip(row).for_each(|(sum, is)| *sum += usize::from(is));
                (place, test)
            }
            // Versions and states; what differs; the count.
            [_, _] | [_, _, _] | [_, _, _, _, _, _, _, _, _] => continue,
            _ => panic!("{} cells, and no table has so many: {line}", cells.len()),
        };
        wrong.extend(missing(place, &all, false));
        wrong.extend(missing(test, &all, true));
    }
    assert_eq!(wrong, [""; 0], "what docs/status.md names is not there");
    let mut count = "| State | 03 | 04 | 05 | 06 | MUST | SHOULD | text | Rows |\n".to_owned();
    count += &format!("|{}\n", "---|".repeat(9));
    for (state, sums) in counts {
        count += &format!("| {state} | {} |\n", sums.map(|sum| sum.to_string()).join(" | "));
    }
    assert!(page.ends_with(&count), "the count at the end of the page is to be:\n{count}");
}
