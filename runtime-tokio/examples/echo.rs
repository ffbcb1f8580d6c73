//! An echo: each side publishes to the other, in one session. What a client says comes back to it.
//!
//!     cargo run -p smoq-tokio --example echo
//!
//! A server and two clients in one process, over real sockets. `smoq echo` does the same between
//! terminals.

mod support;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use smoq_tokio::{
    ClientOptions, Origin, Server, ServerEvent, Url, connect,
    core::{
        Admission, Announced, Discover, Grant, Path, Start, SubscribeOptions,
        wire::{SessionCode, TrackInfo},
    },
    quic::Trust,
};
use support::{Result, server};

/// Both sides announce this broadcast, which has this track.
const BROADCAST: &str = "japan/kyoto/text";
const TRACK: &str = "text";

#[tokio::main]
async fn main() -> Result {
    // The server decides about each client, and asks only for the announcements that it watches.
    let (server, url, trust) = server("/echo", |options| {
        options.admission = Admission::Ask;
        options.discover = Discover::OnDemand;
    })?;
    tokio::spawn(serve(server));

    let greetings = ["ohayou", "konnichiwa", "konbanwa"];
    let farewells = ["mata ne", "sayounara"];
    let (greeted, parted) =
        tokio::try_join!(talk(&url, &trust, &greetings), talk(&url, &trust, &farewells))?;
    println!("{greeted:?}\n{parted:?}");
    assert!(greeted == greetings && parted == farewells, "each hears what it said, nothing else");
    Ok(())
}

/// Lets clients in and starts an echo for each.
async fn serve(mut server: Server) -> Result {
    let mut clients = 0;
    while let Some(event) = server.next().await {
        match event {
            ServerEvent::Request { session, path, .. } if path == "/echo" => {
                // All clients use the same names. Each direction of each gets a place of its own in
                // the server's namespace, so they neither collide nor meet.
                clients += 1;
                let said = Path::new(&format!("client/{clients}"))?;
                let echo = Path::new(&format!("echo/{clients}"))?;
                server.grant(session, Grant { publish: Some(said), subscribe: Some(echo) }).await?;
            }
            ServerEvent::Request { session, .. } => {
                let code = SessionCode::UNAUTHORIZED;
                server.close_session(session, code, "end the URL with /echo").await?;
            }
            ServerEvent::Connected {
                grant: Grant { publish: Some(said), subscribe: Some(echo) },
                ..
            } => _ = tokio::spawn(answer(server.origin(), said, echo)),
            _ => {}
        }
    }
    Ok(())
}

/// Copies the track of one client, group by group and frame by frame.
async fn answer(origin: Origin, said: Path, echo: Path) -> Result {
    let (said, echo) = (said.join(&Path::new(BROADCAST)?)?, echo.join(&Path::new(BROADCAST)?)?);
    let mut announced = origin.announced(&said).await?;
    announced.next().await?;
    let mut source = origin.subscribe(&said, TRACK, everything()).await?;
    // A broadcast is announced when it has its tracks, so that nobody asks for one too early.
    let broadcast = origin.create(&echo).await?;
    let mut track = broadcast.track(TRACK, source.info().await?).await?;
    broadcast.announce().await?;
    while let Some(mut group) = source.next_group().await? {
        let mut copy = track.group_at(group.sequence()).await?;
        while let Some(frame) = group.next_frame().await? {
            copy.write(frame.timestamp, frame.payload).await?;
        }
        copy.finish()?;
    }
    track.finish()?;
    // The handle of a broadcast keeps it announced: here as long as the client's own is.
    while !matches!(announced.next().await?, Announced::Ended { .. }) {}
    Ok(())
}

/// Says lines, a group each, and gives what comes back.
async fn talk(url: &Url, trust: &Trust, lines: &[&'static str]) -> Result<Vec<String>> {
    let mut options = ClientOptions::new(trust.clone());
    // What the server publishes lies below `echo` for this client, and the server sees what lies below
    // `said`: else the client's own broadcast would stand where the echo comes.
    let (said, echo) = (Path::new("said")?, Path::new("echo")?);
    options.grant = Grant { publish: Some(echo.clone()), subscribe: Some(said.clone()) };
    let connection = connect(url, options).await?;
    let origin = connection.origin();

    let broadcast = origin.create(&said.join(&Path::new(BROADCAST)?)?).await?;
    let mut track = broadcast.track(TRACK, TrackInfo::default()).await?;
    broadcast.announce().await?;
    for (line, number) in lines.iter().zip(0..) {
        let mut group = track.group().await?;
        group.write(number, Bytes::from_static(line.as_bytes())).await?;
        group.finish()?;
    }
    track.finish()?;

    let echo = echo.join(&Path::new(BROADCAST)?)?;
    let mut announced = origin.announced(&echo).await?;
    announced.next().await?;
    let mut back = origin.subscribe(&echo, TRACK, everything()).await?;
    // Groups travel side by side and may overtake each other; their numbers tell the order.
    let mut heard = BTreeMap::new();
    while let Some(mut group) = back.next_group().await? {
        while let Some(frame) = group.next_frame().await? {
            heard.insert(group.sequence(), String::from_utf8(frame.payload.to_vec())?);
        }
    }
    connection.close(SessionCode::NO_ERROR, "").await;
    Ok(heard.into_values().collect())
}

/// Every group from the first on, however old.
fn everything() -> SubscribeOptions {
    SubscribeOptions { start: Start::From(0), max_age: Duration::MAX, ..Default::default() }
}

#[test]
fn it_works() {
    main().unwrap();
}
