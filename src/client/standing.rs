//! What the engine's events say of the registration.

use roundtable_proto::client::Event;

use super::Registration;

impl Registration {
    /// Returns how it stands after the event; none where that says nothing of it, or nothing new.
    pub(crate) fn after(self, event: &Event) -> Option<Self> {
        match *event {
            Event::Registered { observed, timeout, maxblob, resumed, .. } => {
                let observed = observed.socket_addr()?;
                Some(Self::Registered { observed, timeout, maxblob, resumed })
            }
            Event::AddressChanged { observed } => {
                let Self::Registered { observed: before, timeout, maxblob, .. } = self else { return None };
                let observed = observed.socket_addr().filter(|observed| *observed != before)?;
                Some(Self::Registered { observed, timeout, maxblob, resumed: true })
            }
            Event::RegistrationFailed { code, detail, retry_after } => {
                Some(Self::Refused { code, detail, retry_after })
            }
            Event::ServerSilent => Some(Self::ServerSilent),
            Event::Unregistered => Some(Self::Unregistered),
            Event::Pong { .. }
            | Event::Offered { .. }
            | Event::OfferRefused { .. }
            | Event::OfferDelivered { .. }
            | Event::Answered { .. }
            | Event::Declined { .. }
            | Event::AnswerDelivered { .. }
            | Event::Candidate { .. }
            | Event::CandidatesFailed { .. }
            | Event::PathLost { .. }
            | Event::FreshPort { .. }
            | Event::Path { .. }
            | Event::PunchFailed { .. }
            | Event::Failed { .. }
            | Event::Yielded { .. } => None,
        }
    }
}
