//! Where a session's paths lie in the node's namespace.

use alloc::string::String;

use crate::{Path, PathError};

/// Paths on the wire are relative to `local`; `wire` stands in front of them where a client's request
/// path could not travel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mount {
    pub(crate) local: Path,
    pub(crate) wire: Path,
}

impl Mount {
    /// A node path as the peer knows it; `None` if it lies outside.
    pub(crate) fn to_wire(&self, path: &Path) -> Option<Path> {
        self.wire.join(&path.strip_prefix(&self.local)?).ok()
    }

    /// A path of the peer's as the node knows it; `None` if it lies outside or is too deep.
    pub(crate) fn to_local(&self, path: &Path) -> Option<Path> {
        self.local.join(&path.strip_prefix(&self.wire)?).ok()
    }

    /// A prefix that the peer asks for as the node knows it; `None` if the two have nothing in common.
    pub(crate) fn requested(&self, prefix: &Path) -> Option<Path> {
        if self.wire.starts_with(prefix) { Some(self.local.clone()) } else { self.to_local(prefix) }
    }

    /// The prefix to ask the peer for when the node wants what is below `prefix`; `None` if the two
    /// do not overlap.
    pub(crate) fn request(&self, prefix: &Path) -> Option<Path> {
        if self.local.starts_with(prefix) { Some(self.wire.clone()) } else { self.to_wire(prefix) }
    }
}

/// The path of a request, `/room/a?jwt=x`, without its query.
pub(crate) fn request_path(request: &str) -> Result<Path, PathError> {
    let end = request.find(['?', '#']).unwrap_or(request.len());
    Path::new(&request[..end])
}

/// What a client sends in SETUP: always with a leading slash, as the draft wants it.
pub(crate) fn setup_path(request: &str) -> Option<String> {
    match request {
        "" | "/" => None,
        path if path.starts_with('/') => Some(path.into()),
        path => Some(alloc::format!("/{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text).unwrap()
    }

    #[test]
    fn a_root_hides_what_is_outside() {
        let mount = Mount { local: path("room"), wire: Path::root() };
        assert_eq!(mount.to_wire(&path("room/cam")), Some(path("cam")));
        assert_eq!(mount.to_wire(&path("roomy/cam")), None);
        assert_eq!(mount.to_local(&path("cam")), Some(path("room/cam")));
        assert_eq!(mount.request(&path("room/a")), Some(path("a")));
        assert_eq!(mount.request(&Path::root()), Some(Path::root()));
        assert_eq!(mount.request(&path("other")), None);
    }

    #[test]
    fn a_path_that_cannot_travel_is_put_in_front() {
        let mount = Mount { local: Path::root(), wire: path("room") };
        assert_eq!(mount.to_wire(&path("cam")), Some(path("room/cam")));
        assert_eq!(mount.to_local(&path("room/cam")), Some(path("cam")));
        assert_eq!(mount.to_local(&path("cam")), None);
        assert_eq!(mount.request(&Path::root()), Some(path("room")));
        assert_eq!(mount.requested(&Path::root()), Some(Path::root()));
        assert_eq!(mount.requested(&path("room/cam")), Some(path("cam")));
        assert_eq!(mount.requested(&path("other")), None);
    }

    #[test]
    fn a_query_is_no_path() {
        assert_eq!(request_path("/room/a?jwt=x/y"), Ok(path("room/a")));
        assert_eq!(request_path(""), Ok(Path::root()));
        assert_eq!(setup_path("room?jwt=x").as_deref(), Some("/room?jwt=x"));
        assert_eq!(setup_path("/"), None);
    }
}
