//! Handles and the real driver of one node, without a network.

use bytes::Bytes;
use loom::{future::block_on, thread};
use smoq_core::{Announced, Path, SubscribeOptions, wire::TrackInfo};

use super::local::{end, local, path, say, settle};
use crate::{Broadcast, Error, GroupReader, Origin, Subscription, TrackWriter, state::READ_AHEAD};

async fn publish(origin: &Origin) -> (Broadcast, TrackWriter) {
    let broadcast = origin.create(&path()).await.unwrap();
    let track = broadcast.track("video", TrackInfo::default()).await.unwrap();
    (broadcast, track)
}

async fn subscribe(origin: &Origin) -> Subscription {
    origin.subscribe(&path(), "video", SubscribeOptions::default()).await.unwrap()
}

/// Who waits for demand hears of the first subscriber.
pub(super) fn demand() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops);
    let (broadcast, mut track) = settle(&mut driver, publish(&origin));
    let driver = thread::spawn(move || block_on(driver));
    let subscription = block_on(subscribe(&origin));
    block_on(track.wanted()).unwrap();
    drop((broadcast, track, subscription, origin));
    driver.join().unwrap();
}

/// A reader gets groups to the end of their track.
pub(super) fn groups_to_the_end() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops.clone());
    let (_broadcast, mut track) = settle(&mut driver, publish(&origin));
    let mut subscription = settle(&mut driver, subscribe(&origin));
    track.try_group().unwrap().finish().unwrap();
    track.finish().unwrap();
    let driver = thread::spawn(move || block_on(driver));
    let group = block_on(subscription.next_group()).unwrap();
    assert_eq!(group.as_ref().map(GroupReader::sequence), Some(0));
    assert!(block_on(subscription.next_group()).unwrap().is_none());
    end(&ops);
    driver.join().unwrap();
}

/// A reader gets a frame to the end of its group, though the driver reads ahead no more than it may.
pub(super) fn read_ahead() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops.clone());
    let (_broadcast, mut track) = settle(&mut driver, publish(&origin));
    let mut subscription = settle(&mut driver, subscribe(&origin));
    let mut group = track.try_group().unwrap();
    group.try_write(0, vec![0; READ_AHEAD + 1].into()).unwrap();
    group.finish().unwrap();
    let group = settle(&mut driver, subscription.next_group());
    let mut group = group.unwrap().unwrap();
    let driver = thread::spawn(move || block_on(driver));
    let frame = block_on(group.next_frame()).unwrap().unwrap();
    assert_eq!(frame.payload.len(), READ_AHEAD + 1);
    assert_eq!(block_on(group.next_frame()), Ok(None));
    end(&ops);
    driver.join().unwrap();
}

/// A writer that waits until everything has been read is told, whenever that is.
pub(super) fn write_and_wait() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops.clone());
    let (_broadcast, mut track) = settle(&mut driver, publish(&origin));
    let subscription = settle(&mut driver, subscribe(&origin));
    settle(&mut driver, track.wanted()).unwrap();
    let mut group = track.try_group().unwrap();
    group.try_write(0, Bytes::from_static(b"frame")).unwrap();
    group.finish().unwrap();
    track.finish().unwrap();
    let driver = thread::spawn(move || block_on(driver));
    let reader = thread::spawn(move || drop(subscription));
    block_on(track.finished()).unwrap();
    end(&ops);
    reader.join().unwrap();
    driver.join().unwrap();
}

/// Who watches hears of what is announced.
pub(super) fn announcements_of_others() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops.clone());
    let broadcast = settle(&mut driver, origin.create(&path())).unwrap();
    let mut announced = settle(&mut driver, origin.announced(&Path::root())).unwrap();
    let driver = thread::spawn(move || block_on(driver));
    let publisher = thread::spawn(move || {
        say(broadcast.announce());
        broadcast
    });
    let first = block_on(announced.next()).unwrap();
    assert!(matches!(first, Announced::Active { path: at, .. } if at == path()));
    let _broadcast = publisher.join().unwrap();
    end(&ops);
    driver.join().unwrap();
}

/// A shutdown answers all who ask meanwhile, and ends though handles are left.
pub(super) fn shutdown_against_question() {
    let (driver, ops, _near) = local();
    let origin = Origin::new(ops.clone());
    let driver = thread::spawn(move || block_on(driver));
    let other = thread::spawn(move || {
        end(&ops);
        ops
    });
    let created = block_on(origin.create(&path()));
    driver.join().unwrap();
    if let Err(error) = created {
        assert_eq!(error, Error::Shutdown);
    }
    drop(other.join().unwrap());
}
