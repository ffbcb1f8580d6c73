//! Paths and integers, each beside another way to say the same.

use smoq_core::{Path, PathError, wire::varint};

use crate::Input;

/// Two texts as paths: the first one with its length in front.
pub fn core_path(data: &[u8]) {
    let mut input = Input(data);
    let Some(first) = input.counted() else { return };
    let [first, second] = [first, input.0].map(String::from_utf8_lossy);
    let (Some(one), Some(other)) = (normal(&first), normal(&second)) else { return };
    let [a, b]: [Vec<_>; 2] = [&one, &other].map(|path| path.segments().collect());
    assert_eq!(one.cmp(&other), a.cmp(&b));
    assert_eq!(one.starts_with(&other), a.starts_with(&b));
    let below = a.strip_prefix(&b[..]).map(|rest| Path::new(&rest.join("/")).unwrap());
    assert_eq!(one.strip_prefix(&other), below);
    let parent = a.split_last().map(|(_, rest)| Path::new(&rest.join("/")).unwrap());
    assert_eq!(one.parent(), parent);
    assert_eq!(one.join(&other), Path::new(&format!("{one}/{other}")));
    let pattern = a.iter().any(|segment| ["*", "**"].contains(segment));
    assert_eq!(one.for_announce(), if pattern { Err(PathError::Pattern) } else { Ok(()) });
}

/// A path, which is what its segments say; `None` if the text breaks a rule that paths have.
fn normal(text: &str) -> Option<Path> {
    let segments: Vec<_> = text.split('/').filter(|segment| !segment.is_empty()).collect();
    let joined = segments.join("/");
    let path = Path::new(text);
    match &path {
        Ok(path) => {
            assert!(segments.len() <= Path::MAX_SEGMENTS && joined.len() <= Path::MAX_BYTES);
            assert_eq!((path.as_str(), path.is_root()), (&*joined, joined.is_empty()));
            assert!(path.segments().eq(segments));
            assert_eq!(Path::new(path.as_str()).as_ref(), Ok(path));
        }
        Err(PathError::TooManySegments) => assert!(segments.len() > Path::MAX_SEGMENTS),
        Err(PathError::TooLong) => assert!(joined.len() > Path::MAX_BYTES),
        Err(PathError::Pattern) => panic!("a path may have any segments"),
    }
    path.ok()
}

/// Integers, as the same standard is read by `smoq-h3`.
pub fn core_varint(data: &[u8]) {
    let mut rest = data;
    let theirs = smoq_h3::varint::decode(&mut rest);
    let ours = varint::decode(data);
    assert_eq!(ours, theirs.map(|value| (value, data.len() - rest.len())));
    if let Some((value, used)) = ours {
        let mut shortest = Vec::new();
        varint::encode(value, &mut shortest);
        assert_eq!(varint::decode(&shortest), Some((value, varint::len(value))));
        assert!(shortest.len() <= used);
    }
    if let Some(bytes) = data.first_chunk() {
        let any = u64::from_be_bytes(*bytes);
        let mut out = Vec::new();
        varint::encode(any, &mut out);
        assert_eq!(varint::decode(&out), Some((any.min(varint::MAX), out.len())));
        assert_eq!(varint::zigzag(varint::unzigzag(any)), any);
    }
}
