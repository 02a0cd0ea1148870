//! Handles to calls: what an application holds while two peers find each other.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use roundtable_proto::client::{FailReason, PathKind, Progress};
use roundtable_proto::wire::{OfferId, PeerId};
use tokio::sync::{mpsc, oneshot, watch};

use super::task::Command;
use super::{ClientError, Latest};

/// One call, on either side. A direct path is kept as long as this lives, also when the call is over.
#[derive(Debug)]
pub struct Call {
    id: OfferId,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<CallEvent>,
    progress: watch::Receiver<Option<Progress>>,
    /// Events that came while another was waited for.
    passed: VecDeque<CallEvent>,
    /// The outcome, once the application has seen it.
    ended: Option<Outcome>,
}

/// What happens in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// The callee has the whole offer: it rings.
    Delivered,
    /// The call has its outcome. To the callee: the caller has the answer, or will not get it.
    Ended(Outcome),
    /// The other peer sends a candidate. Each comes once, in any order.
    Candidate {
        /// The sender's count, from 0.
        number: u8,
        /// The candidate.
        message: Bytes,
    },
    /// Candidates of this client will not reach the other peer.
    CandidatesFailed(FailReason),
    /// A direct path is proved.
    Path(PunchedPath),
    /// No direct path was found.
    PunchFailed(FailReason),
    /// The other peer does not answer on the path any more: nothing may be sent there (RFC 7675).
    PathLost {
        /// The other peer's address on it.
        peer: SocketAddr,
    },
    /// Nothing is heard of the other peer: a NAT may have taken the flow for its own, which another local port heals.
    /// [`Client::move_to`](super::Client::move_to) another socket; or let it be. A client with a socket of its own does that
    /// by itself, unless a path is in use, and then says [`CallEvent::FreshPort`].
    FreshPortWanted,
    /// The client has taken another local port.
    FreshPort {
        /// The own address of its socket now.
        local: SocketAddr,
    },
}

/// How an offer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To the caller: here is the answer.
    Answered(Answer),
    /// To the caller: the callee declined.
    Declined,
    /// To the callee: the caller has the whole answer.
    AnswerDelivered,
    /// Both called each other; the call goes on as the other's offer, which comes in.
    Yielded {
        /// The other's offer.
        to: OfferId,
    },
    /// It failed.
    Failed(FailReason),
}

impl Outcome {
    /// Tells what an ended call means for the delivery of its offer.
    const fn delivered(&self) -> Result<(), ClientError> {
        match self {
            Self::Answered(_) | Self::Declined | Self::AnswerDelivered => Ok(()),
            Self::Yielded { .. } => Err(ClientError::Yielded),
            Self::Failed(reason) => Err(ClientError::Failed(*reason)),
        }
    }

    /// Says why two peers did not come together, if they did not.
    const fn nothing(&self) -> Option<ClientError> {
        match self {
            Self::Answered(_) | Self::AnswerDelivered => None,
            Self::Declined => Some(ClientError::Declined),
            Self::Yielded { .. } => Some(ClientError::Yielded),
            Self::Failed(reason) => Some(ClientError::Failed(*reason)),
        }
    }
}

/// The callee's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who answers.
    pub from: PeerId,
    /// Where the server sees the callee.
    pub observed: Option<SocketAddr>,
    /// The description.
    pub blob: Bytes,
}

/// A direct path to the other peer, proved by a probe and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PunchedPath {
    /// The other peer's address on this path, for the socket that the client uses.
    pub peer: SocketAddr,
    /// How that address became known.
    pub kind: PathKind,
    /// From a probe to its answer.
    pub round_trip: Duration,
}

impl Call {
    pub(super) const fn new(
        id: OfferId,
        commands: mpsc::Sender<Command>,
        events: mpsc::Receiver<CallEvent>,
        progress: watch::Receiver<Option<Progress>>,
    ) -> Self {
        Self { id, commands, events, progress, passed: VecDeque::new(), ended: None }
    }

    /// Returns the offer id.
    #[must_use]
    pub const fn id(&self) -> OfferId {
        self.id
    }

