//! A host behind a NAT, a server, and what an examination does between them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use roundtable_proto::client::{self, Event};
use roundtable_proto::identity::{Identity, SecretKey};
use roundtable_proto::nat::{self, Sighting};
use roundtable_proto::server;
use roundtable_proto::stun::{self, Reply};
use roundtable_proto::vnet::{
    Arrival, Behaviour, Gateway, Host, INTERNET, Link, Realm, SECOND_PORT, SERVER_V4, SERVER_V6, Seat,
    UNIX_TIME, World,
};
use roundtable_proto::wire::PeerId;

use crate::client::Registration;
use crate::probe::examine::asking::Asking;
use crate::probe::examine::pings::Pings;
use crate::probe::examine::reach::{Reach, Silence};
use crate::probe::examine::sheet::Finding;

const SEED: u64 = 7;
/// Of the client on each host; what else asks has the next ones.
const PORT: u16 = 5000;
/// Of the server's second port.
pub(super) const SECOND: SocketAddr = SocketAddr::new(SERVER_V4.ip(), SECOND_PORT);

/// A host, and the NAT before it.
#[derive(Clone, Copy)]
pub(super) struct Home {
    pub(super) host: Host,
    pub(super) gateway: Gateway,
}

/// The network, and what was found in it.
pub(super) struct Place {
    pub(super) world: World,
    pub(super) here: Home,
    /// Ports that have been opened on any host.
    opened: u16,
    sheet: String,
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Puts a host behind a NAT of its own, 20 ms from the core.
pub(super) fn home(world: &mut World, number: u8, nat: Behaviour) -> Home {
    home_in(world, (INTERNET, [198, 51, 100, number].into()), number, nat)
}

/// The same in another realm than the internet, under this address.
pub(super) fn home_in(world: &mut World, (realm, seen): (Realm, IpAddr), number: u8, nat: Behaviour) -> Home {
    let near = Link::after(Duration::from_millis(1));
    let far = Link::after(Duration::from_millis(20));
    let network = world.network_mut();
    let gateway = network.add_nat(realm, seen, nat, far);
    let host = network.add_host(network.inside(gateway), &[[192, 168, number, 2].into()], near);
    Home { host, gateway }
}

impl Place {
    pub(super) fn new() -> Self {
        Self::with(server::Config::default(), Behaviour::port_restricted())
    }

    pub(super) fn with(config: server::Config, nat: Behaviour) -> Self {
        let mut world = World::new(SEED, server::Config { max_peers: config.max_peers.min(64), ..config });
        let here = home(&mut world, 1, nat);
        Self { world, here, opened: PORT, sheet: String::new() }
    }

    /// Changes the link of this host's NAT.
    pub(super) fn change_link(&mut self, change: impl FnOnce(&mut Link)) {
        let mut link = self.world.network().link(self.here.gateway);
        change(&mut link);
        self.world.network_mut().set_link(self.here.gateway, link);
    }

    pub(super) fn note(&mut self, finding: &Finding) {
        self.sheet += &format!("{finding}\n");
    }

    /// Notes where what follows was found.
    pub(super) fn head(&mut self, text: &str) {
        self.sheet += &format!("# {text}\n");
    }

    /// Asserts that what was found is what is kept under this name.
    #[track_caller]
    pub(super) fn assert_found(&self, name: &str) {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/silences/virtual/{name}.txt"));
        if std::env::var_os("GOLDEN").is_some() {
            std::fs::write(&path, &self.sheet).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.sheet, kept, "{}; {}", path.display(), self.world.whereabouts());
    }

    /// Opens a port that nobody has.
    pub(super) fn open(&mut self, host: Host) -> u16 {
        self.opened += 1;
        self.world.open(host, self.opened);
        self.opened
    }

