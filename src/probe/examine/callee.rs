//! What became of an offer, and what that says of the peer and of the way to it. Judges; knows nothing of sockets.

use std::time::Duration;

use roundtable_proto::client::FailReason;
use roundtable_proto::seal::OpenError;
use roundtable_proto::wire::{ErrorCode, PeerId};
use serde_json::json;

use super::sheet::{Fault, Finding};
use crate::client::{ClientError, Outcome, Progress, Transfer};
use crate::probe::failure::Failure;
use crate::probe::identity::Sealing;
use crate::probe::report::{millis, shown};

/// Whom an offer goes to, where it was registered for that, and whether the two have keys.
pub(super) struct Callee {
    pub(super) peer: PeerId,
    pub(super) server: String,
    pub(super) sealing: Sealing,
}

/// What to do where nobody answers.
const LOOK_THERE: &str = "look at the other side's program; if that has answered, something on its way swallows the answer: have \
                          doctor run there";

/// Why some of a train's datagrams come, and others however often they are repeated do not.
const LONG_VANISH: &str = "long datagrams vanish on the way (an MTU black hole), on this side or on the other, too much is lost, or \
                           the peer went meanwhile";
/// What to do then.
const WHICH_SIDE: &str = "look whether its program still runs; have doctor run here and there: its steps udp and mtu tell on which \
                          side it is, and what to do";

/// How much of an offer or answer has come, where its time is over and it is not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) struct Part {
    pub(in crate::probe) there: usize,
    pub(in crate::probe) of: usize,
}

impl Part {
    /// None where nothing has come, or all, or something else than time has ended the call.
    pub(in crate::probe) fn of(
        transfer: Transfer,
        error: ClientError,
        progress: Option<Progress>,
    ) -> Option<Self> {
        let is_late = [FailReason::Timeout, FailReason::NoAnswer]
            .into_iter()
            .any(|reason| error == ClientError::Failed(reason));
        let Progress { fragments: there, of_fragments: of, .. } =
            progress.filter(|progress| is_late && progress.transfer == transfer)?;
        (1..of).contains(&there).then_some(Self { there, of })
    }
}

/// What became of a second offer that was not sealed, where nobody answered the sealed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// It was answered, be it with a no.
    Answered,
    /// Nobody answered it either.
    Unanswered,
    /// There was none: nothing was to be sealed, or the server takes no client without a key.
    NotTried,
}

impl Callee {
    /// The client did not take the offer.
    pub(super) fn not_offered(&self, error: ClientError) -> Finding {
        let advice = "mend what the reason names, and try again";
        Finding::failed("offer", Fault::Call, self.failure(error).to_string(), advice)
    }

    /// It has arrived.
    pub(super) fn has_it(&self, bytes: usize, took: Duration) -> Finding {
        let Self { peer, server, sealing } = self;
        let text = format!(
            "{peer} is registered at {server} (since when, the server tells nobody) and has acknowledged all of an offer of \
             {bytes} bytes, {sealing}, after {}: it rings",
            shown(took)
        );
        Finding::ok("offer", text).with(json!({ "took_ms": millis(took), "sealed": sealing.is_sealed() }))
    }

    /// It has not; what of it has come there says more.
    pub(super) fn has_it_not(&self, error: ClientError, progress: Option<Progress>) -> Finding {
        let (peer, server) = (self.peer, &self.server);
        let ended_by = |reason| error == ClientError::Failed(reason);
        if let Some(Part { there, of }) = Part::of(Transfer::Offer, error, progress) {
            return Finding::failed(
                "offer",
                Fault::Call,
                format!(
                    "{peer} was registered at {server} and acknowledged what came, but of the offer only {there} of {of} \
                     fragments have come there: {LONG_VANISH}"
                ),
                WHICH_SIDE,
            )
            .with(json!({ "fragments": there, "of_fragments": of }));
        }
        if ended_by(FailReason::Refused(ErrorCode::PeerUnknown)) {
            return Finding::failed(
                "peer",
                Fault::Call,
                format!(
                    "{peer} is not registered at {server} (whether it ever was, the server tells nobody)"
                ),
                "start its client; let it use this very server; where versions differ it cannot register: have doctor run \
                 there",
            );
        }
        if ended_by(FailReason::Timeout) || ended_by(FailReason::NoAnswer) {
            return Finding::failed(
                "peer",
                Fault::Call,
                format!(
                    "{peer} is registered at {server}, which passed the offer on, but nothing came back: it stopped \
                     between the server and the peer"
                ),
                "the peer has gone within the last minute, its NAT has forgotten it, or a firewall on its side stops UDP: \
                 have doctor run there",
            );
        }
        self.failed("offer", error)
    }

    /// Of its answer no more than this has come.
    pub(super) fn has_answered_in_part(&self, Part { there, of }: Part) -> Finding {
        Finding::failed(
            "answer",
            Fault::Call,
            format!(
                "{} has answered, but only {there} of {of} fragments of its answer have come here: {LONG_VANISH}",
                self.peer
            ),
            WHICH_SIDE,
        )
        .with(json!({ "fragments": there, "of_fragments": of }))
    }

