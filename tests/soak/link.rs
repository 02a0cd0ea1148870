//! A client's link to the server, through a NAT: loses and repeats datagrams, gets a new mapping when told, can be cut.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use roundtable_signalling::proto::wire;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::Shared;

/// Of a hundred datagrams, those that are lost in each direction, and those that arrive twice.
const LOST: usize = 3;
const REPEATED: usize = 1;

pub(crate) struct Link {
    /// What the client takes for the server.
    pub(crate) address: SocketAddr,
    near: Arc<UdpSocket>,
    state: Rc<State>,
    shared: Rc<Shared>,
    up: JoinHandle<()>,
    down: RefCell<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    client: Cell<Option<SocketAddr>>,
    mapping: RefCell<Option<Arc<UdpSocket>>>,
    is_cut: Cell<bool>,
}

impl Link {
    pub(crate) async fn start(shared: &Rc<Shared>) -> Self {
        let near = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let state = Rc::new(State::default());
        let address = near.local_addr().unwrap();
        let up = tokio::task::spawn_local(up(Arc::clone(&near), Rc::clone(&state), Rc::clone(shared)));
        let down = map(&near, &state, shared).await;
        Self { address, near, state, shared: Rc::clone(shared), up, down: down.into() }
    }

    /// Gets a new mapping, as after a NAT's restart: the server sees another address from now on.
    pub(crate) async fn remap(&self) {
        let down = map(&self.near, &self.state, &self.shared).await;
        self.down.replace(down).abort();
    }

    /// Lets nothing pass any more.
    pub(crate) fn cut(&self) {
        self.state.is_cut.set(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.up.abort();
        self.down.borrow().abort();
    }
}

/// Makes a mapping, and carries what comes to it.
async fn map(near: &Arc<UdpSocket>, state: &Rc<State>, shared: &Rc<Shared>) -> JoinHandle<()> {
    let far = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    state.mapping.replace(Some(Arc::clone(&far)));
    tokio::task::spawn_local(down(Arc::clone(near), far, Rc::clone(state), Rc::clone(shared)))
}

async fn up(near: Arc<UdpSocket>, state: Rc<State>, shared: Rc<Shared>) {
    let mut bytes = [0; wire::DATAGRAM_MAX];
    while let Ok((length, from)) = near.recv_from(&mut bytes).await {
        state.client.set(Some(from));
        let far = state.mapping.borrow().clone();
        for _ in 0..copies(&state, &shared) {
            let Some(far) = &far else { continue };
            far.send_to(&bytes[..length], shared.server).await.unwrap();
            shared.report.borrow_mut().count_sent();
        }
    }
}

async fn down(near: Arc<UdpSocket>, far: Arc<UdpSocket>, state: Rc<State>, shared: Rc<Shared>) {
    let mut bytes = [0; wire::DATAGRAM_MAX];
    while let Ok((length, _)) = far.recv_from(&mut bytes).await {
        for _ in 0..copies(&state, &shared) {
            if let Some(client) = state.client.get() {
                // The client may have gone.
                drop(near.send_to(&bytes[..length], client).await);
            }
        }
    }
}

fn copies(state: &State, shared: &Shared) -> usize {
    if state.is_cut.get() || shared.chance(LOST) { 0 } else { 1 + usize::from(shared.chance(REPEATED)) }
}
