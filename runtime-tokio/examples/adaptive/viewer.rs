//! Somebody who shows the rendition that the way has room for.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use super::{
    Connection, GroupReader, Path, Result, SubscribeOptions, Subscription, TrackWriter,
    policy::{Policy, RATES, Wants},
};

/// The names of the renditions.
pub(crate) const NAMES: [&str; 2] = ["low", "high"];

/// Pictures per second, and in a group.
const PICTURES: u32 = 10;
const GROUP: u32 = 5;

/// What time it is, where this runs.
pub(crate) trait Clock {
    fn now(&self) -> Instant;
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()>;
}

/// Writes both renditions of one source, for ever. Their groups have the same numbers.
pub(crate) async fn write(clock: &impl Clock, tracks: &mut [TrackWriter; 2]) -> Result {
    let mut at = clock.now();
    for number in 0.. {
        let mut groups = [tracks[0].group().await?, tracks[1].group().await?];
        for picture in 0..GROUP {
            for (group, rate) in groups.iter_mut().zip(RATES) {
                let size = rate / u64::from(8 * PICTURES);
                let millis = u64::from((number * GROUP + picture) * 1000 / PICTURES);
                group.write(millis, vec![0; size as usize].into()).await?;
            }
            at += Duration::from_secs(1) / PICTURES;
            clock.sleep_until(at).await;
        }
        for group in groups {
            group.finish()?;
        }
    }
    Ok(())
}

/// One rendition, as far as it is subscribed to.
#[derive(Default)]
struct Rendition {
    subscription: Option<Subscription>,
    group: Option<GroupReader>,
}

impl Rendition {
    /// The next picture. A group that goes on is left for a newer one.
    fn poll_picture(&mut self, cx: &mut Context<'_>) -> Poll<Result> {
        let Some(subscription) = &mut self.subscription else { return Poll::Pending };
        while let Poll::Ready(group) = subscription.poll_next_group(cx) {
            self.group = Some(group?.ok_or("the track has ended")?);
        }
        let Some(group) = &mut self.group else { return Poll::Pending };
        match ready!(group.poll_next_frame(cx)) {
            Ok(Some(_)) => Poll::Ready(Ok(())),
            // It has ended, or was given up because it is too late; a newer one will come.
            Ok(None) | Err(_) => {
                self.group = None;
                Poll::Pending
            }
        }
    }
}

enum News {
    Picture(usize),
    Bitrate(Option<u64>),
    Time,
}

/// Shows a broadcast, and tells each time which rendition is shown from now on.
pub(crate) async fn watch(
    clock: &impl Clock,
    connection: &Connection,
    path: &Path,
    mut shows: impl FnMut(&'static str),
) -> Result {
    let origin = connection.origin();
    let mut estimates = connection.estimates().await?;
    let mut policy = Policy::new(clock.now());
    let mut renditions = [Rendition::default(), Rendition::default()];
    let mut shown = None;
    loop {
        let wants = policy.wants();
        // What is tried has to leave alone what is looked at.
        let wanted = [(wants != Wants::High, 200), (wants != Wants::Low, 100)];
        for (index, (wanted, priority)) in wanted.into_iter().enumerate() {
            let rendition = &mut renditions[index];
            if wanted && rendition.subscription.is_none() {
                let max_age = Duration::from_millis(500);
                let options = SubscribeOptions { priority, max_age, ..Default::default() };
                rendition.subscription = Some(origin.subscribe(path, NAMES[index], options).await?);
            } else if !wanted {
                *rendition = Rendition::default();
            }
        }
        let deadline = policy.deadline();
        let mut time = pin!(async move {
            match deadline {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        });
        let news = poll_fn(|cx| {
            if let Poll::Ready(estimate) = estimates.poll_next(cx) {
                let estimate = estimate.ok_or("the server says nothing more")?;
                return Poll::Ready(Ok(News::Bitrate(estimate.bitrate)));
            }
            for (index, rendition) in renditions.iter_mut().enumerate() {
                if let Poll::Ready(picture) = rendition.poll_picture(cx) {
                    return Poll::Ready(picture.map(|()| News::Picture(index)));
                }
            }
            time.as_mut().poll(cx).map(|()| Ok(News::Time))
        });
        match news.await? {
            News::Bitrate(bitrate) => policy.hear(clock.now(), bitrate),
            News::Time => policy.advance(clock.now()),
            News::Picture(index) => {
                let looked_at = usize::from(policy.wants() == Wants::High);
                if index == looked_at && shown.replace(index) != Some(index) {
                    shows(NAMES[index]);
                }
            }
        }
    }
}
