//! Recordings of a relay, and what becomes of them when another one is started by mistake.

use std::{fs, net::Ipv4Addr};

use smoq_relay::{Config, Record, Relay};

#[tokio::test]
async fn a_relay_that_does_not_start_leaves_the_files_of_one_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tape");
    let config = |port| {
        let record = Some(Record { file: file.clone(), limit: 1 << 20 });
        Config { listen: Some((Ipv4Addr::LOCALHOST, port).into()), record, ..Config::default() }
    };
    let running = Relay::bind(config(0)).unwrap();
    let files = || fs::read_dir(&folder).unwrap().count();
    let before = files();
    for _ in 0..2 {
        Relay::bind(config(running.local_addr().port())).map(|_| ()).unwrap_err();
    }
    assert_eq!(files(), before);
}
