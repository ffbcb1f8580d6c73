//! Two of our relays and a moq-relay in a ring, whose links are cut one after the other.
//!
//! It runs where `MOQ_RELAY_BIN` names a moq-relay: `cargo xtask interop` sets it to what `cargo xtask bench-relay` has
//! installed, and says so where there is none.

use std::{
    collections::BTreeSet,
    env,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use smoq_tokio::{
    Announcements, ClientOptions, Connection, Server, ServerOptions, Subscription, TrackWriter,
    Upstream, connect,
    core::{
        self, Announced, Start, SubscribeOptions,
        wire::{Hops, TrackInfo},
    },
    listen,
    quic::{
        ClientTls, ServerTls, Trust, roots_from_pem,
        rustls::pki_types::{CertificateDer, PrivateKeyDer},
    },
};
use tokio::{
    net::UdpSocket,
    process::{Child, Command},
    task::JoinSet,
};

/// Nothing waits for so long unless it hangs: longer than all silences after which a link counts as dead.
const PATIENCE: Duration = Duration::from_secs(60);
/// After so long without a word a link is dead, on all of them.
const IDLE: Duration = Duration::from_secs(3);
/// Groups that are published while the links are as they are, ten a second.
const GROUPS: u64 = 30 * IDLE.as_secs();

async fn step<T>(what: &str, step: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, step).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing for {PATIENCE:?}"))
}

/// The certificate that all three relays have.
struct Identity {
    folder: tempfile::TempDir,
    pem: String,
    chain: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    fn new() -> Self {
        let names = vec!["127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let (pem, key) = (cert.pem(), signing_key.serialize_pem());
        std::fs::write(folder.path().join("chain.pem"), &pem).expect("a file");
        std::fs::write(folder.path().join("key.pem"), key).expect("a file");
        Self { folder, pem, chain: cert.into(), key: signing_key.serialize_der() }
    }

    fn trust(&self) -> Trust {
        Trust::Roots(roots_from_pem(self.pem.as_bytes()).expect("a certificate"))
    }

    fn ours(&self, dials: &[SocketAddr]) -> Server {
        let key = PrivateKeyDer::Pkcs8(self.key.clone().into());
        let tls = ServerTls::new(vec![self.chain.clone()], key).expect("a TLS configuration");
        let mut options = ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), tls);
        let upstream = |address: &SocketAddr| {
            let url = format!("moqt://{address}").parse().expect("a URL");
            Upstream::new(url, ClientTls::new(self.trust()).expect("a TLS configuration"))
        };
        options.connect = dials.iter().map(upstream).collect();
        options.transport.idle_timeout = IDLE;
        options.transport.keep_alive = IDLE / 6;
        listen(options).expect("a port")
    }

    fn theirs(&self, program: &Path, address: SocketAddr, dials: SocketAddr) -> Child {
        let at = |name| self.folder.path().join(name);
        Command::new(program)
            .args(["--listen", &address.to_string(), "--auth-public", "**"])
            .args(["--cluster-connect", &format!("moqt://{dials}/"), "--cluster-id", "77"])
            .args(["--quic-idle-timeout", "3s", "--quic-keep-alive", "500ms"])
            .arg("--listen-tls-cert")
            .arg(at("chain.pem"))
            .arg("--listen-tls-key")
            .arg(at("key.pem"))
            .arg("--connect-tls-root")
            .arg(at("chain.pem"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("start moq-relay")
    }

    async fn client(&self, address: SocketAddr) -> Connection {
        let url = format!("moqt://{address}").parse().expect("a URL");
        loop {
            let connected = connect(&url, ClientOptions::new(self.trust())).await;
            match connected {
                Ok(connection) => return connection,
                Err(_) => tokio::time::sleep(IDLE / 10).await,
            }
        }
    }
}

/// A link that can be cut: datagrams between who dials it and one relay.
struct Wire {
    address: SocketAddr,
    whole: Arc<Mutex<bool>>,
    _tasks: JoinSet<()>,
}

impl Wire {
    async fn new(to: SocketAddr) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        far.connect(to).await.expect("an address");
        let (near, far) = (Arc::new(near), Arc::new(far));
        let address = near.local_addr().expect("an address");
        let whole = Arc::new(Mutex::new(true));
        let dialer = Arc::new(Mutex::new(None));
        let mut tasks = JoinSet::new();
        let ends = (near.clone(), far.clone(), whole.clone(), dialer.clone());
        tasks.spawn(async move {
            let (near, far, whole, dialer) = ends;
            let mut buffer = vec![0; 1 << 16];
            loop {
                let Ok((size, from)) = near.recv_from(&mut buffer).await else { continue };
                *dialer.lock().expect("no panic") = Some(from);
                if *whole.lock().expect("no panic") {
                    let _ = far.send(&buffer[..size]).await;
                }
            }
        });
        let intact = whole.clone();
        tasks.spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let Ok(size) = far.recv(&mut buffer).await else { continue };
                let to = *dialer.lock().expect("no panic");
                if let Some(to) = to.filter(|_| *intact.lock().expect("no panic")) {
                    let _ = near.send_to(&buffer[..size], to).await;
                }
            }
        });
        Self { address, whole, _tasks: tasks }
    }

    fn set(&self, whole: bool) {
        *self.whole.lock().expect("no panic") = whole;
    }
}

