//! The header that lies in the repository is that of the code.

use std::{env, fs, path::Path};

use cbindgen::{Builder, EnumConfig, Language, RenameRule};

const ABOUT: &str = "/* smoq: live media over QUIC, as a client that does no IO.
 *
 * Made by cbindgen from ffi/src, where the documentation is. examples/echo.c is a whole program.
 *
 * How to drive it, in any order and as often as it suits:
 *
 *   1. smoq_handle_datagram for what the socket received, smoq_handle_timeout when smoq_poll_timeout is due.
 *   2. smoq_poll_event until SMOQ_STATUS_NOTHING, acting on what happened.
 *   3. smoq_poll_transmit until SMOQ_STATUS_NOTHING, sending each datagram.
 *   4. Sleep until the socket is readable or smoq_poll_timeout is due. 2 and 3 repeat as long as either
 *      gives something.
 *
 * Rules for all functions:
 *
 *   - Pointers are valid for as long as the call lasts, and none is kept. A NULL where it is not allowed is
 *     SMOQ_STATUS_INVALID. Texts are UTF-8 and end with a 0.
 *   - What a call hands out by pointer belongs to the client, until the time that is said beside it, at the
 *     latest until the client is freed.
 *   - A client may be used by one thread at a time.
 *   - `now` is in microseconds, of a clock that does not go back. Where it begins is up to the caller.
 *   - An id is a number for one client. One of something that has ended is SMOQ_STATUS_INVALID.
 *   - No function waits, touches a socket or starts a thread. How late it is says `now`; only the validity of
 *     certificates is looked up by the system's own clock.
 */";

#[test]
fn it_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config {
        language: Language::C,
        header: Some(ABOUT.into()),
        include_guard: Some("SMOQ_H".into()),
        cpp_compat: true,
        usize_is_size_t: true,
        documentation_style: cbindgen::DocumentationStyle::C99,
        enumeration: EnumConfig {
            rename_variants: RenameRule::QualifiedScreamingSnakeCase,
            ..EnumConfig::default()
        },
        ..cbindgen::Config::default()
    };
    let sources = ["src/types.rs", "src/api.rs"];
    let builder = Builder::new().with_config(config);
    let builder = sources.iter().fold(builder, |builder, file| builder.with_src(root.join(file)));
    let mut made = Vec::new();
    builder.generate().expect("cbindgen understands ffi/src").write(&mut made);

    let kept = root.join("include/smoq.h");
    if fs::read(&kept).ok().as_deref() != Some(&made) {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoq.h");
        fs::write(&fresh, made).unwrap();
        panic!("ffi/include/smoq.h is not current: cp {} {}", fresh.display(), kept.display());
    }
}