    /// Follows how far the offer and then the answer have come, of which the callee sees the answer alone: the offer had come
    /// before there was this handle ([`Incoming::arriving`](super::Incoming::arriving)). `None` before the first of more than
    /// one fragment. It goes on beside whatever is waited for here, and ends with this handle.
    ///
    /// ```no_run
    /// # use roundtable_signalling::client::{Call, ClientError};
    /// # async fn example(mut call: Call) -> Result<(), ClientError> {
    /// let mut progress = call.progress();
    /// let mut delivered = std::pin::pin!(call.delivered());
    /// loop {
    ///     tokio::select! {
    ///         rings = &mut delivered => break rings,
    ///         Some(Some(there)) = progress.changed() => println!("{} of {} bytes", there.bytes, there.of_bytes),
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn progress(&self) -> Latest<Option<Progress>> {
        Latest::new(self.progress.clone())
    }

    /// Waits for what happens next; `None` when the client has ended. Can be cancelled.
    pub async fn next(&mut self) -> Option<CallEvent> {
        let event = match self.passed.pop_front() {
            Some(event) => event,
            None => self.events.recv().await?,
        };
        if let CallEvent::Ended(outcome) = &event {
            self.ended = Some(outcome.clone());
        }
        Some(event)
    }

    /// Waits until the other peer has the whole offer, and rings. Can be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Failed`] or [`ClientError::Yielded`] if the call ends before.
    pub async fn delivered(&mut self) -> Result<(), ClientError> {
        if let Some(outcome) = &self.ended {
            return outcome.delivered();
        }
        self.wait(|event| match event {
            CallEvent::Delivered => Wait::Keep(Ok(())),
            CallEvent::Ended(outcome) => Wait::Keep(outcome.delivered()),
            CallEvent::Candidate { .. }
            | CallEvent::CandidatesFailed(_)
            | CallEvent::Path(_)
            | CallEvent::PunchFailed(_)
            | CallEvent::PathLost { .. }
            | CallEvent::FreshPortWanted
            | CallEvent::FreshPort { .. } => Wait::Pass,
        })
        .await?
    }

    /// Waits for the call's outcome, which stays the same. Can be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn outcome(&mut self) -> Result<Outcome, ClientError> {
        if let Some(outcome) = &self.ended {
            return Ok(outcome.clone());
        }
        let outcome = self
            .wait(|event| match event {
                CallEvent::Ended(outcome) => Wait::Take(outcome.clone()),
                CallEvent::Delivered => Wait::Drop,
                CallEvent::Candidate { .. }
                | CallEvent::CandidatesFailed(_)
                | CallEvent::Path(_)
                | CallEvent::PunchFailed(_)
                | CallEvent::PathLost { .. }
                | CallEvent::FreshPortWanted
                | CallEvent::FreshPort { .. } => Wait::Pass,
            })
            .await?;
        self.ended = Some(outcome.clone());
        Ok(outcome)
    }

    /// Waits for the answer. Can be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Declined`], [`ClientError::Yielded`], or [`ClientError::Failed`] with the reason.
    pub async fn answered(&mut self) -> Result<Answer, ClientError> {
        match self.outcome().await? {
            Outcome::Answered(answer) => Ok(answer),
            Outcome::Declined => Err(ClientError::Declined),
            Outcome::Yielded { .. } => Err(ClientError::Yielded),
            Outcome::Failed(reason) => Err(ClientError::Failed(reason)),
            Outcome::AnswerDelivered => Err(ClientError::Failed(FailReason::CallOver)),
        }
    }

    /// Sends the other peer a candidate of 1 to 1024 bytes.
    ///
    /// # Errors
    /// [`ClientError::Call`] if it is empty, too long or the 65th, or the call is over.
    pub async fn candidate(&self, message: Bytes) -> Result<(), ClientError> {
        let offer = self.id;
        ask(&self.commands, |reply| Command::Candidate { offer, message, reply })
            .await?
            .map_err(ClientError::Call)
    }

    /// Asks the server to tell both peers to start, and waits for a direct path. Can be cancelled.
    ///
    /// # Errors
    /// As [`Call::path`]; [`ClientError::Call`] if the call is over.
    pub async fn punch(&mut self) -> Result<PunchedPath, ClientError> {
        let offer = self.id;
        ask(&self.commands, |reply| Command::Punch { offer, reply }).await?.map_err(ClientError::Call)?;
        self.path().await
    }

    /// Waits for the direct path that the other peer asked for, without asking. Can be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if no probe comes through, or the call comes to nothing, as may
    /// [`ClientError::Declined`] and [`ClientError::Yielded`] say.
    pub async fn path(&mut self) -> Result<PunchedPath, ClientError> {
        if let Some(nothing) = self.ended.as_ref().and_then(Outcome::nothing) {
            return Err(nothing);
        }
        self.wait(|event| match event {
            CallEvent::Path(path) => Wait::Take(Ok(*path)),
            CallEvent::PunchFailed(reason) => Wait::Take(Err(ClientError::Failed(*reason))),
            CallEvent::Ended(outcome) => {
                outcome.nothing().map_or(Wait::Pass, |nothing| Wait::Keep(Err(nothing)))
            }
            CallEvent::Delivered
            | CallEvent::Candidate { .. }
            | CallEvent::CandidatesFailed(_)
            | CallEvent::PathLost { .. }
            | CallEvent::FreshPortWanted
            | CallEvent::FreshPort { .. } => Wait::Pass,
        })
        .await?
    }

    /// Waits for the event that `judge` picks; the others stay for later.
    async fn wait<T>(&mut self, mut judge: impl FnMut(&CallEvent) -> Wait<T>) -> Result<T, ClientError> {
        let mut at = 0;
        loop {
            while at == self.passed.len() {
                self.passed.push_back(self.events.recv().await.ok_or(ClientError::Ended)?);
            }
            match judge(&self.passed[at]) {
                Wait::Keep(value) => return Ok(value),
                Wait::Take(value) => {
                    self.passed.remove(at);
                    return Ok(value);
                }
                Wait::Drop => {
                    self.passed.remove(at);
                }
                Wait::Pass => at += 1,
            }
        }
    }
}