/// Who watches at one of the relays.
struct Viewer {
    name: &'static str,
    announced: Announcements,
    subscription: Subscription,
    hops: Hops,
    _connection: Connection,
}

impl Viewer {
    async fn new(name: &'static str, connection: Connection) -> Self {
        let path = core::Path::new("room/cam").expect("a path");
        let origin = connection.origin();
        let mut announced = origin.announced(&path).await.expect("a connection");
        let Ok(Announced::Active { hops, .. }) = step("an announcement", announced.next()).await
        else {
            panic!("{name}: announced and gone")
        };
        let options = SubscribeOptions {
            max_age: Duration::MAX,
            start: Start::Latest,
            ..SubscribeOptions::default()
        };
        let subscription = origin.subscribe(&path, "video", options).await.expect("a connection");
        Self { name, announced, subscription, hops, _connection: connection }
    }

    /// Reads until the last of these groups has come, and says how many of them have not come whole.
    async fn reads(&mut self, first: u64, last: u64) -> u64 {
        let (mut whole, mut sequence) = (BTreeSet::new(), None);
        while sequence != Some(last) {
            let group = self.subscription.next_group().await;
            let mut group = group.unwrap_or_else(|error| panic!("{}: {error}", self.name));
            let group = group.as_mut().unwrap_or_else(|| panic!("{}: it ended", self.name));
            sequence = Some(group.sequence());
            let is_whole = loop {
                match group.next_frame().await {
                    Ok(Some(frame)) => assert_eq!(frame.payload, payload(group.sequence())),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            whole.extend(sequence.filter(|sequence| is_whole && *sequence >= first));
        }
        last + 1 - first - whole.len() as u64
    }

    /// The way that is announced now.
    fn follow(&mut self) {
        while let Ok(Some(change)) = self.announced.try_next() {
            if let Announced::Active { hops, .. } = change {
                self.hops = hops;
            }
        }
        let mut seen: Vec<_> = self.hops.iter().collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), self.hops.len(), "{}: a loop in {:?}", self.name, self.hops);
    }
}

fn payload(group: u64) -> Vec<u8> {
    vec![group as u8; 3000]
}

async fn publish(track: &mut TrackWriter, sequence: u64) {
    let mut group = track.group().await.expect("a track");
    group.write(sequence, payload(sequence).into()).await.expect("a group");
    group.finish().expect("a group");
}

