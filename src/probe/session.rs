//! A registration that does not outlive the command: it ends with the work, and with an interruption.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use roundtable_proto::client::RefusalCode;
use roundtable_proto::identity::Identity;
use roundtable_proto::wire::PeerId;
use tokio::time::Instant;

use super::failure::Failure;
use super::{line, target};
use crate::cli;
use crate::client::{Client, Incoming, Options, Registration};

/// A registered client, and what ends it early.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) incoming: Incoming,
    pub(super) server: SocketAddr,
    pub(super) identifier: PeerId,
    pub(super) observed: SocketAddr,
    interrupted: Interrupted,
}

/// Gives the name of the signal.
type Interrupted = Pin<Box<dyn Future<Output = &'static str>>>;

impl Session {
    /// Registers, for at most `wait`.
    pub(super) async fn open(server: &str, identity: Identity, wait: Duration) -> Result<Self, Failure> {
        Self::open_with(server, None, identity, wait).await
    }

    /// The same for a client that looks for paths, and asks `witness` why there is none.
    pub(super) async fn open_with(
        server: &str,
        witness: Option<&str>,
        identity: Identity,
        wait: Duration,
    ) -> Result<Self, Failure> {
        // Before anything is printed: whoever reads it may send a signal at once.
        let mut interrupted: Interrupted = Box::pin(cli::shutdown_signal().map_err(Failure::System)?);
        let opening = async {
            let server = target::answering(server).await?;
            let identifier = identity.identifier();
            let mut options = Options::new(server, identity);
            if let Some(witness) = witness {
                options.witness = Some(target::resolve(witness).await?);
            }
            let (client, incoming, observed) = registered_with(options, wait, |_| {}).await?;
            Ok((client, incoming, server, identifier, observed))
        };
        let (client, incoming, server, identifier, observed) = tokio::select! {
            opened = opening => opened?,
            signal = &mut interrupted => return Err(Failure::Interrupted { signal }),
        };
        Ok(Self { client, incoming, server, identifier, observed, interrupted })
    }

    /// Does the work unless a signal comes, and ends the registration, whatever became of it.
    pub(super) async fn close_after(
        self,
        work: impl AsyncFnOnce(&Client, &mut Incoming) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Self { client, mut incoming, interrupted, .. } = self;
        let worked = tokio::select! {
            worked = work(&client, &mut incoming) => worked,
            signal = interrupted => Err(Failure::Interrupted { signal }),
        };
        let ended = client.unregister().await.map_err(Failure::Client);
        worked.and(ended)
    }
}

/// Starts a client and waits until it is registered, or cannot be in time.
pub(super) async fn registered(
    server: SocketAddr,
    identity: Identity,
    wait: Duration,
) -> Result<(Client, Incoming, SocketAddr), Failure> {
    registered_noting(server, identity, wait, |_| {}).await
}

/// The same; tells every refusal on the way.
pub(super) async fn registered_noting(
    server: SocketAddr,
    identity: Identity,
    wait: Duration,
    note: impl FnMut(RefusalCode),
) -> Result<(Client, Incoming, SocketAddr), Failure> {
    registered_with(Options::new(server, identity), wait, note).await
}

/// The same for a client with these options.
pub(super) async fn registered_with(
    options: Options,
    wait: Duration,
    note: impl FnMut(RefusalCode),
) -> Result<(Client, Incoming, SocketAddr), Failure> {
    let (deadline, server) = (Instant::now() + wait, options.server);
    let (mut client, incoming) =
        Client::start(Options { capture: line::capture(), ..options }).await.map_err(Failure::System)?;
    let _or_late = tokio::time::timeout_at(deadline, decided(&mut client, deadline, note)).await;
    match client.registration() {
        Registration::Registered { observed, .. } => Ok((client, incoming, observed)),
        state @ (Registration::Asking
        | Registration::Refused { .. }
        | Registration::ServerSilent
        | Registration::Unregistered) => Err(Failure::not_registered(server, wait, state)),
    }
}

/// Waits until there is no use in waiting.
async fn decided(client: &mut Client, deadline: Instant, mut note: impl FnMut(RefusalCode)) {
    loop {
        let state = client.see_registration();
        if let Registration::Refused { code, .. } = state {
            note(code);
        }
        match state {
            Registration::Registered { .. } | Registration::Refused { retry_after: None, .. } => return,
            Registration::Refused { retry_after: Some(after), .. } if Instant::now() + after > deadline => {
                return;
            }
            Registration::Asking
            | Registration::Refused { retry_after: Some(_), .. }
            | Registration::ServerSilent
            | Registration::Unregistered => {}
        }
        if client.registration_changed().await.is_err() {
            return;
        }
    }
}