/// What to do with an event while another is waited for.
enum Wait<T> {
    /// This is it, and it stays for others to see.
    Keep(T),
    /// This is it.
    Take(T),
    /// It is of no more use.
    Drop,
    /// It is for somebody else.
    Pass,
}

/// An offer of somebody else, to be answered or declined.
#[derive(Debug)]
pub struct IncomingCall {
    /// Who calls.
    pub from: PeerId,
    /// Where the server sees the caller.
    pub observed: Option<SocketAddr>,
    /// The caller's description.
    pub offer: Bytes,
    pub(super) call: Call,
}

impl IncomingCall {
    /// Returns the offer id.
    #[must_use]
    pub const fn id(&self) -> OfferId {
        self.call.id
    }

    /// Answers, and waits until the caller has the whole answer. Can be cancelled; the answer is sent all the same.
    ///
    /// # Errors
    /// [`ClientError::Call`] if it was answered before or its time is over; [`ClientError::Failed`] if the caller
    /// does not get the answer.
    pub async fn answer(&mut self, answer: Bytes) -> Result<(), ClientError> {
        let offer = self.call.id;
        ask(&self.call.commands, |reply| Command::Answer { offer, blob: answer, reply })
            .await?
            .map_err(ClientError::Call)?;
        self.answer_delivered().await
    }

    /// Declines, and waits until the caller knows.
    ///
    /// # Errors
    /// As [`IncomingCall::answer`].
    pub async fn decline(&mut self) -> Result<(), ClientError> {
        let offer = self.call.id;
        ask(&self.call.commands, |reply| Command::Decline { offer, reply })
            .await?
            .map_err(ClientError::Call)?;
        self.answer_delivered().await
    }

    /// Follows how far the answer has come; see [`Call::progress`].
    #[must_use]
    pub fn progress(&self) -> Latest<Option<Progress>> {
        self.call.progress()
    }

    /// Gives the call itself: candidates, punching, events.
    pub const fn call(&mut self) -> &mut Call {
        &mut self.call
    }

    async fn answer_delivered(&mut self) -> Result<(), ClientError> {
        match self.call.outcome().await? {
            Outcome::AnswerDelivered => Ok(()),
            Outcome::Failed(reason) => Err(ClientError::Failed(reason)),
            Outcome::Answered(_) | Outcome::Declined | Outcome::Yielded { .. } => {
                Err(ClientError::Failed(FailReason::CallOver))
            }
        }
    }
}

/// Sends the task a command and waits for its reply.
pub(super) async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, ClientError> {
    let (reply, answer) = oneshot::channel();
    commands.send(command(reply)).await.map_err(|_| ClientError::Ended)?;
    answer.await.map_err(|_| ClientError::Ended)
}
