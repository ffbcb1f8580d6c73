//! The least there is: a server, a publisher and a subscriber, on native QUIC (`moqt://`).
//!
//!     cargo run -p smoq-tokio --example native_quic

use std::{error::Error, net::Ipv4Addr};

use bytes::Bytes;
use smoq_tokio::{
    ClientOptions, ServerOptions, Url, connect,
    core::{Path, SubscribeOptions, wire::TrackInfo},
    listen,
    quic::{ServerTls, Trust, fingerprint, rustls::pki_types::PrivateKeyDer},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A certificate for this run. Clients know it by its fingerprint.
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = made.cert.der().clone();
    let trust = Trust::Fingerprints(vec![fingerprint(&certificate)]);
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());

    // A server is a relay by itself: whoever connects may publish and subscribe. It runs as long as
    // its handle is there.
    let tls = ServerTls::new(vec![certificate], key)?;
    let server = listen(ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), tls))?;
    let url: Url = format!("moqt://{}", server.local_addr()).parse()?;
    let name = Path::new("clock")?;

    // The publisher: a broadcast with one track, announced when the track is there.
    let publisher = connect(&url, ClientOptions::new(trust.clone())).await?;
    let broadcast = publisher.origin().create(&name).await?;
    let mut track = broadcast.track("seconds", TrackInfo::default()).await?;
    broadcast.announce().await?;

    // The subscriber waits for the announcement, and asks for the track from its newest group on.
    let subscriber = connect(&url, ClientOptions::new(trust)).await?;
    let origin = subscriber.origin();
    let mut announced = origin.announced(&name).await?;
    println!("{:?}", announced.next().await?);
    let mut subscription = origin.subscribe(&name, "seconds", SubscribeOptions::default()).await?;

    // When somebody listens: a group of three frames, and the end of the track.
    track.wanted().await?;
    let mut group = track.group().await?;
    for second in 0..3 {
        group.write(second * 1000, Bytes::from(format!("tick {second}"))).await?;
    }
    group.finish()?;
    track.finish()?;

    let mut ticks = 0;
    while let Some(mut group) = subscription.next_group().await? {
        while let Some(frame) = group.next_frame().await? {
            println!("{} ms: {}", frame.timestamp, String::from_utf8_lossy(&frame.payload));
            ticks += 1;
        }
    }
    assert_eq!(ticks, 3);
    Ok(())
}

#[test]
fn it_works() {
    main().unwrap();
}
