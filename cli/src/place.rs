//! Paths within others.

use smoq_core::Path;

use crate::failure::Failure;

/// `name` at `place`.
pub(crate) fn at(place: &Path, name: &str) -> Result<Path, Failure> {
    Ok(place.join(&Path::new(name)?)?)
}