/// Publishes groups for longer than a dead link takes to be noticed, and has every viewer go along. Says how many
/// each of them misses.
async fn flows(
    what: &str,
    track: &mut TrackWriter,
    viewers: &mut [Viewer; 3],
    first: u64,
) -> [u64; 3] {
    let (begun, last) = (Instant::now(), first + GROUPS - 1);
    let write = async {
        for sequence in first..=last {
            publish(track, sequence).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let [a, b, c] = viewers;
    let read =
        async { tokio::join!(a.reads(first, last), b.reads(first, last), c.reads(first, last)) };
    let ((), (a, b, c)) = step(what, async { tokio::join!(write, read) }).await;
    let seconds = begun.elapsed().as_secs_f32();
    println!(
        "{what}: {GROUPS} groups in {seconds:.1} s; missing: smoq 1 {a}, smoq 2 {b}, moq-relay {c}"
    );
    [a, b, c]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_three_survives_its_links() {
    let Some(program) = env::var_os("MOQ_RELAY_BIN") else { return };
    let identity = Identity::new();
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let theirs = free.local_addr().expect("an address");
    drop(free);
    let one = identity.ours(&[]);
    let wires = [Wire::new(one.local_addr()).await, Wire::new(one.local_addr()).await];
    // They dial us, and we dial them.
    let _theirs = identity.theirs(program.as_ref(), theirs, wires[0].address);
    let other = identity.ours(&[wires[1].address, theirs]);

    let publisher = identity.client(one.local_addr()).await;
    let path = core::Path::new("room/cam").expect("a path");
    let broadcast = publisher.origin().publish(&path).await.expect("a connection");
    let mut track = broadcast.track("video", TrackInfo::default()).await.expect("a track");
    let view = async |name, address| {
        Viewer::new(name, step("a client", identity.client(address)).await).await
    };
    let mut viewers = [
        view("smoq 1", one.local_addr()).await,
        view("smoq 2", other.local_addr()).await,
        view("moq-relay", theirs).await,
    ];
    // All of them have a way when each has got one group.
    publish(&mut track, 0).await;
    for viewer in &mut viewers {
        assert_eq!(step("the first group", viewer.reads(0, 0)).await, 0, "{}", viewer.name);
    }
    // What may be missing where a way changes, and how many subscriptions our relays serve: each its viewer's, and
    // those of the relays that pull from it.
    let (cut, again) = (GROUPS / 3, 5);
    let phases = [
        ("all links", [true, true], 0, [3, 1]),
        ("smoq 1 - moq-relay is cut", [false, true], cut, [2, 2]),
        ("all links again", [true, true], again, [3, 1]),
        ("smoq 1 - smoq 2 is cut", [true, false], cut, [2, 1]),
        ("all links at last", [true, true], again, [2, 1]),
    ];
    let mut first = 1;
    for (what, whole, most, served) in phases {
        wires.iter().zip(whole).for_each(|(wire, whole)| wire.set(whole));
        let missing = flows(what, &mut track, &mut viewers, first).await;
        first += GROUPS;
        for viewer in &mut viewers {
            viewer.follow();
            let hops: Vec<_> = viewer.hops.iter().map(|hop| hop.get() % 10_000).collect();
            println!("  {}: hops {hops:?}", viewer.name);
        }
        let mut subscriptions = Vec::new();
        for server in [&one, &other] {
            let stats = server.stats().await.expect("a server");
            assert_eq!((stats.tracks, stats.violations), (1, 0), "{what}: one copy on each relay");
            subscriptions.push(stats.subscriptions);
        }
        println!("  served by smoq: {subscriptions:?}");
        assert_eq!(
            missing[0], 0,
            "{what}: nothing is between the publisher and its relay's viewer"
        );
        assert!(missing.iter().all(|missing| *missing <= most), "{what}: {missing:?}, not {most}");
        assert_eq!(subscriptions, served, "{what}: who pulls from whom");
    }
}
