//! Paths of broadcasts.

use alloc::{string::String, sync::Arc};
use core::{cmp::Ordering, fmt, str::FromStr};

use thiserror::Error;

/// The name of a broadcast, or a prefix of such names: up to 32 segments between slashes.
///
/// It is always normal: no slash in front, at the end or twice in a row. Paths are ordered by
/// segment, so that a path comes directly before all paths below it. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Path(Arc<str>);

/// A rule for paths that was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PathError {
    /// More segments than [`Path::MAX_SEGMENTS`].
    #[error("path has more than {max} segments, shorten it", max = Path::MAX_SEGMENTS)]
    TooManySegments,
    /// More bytes than [`Path::MAX_BYTES`].
    #[error("path has more than {max} bytes, shorten it", max = Path::MAX_BYTES)]
    TooLong,
    /// A segment is a wildcard, which names no single broadcast.
    #[error("path has a segment `*` or `**`, which only patterns may have; rename it")]
    Pattern,
}

impl Path {
    /// How many segments a path may have.
    pub const MAX_SEGMENTS: usize = 32;

    /// How many bytes a path may have. Paths are compared, kept and sent again by every relay, and
    /// must fit into any message that somebody else makes of them.
    pub const MAX_BYTES: usize = 1024;

    /// The empty path: the prefix of all paths.
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// Normalises `text`. Fails with [`PathError::TooManySegments`] and [`PathError::TooLong`].
    pub fn new(text: &str) -> Result<Self, PathError> {
        let trimmed = text.trim_matches('/');
        let segments = || trimmed.split('/').filter(|segment| !segment.is_empty());
        if segments().nth(Self::MAX_SEGMENTS).is_some() {
            return Err(PathError::TooManySegments);
        }
        if !trimmed.contains("//") {
            return Self::bounded(trimmed);
        }
        let mut normal = String::new();
        for segment in segments() {
            if !normal.is_empty() {
                normal.push('/');
            }
            normal.push_str(segment);
        }
        Self::bounded(&normal)
    }

    fn bounded(normal: &str) -> Result<Self, PathError> {
        if normal.len() > Self::MAX_BYTES {
            return Err(PathError::TooLong);
        }
        Ok(Self(Arc::from(normal)))
    }

    /// The normal form, without slashes around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the empty path.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The segments from left to right; none for the root.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// `other` below this path. Fails with [`PathError::TooManySegments`] and
    /// [`PathError::TooLong`].
    pub fn join(&self, other: &Self) -> Result<Self, PathError> {
        if self.is_root() {
            return Ok(other.clone());
        }
        if other.is_root() {
            return Ok(self.clone());
        }
        if self.segments().count() + other.segments().count() > Self::MAX_SEGMENTS {
            return Err(PathError::TooManySegments);
        }
        let mut joined = String::with_capacity(self.0.len() + 1 + other.0.len());
        joined.push_str(&self.0);
        joined.push('/');
        joined.push_str(&other.0);
        Self::bounded(&joined)
    }

    /// The part below `prefix`, which may be empty; `None` if this path is not covered by it.
    ///
    /// Whole segments count: `foo` covers `foo` and `foo/bar`, not `foobar`.
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        if prefix.is_root() {
            return Some(self.clone());
        }
        self.after(prefix).map(|rest| Self(Arc::from(rest)))
    }

    /// Whether `prefix` covers this path, as in [`strip_prefix`](Self::strip_prefix).
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.after(prefix).is_some()
    }

    fn after(&self, prefix: &Self) -> Option<&str> {
        let rest = self.0.strip_prefix(prefix.as_str())?;
        if rest.is_empty() || prefix.is_root() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// The path without its last segment; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(self.0.rsplit_once('/').map_or_else(Self::root, |(parent, _)| Self(Arc::from(parent))))
    }

    /// Fails with [`PathError::Pattern`] if the path may not name a broadcast.
    pub fn for_announce(&self) -> Result<(), PathError> {
        if self.segments().any(|segment| matches!(segment, "*" | "**")) {
            return Err(PathError::Pattern);
        }
        Ok(())
    }
}

impl Default for Path {
    fn default() -> Self {
        Self::root()
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        self.segments().cmp(other.segments())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text).unwrap()
    }

    #[test]
    fn slashes_are_normalised() {
        for (text, normal) in
            [("", ""), ("///", ""), ("/a/", "a"), ("a//b", "a/b"), ("//a///b//c/", "a/b/c")]
        {
            assert_eq!(path(text).as_str(), normal, "{text}");
        }
        assert_eq!(path("//"), Path::root());
    }

    #[test]
    fn the_33rd_segment_is_refused() {
        let full = path(&"a/".repeat(32));
        assert_eq!(full.segments().count(), 32);
        assert_eq!(Path::new(&"a/".repeat(33)), Err(PathError::TooManySegments));
        assert_eq!(path(&"a/".repeat(31)).join(&path("a")).unwrap(), full);
        assert_eq!(full.join(&path("b")), Err(PathError::TooManySegments));
        assert_eq!(full.join(&Path::root()).unwrap(), full);
    }

    #[test]
    fn prefixes_match_whole_segments() {
        let foo = path("foo");
        assert_eq!(foo.strip_prefix(&foo), Some(Path::root()));
        assert_eq!(path("foo/bar").strip_prefix(&foo), Some(path("bar")));
        assert_eq!(path("foobar").strip_prefix(&foo), None);
        assert_eq!(foo.strip_prefix(&path("foo/bar")), None);
        assert_eq!(foo.strip_prefix(&Path::root()), Some(foo.clone()));
        assert!(Path::root().starts_with(&Path::root()));
        assert!(!Path::root().starts_with(&foo));
    }

    #[test]
    fn join_undoes_strip_prefix() {
        let (room, cam) = (path("room"), path("cam/hd"));
        let whole = room.join(&cam).unwrap();
        assert_eq!(whole.as_str(), "room/cam/hd");
        assert_eq!(whole.strip_prefix(&room), Some(cam));
        assert_eq!(whole.parent(), Some(path("room/cam")));
        assert_eq!(room.parent(), Some(Path::root()));
        assert_eq!(Path::root().parent(), None);
    }

    #[test]
    fn a_path_is_followed_by_what_is_below_it() {
        let mut paths = ["foo-bar", "foo/bar", "foo", "", "foo!"].map(path);
        paths.sort();
        assert_eq!(paths, ["", "foo", "foo/bar", "foo!", "foo-bar"].map(path));
    }

    #[test]
    fn wildcards_cannot_be_announced() {
        for text in ["*", "a/**", "*/b"] {
            assert_eq!(path(text).for_announce(), Err(PathError::Pattern));
        }
        for text in ["", "a/*.m4s", "***"] {
            assert_eq!(path(text).for_announce(), Ok(()));
        }
    }
}