    /// The call has its outcome.
    pub(super) fn outcome(&self, outcome: &Outcome, took: Duration, unsealed: Unsealed) -> Finding {
        let peer = self.peer;
        match outcome {
            Outcome::Answered(answer) => {
                let from = answer.observed.map_or_else(|| "none".to_owned(), |address| address.to_string());
                let bytes = answer.blob.len();
                let text = format!(
                    "answered with {bytes} bytes after {}, by a peer that the server sees at {from}",
                    shown(took)
                );
                Finding::ok("answer", text).with(json!({ "took_ms": millis(took), "observed": from }))
            }
            Outcome::Declined => Finding::failed(
                "answer",
                Fault::Declined,
                format!("{peer} declined"),
                "all works up to here: the other side said no",
            ),
            Outcome::Failed(FailReason::Sealed(OpenError::Version { found })) => Finding::failed(
                "version",
                Fault::Call,
                format!(
                    "{peer} seals in version {found}, which this probe does not know: it is of another version"
                ),
                "bring both sides to the same version",
            ),
            Outcome::Failed(FailReason::Timeout | FailReason::NoAnswer) => self.unanswered(unsealed),
            Outcome::Failed(reason) => self.failed("answer", ClientError::Failed(*reason)),
            Outcome::AnswerDelivered | Outcome::Yielded { .. } => Finding::warning(
                "answer",
                format!("{peer} was calling at the same moment"),
                "that call goes on; try again later",
            ),
        }
    }

    /// Tells whether an offer that is not sealed would say more.
    pub(super) fn may_not_open_it(&self, outcome: &Outcome) -> bool {
        let is_unanswered = matches!(outcome, Outcome::Failed(FailReason::Timeout | FailReason::NoAnswer));
        self.sealing.is_sealed() && is_unanswered
    }

    fn unanswered(&self, unsealed: Unsealed) -> Finding {
        let peer = self.peer;
        let silent = format!(
            "{peer} has the offer but did not answer it in time: nobody picks up, or its program hangs"
        );
        let (more, advice) = match unsealed {
            Unsealed::Answered => return self.cannot_open(),
            Unsealed::Unanswered => ("; an offer that was not sealed was not answered either", LOOK_THERE),
            Unsealed::NotTried if self.sealing.is_sealed() => (
                "; or it cannot open what is sealed, which could not be told apart: no offer without a key was let through",
                "look at the other side's program, and compare both machines' dates (date -u)",
            ),
            Unsealed::NotTried => ("", LOOK_THERE),
        };
        Finding::failed("answer", Fault::Call, silent + more, advice)
    }

    fn cannot_open(&self) -> Finding {
        Finding::failed(
            "clock",
            Fault::Call,
            format!(
                "{} answers an offer that is not sealed, but not a sealed one, which it cannot open: the two clocks are \
                 more than 300 s apart, or it is of a version that seals otherwise",
                self.peer
            ),
            "compare both machines' dates (date -u), and set the wrong one (timedatectl set-ntp true); where they agree, bring \
             both sides to the same version",
        )
    }

    fn failed(&self, step: &'static str, error: ClientError) -> Finding {
        Finding::failed(step, Fault::Call, self.failure(error).to_string(), advice(error))
    }

    fn failure(&self, error: ClientError) -> Failure {
        Failure::call(self.peer, self.sealing, error)
    }
}

/// Says what to do about a call that has failed.
fn advice(error: ClientError) -> &'static str {
    let ClientError::Failed(reason) = error else { return "try again" };
    match reason {
        FailReason::Refused(ErrorCode::ServerFull | ErrorCode::TooManyOffers | ErrorCode::RateLimited) => {
            "wait, and try again; the operator may raise maxoffers, maxpeeroffers, offerrate and peerrate"
        }
        FailReason::Refused(ErrorCode::BlobTooLarge) => "offer less, or have the operator raise maxblob",
        FailReason::ServerSilent | FailReason::Unregistered => {
            "the way to the server has broken down meanwhile, or the server has: run doctor here"
        }
        FailReason::Damaged | FailReason::Sealed(_) => {
            "somebody on the way changes what passes: try from another network"
        }
        FailReason::RefusedUnknown(_) => "bring this probe to the version of the server",
        FailReason::Refused(_)
        | FailReason::Timeout
        | FailReason::NoAnswer
        | FailReason::NotAcknowledged
        | FailReason::Superseded
        | FailReason::NoPath
        | FailReason::BothSymmetric
        | FailReason::SymmetricHere
        | FailReason::SymmetricThere
        | FailReason::UdpBlocked
        | FailReason::SameNat
        | FailReason::NoCommonFamily
        | FailReason::PeerGone
        | FailReason::CallOver => "try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_servers_fault_or_was_not_tried_is_not_blamed_on_the_peer() {
        let peer = PeerId::plain([2; 16]).unwrap();
        let of = |sealing| Callee { peer, server: "192.0.2.1".to_owned(), sealing };
        let silent = of(Sealing::BothPlain).has_it_not(ClientError::Failed(FailReason::ServerSilent), None);
        assert_eq!((silent.step, silent.text.ends_with(": the server is silent")), ("offer", true));
        let timeout = Outcome::Failed(FailReason::Timeout);
        let untried = of(Sealing::Sealed).outcome(&timeout, Duration::ZERO, Unsealed::NotTried);
        assert!(untried.text.contains("which could not be told apart"), "{}", untried.text);
        let unanswered = of(Sealing::Sealed).outcome(&timeout, Duration::ZERO, Unsealed::Unanswered);
        assert!(unanswered.text.ends_with("was not answered either"), "{}", unanswered.text);
    }
}
