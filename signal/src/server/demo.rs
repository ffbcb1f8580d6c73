//! The demo page: its files, in the program.

/// What a path is, and its kind, if it is of the demo.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    let found = match path {
        "/" => ("text/html; charset=utf-8", include_str!("demo/index.html")),
        "/demo.css" => ("text/css; charset=utf-8", include_str!("demo/demo.css")),
        "/demo.js" => (SCRIPT, include_str!("demo/demo.js")),
        "/hub.js" => (SCRIPT, include_str!("demo/hub.js")),
        "/call.js" => (SCRIPT, include_str!("demo/call.js")),
        _ => return None,
    };
    Some(found)
}

/// What the page may do: load its own files, and talk to its own hub.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src data:; connect-src 'self' \
     ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
