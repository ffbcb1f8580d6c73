//! Finds in a Rust source text what a pure state machine must not name: clocks, locks, threads,
//! wakers, ambient randomness and std. Comments, literals and `#[cfg(test)]` items are passed over.

/// Words that core must not use, and why.
const BANNED: &[(&str, &str)] = &[
    ("Instant", "a clock: time is an argument"),
    ("SystemTime", "a clock: time is an argument"),
    ("UNIX_EPOCH", "a clock: time is an argument"),
    ("Mutex", "a lock: core has one owner"),
    ("RwLock", "a lock: core has one owner"),
    ("Condvar", "a lock: core has one owner"),
    ("OnceLock", "a global: state belongs to the Node"),
    ("LazyLock", "a global: state belongs to the Node"),
    ("thread_local", "a global: state belongs to the Node"),
    ("thread", "a thread: core has one owner"),
    ("Waker", "a waker: the embedder polls"),
    ("async", "async: the embedder polls"),
    ("await", "async: the embedder polls"),
    ("Future", "async: the embedder polls"),
    ("rand", "ambient randomness: use the seed"),
    ("getrandom", "ambient randomness: use the seed"),
    ("RandomState", "a random order: use BTreeMap"),
    ("HashMap", "a random order: use BTreeMap"),
    ("HashSet", "a random order: use BTreeSet"),
    ("include", "text that this scan does not see"),
    ("std", "std: core has core and alloc only"),
];

/// Families of words, by their beginning.
const BANNED_PREFIX: &[(&str, &str)] = &[("Atomic", "shared state: core has one owner")];

/// A banned word and the line it stands on, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) line: usize,
    pub(crate) word: String,
    pub(crate) why: &'static str,
}

/// What a scan of one text gives.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Every banned word, in the order of the text.
    pub(crate) findings: Vec<Finding>,
    /// Names of modules that are declared here for tests only and lie in files of their own.
    pub(crate) test_modules: Vec<String>,
}

/// Scans one source text.
pub(crate) fn scan(text: &str) -> Scan {
    let tokens = tokens(text);
    let mut scan = Scan::default();
    let mut rest = tokens.as_slice();
    while let Some(token) = rest.first() {
        if let Some(item) = after_cfg_test(rest) {
            let (skipped, behind) = item.split_at(item_len(item));
            if let [.., keyword, name, end] = skipped
                && (keyword.text, end.text) == ("mod", ";")
            {
                scan.test_modules.push(name.text.to_owned());
            }
            rest = behind;
            continue;
        }
        if let Some(why) = banned(token.text) {
            scan.findings.push(Finding { line: token.line, word: token.text.to_owned(), why });
        }
        rest = &rest[1..];
    }
    scan
}

fn banned(word: &str) -> Option<&'static str> {
    let whole = BANNED.iter().find(|(name, _)| *name == word);
    let family = || BANNED_PREFIX.iter().find(|(prefix, _)| word.starts_with(prefix));
    whole.or_else(family).map(|(_, why)| *why)
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// What follows `#[cfg(test)]`, if the tokens begin with it.
fn after_cfg_test<'a, 'b>(tokens: &'b [Token<'a>]) -> Option<&'b [Token<'a>]> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let starts = tokens.len() >= attribute.len()
        && tokens.iter().zip(attribute).all(|(token, text)| token.text == text);
    starts.then(|| &tokens[attribute.len()..])
}

/// How many tokens the item at the start has: up to its `;`, `,` or closing brace. Where that is
/// unclear it gives fewer, since what is not skipped is scanned.
fn item_len(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return index,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            ";" | "," if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Splits a text into words and single signs, without comments and literals.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let len = trivia_len(rest).unwrap_or_else(|| {
            let len = word_len(rest).unwrap_or(first.len_utf8());
            tokens.push(Token { text: &rest[..len], line });
            len
        });
        line += rest[..len].matches('\n').count();
        at += len;
    }
    tokens
}

/// The length of the white space, comment, literal or lifetime at the start.
fn trivia_len(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if first.is_whitespace() {
        return Some(first.len_utf8());
    }
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment_len(text));
    }
    // A literal may have a prefix: b"", c"", r"", br"", cr"", b''.
    let prefix = word_len(text).unwrap_or(0);
    let (prefix, literal) = text.split_at(prefix);
    let raw = matches!(prefix, "r" | "br" | "cr");
    let hashes = literal.len() - literal.trim_start_matches('#').len();
    if raw && literal[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = prefix.len() + hashes + 1;
        return Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()));
    }
    if matches!(prefix, "" | "b" | "c") && literal.starts_with('"') {
        return Some(prefix.len() + quoted_len(literal, '"'));
    }
    if matches!(prefix, "" | "b") && literal.starts_with('\'') {
        let mut inside = literal[1..].chars();
        let (one, two) = (inside.next()?, inside.next());
        let is_char = one == '\\' || two == Some('\'');
        return Some(
            prefix.len()
                + if is_char {
                    quoted_len(literal, '\'')
                } else {
                    1 + word_len(&literal[1..]).unwrap_or(0)
                },
        );
    }
    None
}

