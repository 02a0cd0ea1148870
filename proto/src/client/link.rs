//! What the registration means for everything else: may it send, and under which session.

use super::event::FailReason;
use crate::wire::Session;

/// The way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Registered.
    Up(Session),
    /// The server is silent, but nothing says that it has forgotten the session: sending goes on.
    Silent(Session),
    /// No session that is good at this address: sending waits.
    Down,
}

impl Link {
    /// Returns the session to send under, if sending makes sense.
    pub(super) fn session(self) -> Option<Session> {
        match self {
            Self::Up(session) | Self::Silent(session) => Some(session),
            Self::Down => None,
        }
    }

    /// Returns why time passed in vain: `reason` where the server is there, else its silence.
    pub(super) fn blame(self, reason: FailReason) -> FailReason {
        match self {
            Self::Up(_) => reason,
            Self::Silent(_) | Self::Down => FailReason::ServerSilent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_is_there_leaves_the_blame_elsewhere() {
        let session = Session([5; 16]);
        let blame = |link: Link| (link.session(), link.blame(FailReason::NoAnswer));
        assert_eq!(blame(Link::Up(session)), (Some(session), FailReason::NoAnswer));
        assert_eq!(blame(Link::Silent(session)), (Some(session), FailReason::ServerSilent));
        assert_eq!(blame(Link::Down), (None, FailReason::ServerSilent));
    }
}
