//! The executor and its clock.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use smoq_runtime::{Runtime, Timer};

use crate::network::{Datagram, MemorySocket, Ports};

/// What each poll takes, so that time passes too while somebody only yields.
const TURN: Duration = Duration::from_micros(1);

/// The world of this thread.
#[derive(Clone, Copy)]
pub(crate) struct Virtual;

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World {
        now: Instant::now(),
        ready: VecDeque::new(),
        agenda: BTreeMap::new(),
        entries: 0,
        ports: Ports::default(),
    });
}

/// Tasks, time and network.
pub(crate) struct World {
    pub(crate) now: Instant,
    ready: VecDeque<Arc<Task>>,
    agenda: BTreeMap<Entry, Event>,
    entries: u64,
    pub(crate) ports: Ports,
}

/// When, and which of those at the same time.
type Entry = (Instant, u64);

enum Event {
    Wake(Waker),
    Deliver(Datagram),
}

/// Nothing that it calls may wake anybody, or drop a task.
pub(crate) fn world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(act)
}

/// [`world`] for what may be dropped when the world has gone, at the end of its thread.
pub(crate) fn remaining<T>(act: impl FnOnce(&mut World) -> T) -> Option<T> {
    WORLD.try_with(|world| act(&mut world.borrow_mut())).ok()
}

impl World {
    fn enter(&mut self, at: Instant, event: Event) -> Entry {
        self.entries += 1;
        let entry = (at, self.entries);
        self.agenda.insert(entry, event);
        entry
    }

    /// Has a datagram arrive after `delay`.
    pub(crate) fn deliver(&mut self, delay: Duration, datagram: Datagram) {
        self.enter(self.now + delay, Event::Deliver(datagram));
    }

    /// The next event that is due. Time jumps to it when nobody has anything to do.
    fn next_event(&mut self) -> Option<Event> {
        let at = self.agenda.first_key_value()?.0.0;
        if self.ready.is_empty() {
            self.now = self.now.max(at);
        }
        if at > self.now {
            return None;
        }
        self.agenda.pop_first().map(|(_, event)| event)
    }
}

pub(crate) struct Task {
    /// `None` when it is done; the one that is blocked on is elsewhere.
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    ready: AtomicBool,
}

impl Task {
    fn start(future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>) -> Arc<Self> {
        let task = Arc::new(Self { future: Mutex::new(future), ready: AtomicBool::new(false) });
        task.clone().wake();
        task
    }

    fn run(self: Arc<Self>) {
        let mut future = self.future.lock().unwrap();
        let waker = self.clone().into();
        if let Some(running) = &mut *future
            && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *future = None;
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.ready.swap(true, Ordering::SeqCst) {
            // A driver that ends with the world still wakes those it tells of its end.
            remaining(|world| world.ready.push_back(self.clone()));
        }
    }
}

/// Runs one future to its end, and every task until then.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let main = Task::start(None);
    let waker = main.clone().into();
    loop {
        while let Some(event) = world(World::next_event) {
            match event {
                Event::Wake(waker) => waker.wake(),
                Event::Deliver(datagram) => {
                    if let Some(waker) = world(|world| world.ports.deliver(datagram)) {
                        waker.wake();
                    }
                }
            }
        }
        let task = world(|world| world.ready.pop_front());
        let task = task.expect("everybody waits, and nothing will ever happen");
        task.ready.store(false, Ordering::SeqCst);
        if !Arc::ptr_eq(&task, &main) {
            task.run();
        } else if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        world(|world| world.now += TURN);
    }
}

impl Runtime for Virtual {
    type Socket = MemorySocket;
    type Timer = VirtualTimer;

    fn socket(&self, socket: UdpSocket) -> io::Result<MemorySocket> {
        MemorySocket::new(socket)
    }

    fn timer(&self) -> VirtualTimer {
        VirtualTimer { at: None, entry: None }
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        Task::start(Some(Box::pin(future)));
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host {
            "localhost" => Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

pub(crate) struct VirtualTimer {
    at: Option<Instant>,
    entry: Option<Entry>,
}

impl VirtualTimer {
    fn leave(&mut self) {
        // What it would have woken is dropped when the world is free again.
        let entry = self.entry.take();
        let _event = entry.and_then(|entry| remaining(|world| world.agenda.remove(&entry)));
    }
}

impl Drop for VirtualTimer {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Timer for VirtualTimer {
    fn now(&self) -> Instant {
        world(|world| world.now)
    }

    fn reset(&mut self, deadline: Instant) {
        self.at = Some(deadline);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.leave();
        let Some(at) = self.at else { return Poll::Pending };
        if at <= self.now() {
            self.at = None;
            return Poll::Ready(());
        }
        let event = Event::Wake(cx.waker().clone());
        self.entry = Some(world(|world| world.enter(at, event)));
        Poll::Pending
    }
}