/// The length of a block comment, which may hold others.
fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a literal between two quotes, with backslashes in it.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if sign == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the word or number at the start.
fn word_len(text: &str) -> Option<usize> {
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '_';
    let len = text.find(|sign| !is_word(sign)).unwrap_or(text.len());
    (len > 0).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real file of core, so that the test shows what CI would say of it.
    const CORE: &str = include_str!("../../core/src/lib.rs");

    fn words(text: &str) -> Vec<String> {
        scan(text).findings.into_iter().map(|finding| finding.word).collect()
    }

    #[test]
    fn core_as_it_is_has_nothing_banned() {
        assert_eq!(scan(CORE).findings, []);
    }

    #[test]
    fn planted_impurities_are_found() {
        for (planted, found) in [
            ("fn now() -> u64 { let t = Instant::now(); 0 }", "Instant"),
            ("use core::time::SystemTime as Clock;", "SystemTime"),
            ("struct Shared { inner: spin::Mutex<u8> }", "Mutex"),
            ("struct Shared(RwLock<u8>);", "RwLock"),
            ("static COUNT: AtomicU64 = AtomicU64::new(0);", "AtomicU64"),
            ("fn go() { thread::spawn(|| ()); }", "thread"),
            ("fn wake(waker: &Waker) {}", "Waker"),
            ("async fn read() {}", "async"),
            ("fn dice() -> u8 { rand::random() }", "rand"),
            ("type Map = hashbrown::HashMap<u8, u8>;", "HashMap"),
            ("extern crate std;", "std"),
            ("mod hidden { include!(\"clock.rs\"); }", "include"),
        ] {
            let text = format!("{CORE}\n{planted}\n");
            let line = CORE.lines().count() + 2;
            let findings = scan(&text).findings;
            assert!(
                findings.iter().any(|f| f.word == found && f.line == line),
                "{planted}: {findings:?}"
            );
        }
    }

    #[test]
    fn comments_and_literals_are_passed_over() {
        assert_eq!(words("// Instant\n/* Mutex /* std */ HashMap */\n//! thread"), [""; 0]);
        assert_eq!(
            words(r##"const A: &str = "std \" Mutex"; const B: &str = r#"a " std"#;"##),
            [""; 0]
        );
        assert_eq!(
            words("fn f<'std>(a: &'std u8) -> char { match a { b'\\'' => '\"', _ => 'r' } }"),
            [""; 0]
        );
        assert_eq!(words("let a = '\"'; Instant; let b = '\"';"), ["Instant"]);
        assert_eq!(words("let r#type = br\"std\"; Mutex"), ["Mutex"]);
    }

    #[test]
    fn only_whole_words_count() {
        assert_eq!(words("InstantLike my_std rand_core_like std2 operand"), [""; 0]);
    }

    #[test]
    fn test_items_are_passed_over_and_nothing_more() {
        assert_eq!(
            words("#[cfg(test)] mod tests { extern crate std; fn f() { if a { Mutex } } } RwLock"),
            ["RwLock"]
        );
        assert_eq!(
            words("#[cfg(test)] #[allow(unused)] use std::{time::Instant}; HashMap"),
            ["HashMap"]
        );
        assert_eq!(
            words("struct A { #[cfg(test)] clock: Instant, lock: Mutex<u8> } HashMap"),
            ["Mutex", "HashMap"]
        );
        assert_eq!(words("struct A { #[cfg(test)] clock: Instant } HashMap"), ["HashMap"]);
        assert_eq!(words("#[cfg(not(test))] fn f() { Instant }"), ["Instant"]);
        assert_eq!(words("#[cfg(any(test, unix))] fn f() { Instant }"), ["Instant"]);
    }

    #[test]
    fn test_modules_in_other_files_are_named() {
        assert_eq!(scan("#[cfg(test)]\nmod tests;\nmod real;").test_modules, ["tests"]);
        assert_eq!(scan("#[cfg(test)]\npub(crate) mod support;").test_modules, ["support"]);
    }
}
