//! The suite of every runtime, in virtual time and on a network in memory: one thread, tasks in the order
//! in which they were woken, and a clock that jumps when all of them wait.

mod adaptive;
#[path = "../suite/mod.rs"]
mod bodies;
mod executor;
mod network;

use std::{
    future::poll_fn,
    net::{Ipv4Addr, UdpSocket},
    sync::mpsc::sync_channel,
    time::{Duration, Instant},
};

use executor::{Virtual, block_on};
use smoq_runtime::{
    ClientOptions, ConnectError, Runtime, Timer, connect,
    quic::{ConnectError as QuicError, Trust},
};

bodies::suite!(virtual_time, Virtual, block_on);

async fn sleep(time: Duration) {
    let mut timer = Virtual.timer();
    timer.reset(timer.now() + time);
    poll_fn(|cx| timer.poll(cx)).await;
}

#[test]
fn time_jumps_and_timers_keep_their_order() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (sender, receiver) = sync_channel(3);
    let begin = Instant::now();
    block_on(async {
        let start = Virtual.timer().now();
        for hours in [3, 1, 2] {
            let sender = sender.clone();
            Virtual.spawn(async move {
                sleep(hours * HOUR).await;
                sender.send(hours).unwrap();
            });
        }
        sleep(4 * HOUR).await;
        let passed = Virtual.timer().now() - start;
        assert!((4 * HOUR..5 * HOUR).contains(&passed), "{passed:?}");
    });
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert!(begin.elapsed() < HOUR);
}

#[test]
fn drivers_go_by_the_clock_of_their_runtime() {
    const LIMIT: Duration = Duration::from_secs(60);
    let begin = Instant::now();
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("moqt://{}", silent.local_addr().unwrap()).parse().unwrap();
    let mut options = ClientOptions::new(Trust::Insecure);
    (options.transport.handshake_timeout, options.transport.idle_timeout) = (LIMIT, LIMIT);
    let error = block_on(connect(&Virtual, &url, options)).err().unwrap();
    assert!(matches!(error, ConnectError::Quic(QuicError::Timeout { .. })), "{error}");
    assert!(begin.elapsed() < LIMIT);
}

#[test]
#[should_panic(expected = "everybody waits")]
fn a_wait_for_nothing_is_noticed() {
    block_on(std::future::pending::<()>());
}
