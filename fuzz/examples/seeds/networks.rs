//! Seeds of what needs a network, or several parties.

use std::io;

use smoq_sim::Rng;

use crate::write;

pub(crate) fn seeds() -> io::Result<()> {
    // What they mean is drawn from them, so any bytes are as good.
    for (name, length) in [("short", 16), ("middle", 80), ("long", 300)] {
        for body in ["world_pair", "world_attack", "world_relay"] {
            let mut rng = Rng::new(length, 7);
            let bytes: Vec<_> = (0..length).map(|_| rng.next() as u8).collect();
            write(body, name, &bytes)?;
        }
    }

    // All arrives, now and then after a while, or with something done to every sixth datagram.
    let plain = |count| [&[0; 8][..], &[4, 3]].concat().repeat(count);
    write("quic_datagrams", "raw", &[&[0, 0], &plain(5)[..]].concat())?;
    write("quic_datagrams", "web", &[&[1, 1], &plain(9)[..]].concat())?;
    let spoilt = |op: &[u8]| [&[0, 2][..], &[&[0; 5], op].concat().repeat(8)].concat();
    write("quic_datagrams", "lost", &spoilt(&[3, 4, 40]))?;
    write("quic_datagrams", "changed", &spoilt(&[6, 0, 30, 5]))?;
    write("quic_datagrams", "cut", &spoilt(&[7, 1, 0]))?;
    write("quic_datagrams", "late", &spoilt(&[8, 8]))?;
    write("quic_datagrams", "twice", &[&[0, 3, 9][..], &[0, 9, 0, 0, 9].repeat(6)].concat())?;
    write(
        "quic_datagrams",
        "stranger",
        &[0, 0, 5, 0, 7, 0xc0, 0, 0, 0, 9, 1, 2, 0, 5, 1, 3, 0x40, 1, 2],
    )?;

    // Two handles of four send, wait and go; the driver takes, and goes.
    let (push, poll, force, clone, drop, take) = (0x20, 0x22, 4, 5, 6, 7);
    let busy = [take, push, push, push, push, poll, clone, poll | 8, force, take, poll | 8, take];
    write("runtime_mailbox", "busy", &busy)?;
    write("runtime_mailbox", "ends", &[clone, take, push | 0xe0, push, poll, drop, drop])?;
    write(
        "runtime_mailbox",
        "closed",
        &[clone, push, push, push, poll, poll | 8, 0xff, force, poll],
    )
}
