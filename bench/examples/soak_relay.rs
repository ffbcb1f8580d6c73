//! A relay that knows how much of its memory is in use, for `cargo xtask soak`.
//!
//! It prints its URL, then the bytes in use for each line of standard input, with which it ends.

use std::{
    alloc::System,
    error::Error,
    future::pending,
    io::{self, BufRead},
    net::Ipv4Addr,
    num::NonZeroU8,
    process, thread,
};

use smoq_core::Limits;
use smoq_relay::{Config, Relay};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Little, so that it is full soon.
const STORE: usize = 32 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let relay = Relay::bind(Config {
        listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
        shards: NonZeroU8::new(1),
        limits: Limits { store_bytes: STORE, ..Limits::default() },
        ..Config::default()
    })?;
    println!("{}", relay.url());
    thread::spawn(|| {
        for _ in io::stdin().lock().lines() {
            let stats = ALLOCATOR.stats();
            println!("{}", stats.bytes_allocated - stats.bytes_deallocated);
        }
        process::exit(0);
    });
    Ok(relay.run(pending()).await?)
}
