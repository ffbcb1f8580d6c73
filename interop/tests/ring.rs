//! Two of our relays and a moq-relay in a ring, whose links are cut one after the other.
//!
//! Skipped, and said so, where there is no moq-relay: `MOQ_RELAY_BIN`, or what `cargo xtask bench relay` has
//! installed.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
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

async fn step<T>(what: &str, step: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, step).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing for {PATIENCE:?}"))
}

fn moq_relay() -> Option<PathBuf> {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin/moq-relay");
    let path = env::var_os("MOQ_RELAY_BIN").map_or_else(|| installed.into(), PathBuf::from);
    path.is_file().then_some(path)
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
        let log = std::fs::File::create(at("log")).expect("a file");
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
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("start moq-relay")
    }

    /// How often moq-relay has subscribed to a track elsewhere.
    fn pulled(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("log")).expect("a log");
        let pulled =
            |line: &&str| line.contains("lite::subscriber") && line.contains("subscribe started");
        log.lines().filter(pulled).count()
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

    /// Reads up to this group, and says how many are missing before it.
    async fn reads(&mut self, until: u64, last: u64) -> u64 {
        let (mut next, mut missing) = (last.wrapping_add(1), 0);
        while next <= until {
            let group = self.subscription.next_group().await;
            let mut group = group.unwrap_or_else(|error| panic!("{}: {error}", self.name));
            let group = group.as_mut().unwrap_or_else(|| panic!("{}: it ended", self.name));
            let whole = loop {
                match group.next_frame().await {
                    Ok(Some(frame)) => assert_eq!(frame.payload, payload(group.sequence())),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            missing += group.sequence().saturating_sub(next) + u64::from(!whole);
            next = next.max(group.sequence() + 1);
        }
        missing
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

/// Publishes groups for longer than a dead link takes to be noticed, and has every viewer go along.
async fn flows(what: &str, track: &mut TrackWriter, viewers: &mut [Viewer; 3], written: &mut u64) {
    let (begun, groups) = (Instant::now(), 30 * IDLE.as_secs());
    let (before, last) = (written.wrapping_sub(1), *written + groups - 1);
    let write = async {
        while *written <= last {
            let mut group = track.group().await.expect("a track");
            group.write(*written, payload(*written).into()).await.expect("a group");
            group.finish().expect("a group");
            *written += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let [a, b, c] = viewers;
    let read =
        async { tokio::join!(a.reads(last, before), b.reads(last, before), c.reads(last, before)) };
    let ((), (a, b, c)) = step(what, async { tokio::join!(write, read) }).await;
    let seconds = begun.elapsed().as_secs_f32();
    println!(
        "{what}: {groups} groups in {seconds:.1} s; missing: smoq 1 {a}, smoq 2 {b}, moq-relay {c}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_three_survives_its_links() {
    let Some(program) = moq_relay() else {
        println!("NOT RUN: there is no moq-relay; set MOQ_RELAY_BIN");
        return;
    };
    let identity = Identity::new();
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let theirs = free.local_addr().expect("an address");
    drop(free);
    let one = identity.ours(&[]);
    let wires = [Wire::new(one.local_addr()).await, Wire::new(one.local_addr()).await];
    // They dial us, and we dial them.
    let _theirs = identity.theirs(&program, theirs, wires[0].address);
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
    let (mut written, mut pulls) = (0, identity.pulled());
    let phases = [
        ("all links", [true, true]),
        ("smoq 1 - moq-relay is cut", [false, true]),
        ("all links again", [true, true]),
        ("smoq 1 - smoq 2 is cut", [true, false]),
        ("all links at last", [true, true]),
    ];
    for (what, whole) in phases {
        wires.iter().zip(whole).for_each(|(wire, whole)| wire.set(whole));
        flows(what, &mut track, &mut viewers, &mut written).await;
        for viewer in &mut viewers {
            viewer.follow();
            let hops: Vec<_> = viewer.hops.iter().map(|hop| hop.get() % 10_000).collect();
            println!("  {}: hops {hops:?}", viewer.name);
        }
        let mut tracks = Vec::new();
        for server in [&one, &other] {
            let stats = server.stats().await.expect("a server");
            assert_eq!((stats.tracks, stats.violations), (1, 0), "{what}: one copy on each relay");
            tracks.push(stats.subscriptions);
        }
        let pulled = identity.pulled();
        println!("  served by smoq: {tracks:?}; subscribed by moq-relay: {}", pulled - pulls);
        pulls = pulled;
    }
}
