//! The checks, a file for each area.

mod announce;
mod announce_broken;
mod datagrams;
mod expiry;
mod fetch;
mod goaway;
mod groups;
mod hostile;
mod limits;
mod priorities;
mod probe;
mod routing;
mod setup;
mod subscribe;
mod subscribe_range;
mod track;

use std::sync::OnceLock;

use crate::check::Check;

/// Every check, in the order in which a session comes upon them.
pub fn checks() -> &'static [Check] {
    static CHECKS: OnceLock<Vec<Check>> = OnceLock::new();
    CHECKS.get_or_init(|| {
        let areas = [
            setup::checks,
            announce::checks,
            routing::checks,
            announce_broken::checks,
            subscribe::checks,
            subscribe_range::checks,
            groups::checks,
            fetch::checks,
            track::checks,
            probe::checks,
            goaway::checks,
            datagrams::checks,
            priorities::checks,
            expiry::checks,
            hostile::checks,
            limits::checks,
        ];
        areas.into_iter().flat_map(|checks| checks()).collect()
    })
}