    /// Lets something ask a server from one port, and be answered at another, which may be the same.
    pub(super) fn ask(
        &mut self,
        host: Host,
        (out, back): (u16, u16),
        server: SocketAddr,
        asking: &mut impl Asking,
    ) {
        let world = &mut self.world;
        loop {
            while let Some(datagram) = asking.poll(world.now()) {
                // As the system says it.
                if world.network().address(host, server.ip()).is_none() {
                    asking.take(world.now(), Err(io::ErrorKind::NetworkUnreachable.into()));
                }
                world.send(host, out, server, &datagram);
            }
            let Some(next) = asking.next() else { return };
            let mut come = Vec::new();
            while come.is_empty() && world.step(next) {
                come = world.take(host, back);
            }
            for arrival in come {
                match arrival {
                    Arrival::Datagram { at, contents, .. } => asking.take(at, Ok(&contents)),
                    Arrival::Unreachable { at, .. } => {
                        asking.take(at, Err(io::ErrorKind::ConnectionRefused.into()));
                    }
                }
            }
        }
    }

    /// Looks how far PINGs come. What stops them here stops UDP alone.
    pub(super) fn reach(&mut self, server: SocketAddr) -> Reach {
        let (host, mut pings) = (self.here.host, Pings::new());
        let port = self.open(host);
        let local = self.world.network().address(host, server.ip()).map(|ip| SocketAddr::new(ip, port));
        self.ask(host, (port, port), server, &mut pings);
        let silence = pings.heard.is_nothing().then_some(Silence { has_tcp: true, hops: None });
        Reach { server, local, heard: pings.heard, silence }
    }

    /// Adds a client that knows its host's addresses, and lets it ask for a registration.
    pub(super) fn settle(&mut self, host: Host, port: u16, config: client::Config) -> Seat {
        let seat = self.world.add_client_with(host, port, config);
        let families = [SERVER_V4.ip(), SERVER_V6.ip()];
        let own = families.into_iter().filter_map(|towards| self.world.network().address(host, towards));
        let hosts = own.map(|ip| SocketAddr::new(ip, port)).collect();
        self.world.command(seat, |client, now| {
            client.set_hosts(hosts);
            client.register(now);
        });
        seat
    }

    /// The same; returns how the registration stands then, and what it was refused for on the way.
    pub(super) fn register(
        &mut self,
        host: Host,
        config: client::Config,
        wait: Duration,
    ) -> (Seat, Registration, Vec<client::RefusalCode>) {
        let seat = self.settle(host, PORT, config);
        let is_registered =
            |world: &World| matches!(world.events(seat).last(), Some((_, Event::Registered { .. })));
        self.world.run_until(wait, is_registered);
        let (mut state, mut refusals) = (Registration::Asking, Vec::new());
        for (_, event) in self.world.events(seat) {
            state = state.after(event).unwrap_or(state);
            if let Event::RegistrationFailed { code, .. } = *event {
                refusals.push(code);
            }
        }
        (seat, state, refusals)
    }

    /// Asks the server's two ports how this host's NAT maps.
    pub(super) fn behaviour(&mut self) -> nat::Behaviour {
        let host = self.here.host;
        let port = self.open(host);
        let seen = [SERVER_V4, SECOND].map(|server| {
            let transaction = [1; 12];
            self.world.send(host, port, server, &stun::request(transaction, stun::Change::default()));
            self.world.run(secs(1));
            let come = self.world.take(host, port);
            let [Arrival::Datagram { contents, .. }] = &come[..] else { panic!("{come:?}") };
            let Some(Reply::Told(told)) = stun::reply(contents, transaction) else { panic!("{contents:?}") };
            Sighting { server, mapped: told.mapped }
        });
        let public = seen[0].mapped;
        nat::Behaviour {
            public: public.ip(),
            is_translated: self.world.network().address(host, public.ip()) != Some(public.ip()),
            mapping: nat::mapping(&seen),
            filtering: None,
            keeps_port: public.port() == port,
            hairpin: None,
            elsewhere: None,
        }
    }
}

/// How a client of this identity is told of the server.
pub(super) fn config(identity: impl Into<Identity>) -> client::Config {
    client::Config::new(SERVER_V4, identity.into(), UNIX_TIME)
}

pub(super) fn plain(number: u8) -> PeerId {
    PeerId::plain([number; 16]).unwrap()
}

pub(super) fn keyed(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32]).unwrap()
}

/// An address of IPv6 alone.
pub(super) fn ipv6(number: u16) -> IpAddr {
    [0x2001, 0xdb8, number, 0, 0, 0, 0, 2].into()
}
