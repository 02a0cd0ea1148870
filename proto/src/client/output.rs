//! What waits to be taken: events, and answers that no other state would produce again. Knows nothing of calls.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::constants::{EVENTS_MAX, REPLIES_MAX};
use super::counters::Counters;
use super::event::Event;
use crate::wire::Frame;

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// The bytes, at most [`DATAGRAM_MAX`](crate::wire::DATAGRAM_MAX).
    pub contents: Vec<u8>,
    /// IP's time to live or hop limit of this datagram alone; `None`: the socket's own. SPEC 8
    pub hops: Option<u8>,
}

/// The queues towards the application and the socket.
#[derive(Debug)]
pub(super) struct Output {
    server: SocketAddr,
    events: VecDeque<Event>,
    replies: VecDeque<Transmit>,
    pub(super) counters: Counters,
}

impl Output {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self { server, events: VecDeque::new(), replies: VecDeque::new(), counters: Counters::default() }
    }

    /// Tells the application.
    pub(super) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Tells whether the application must take events before more datagrams are taken.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX
    }

    /// Answers `to`, unless too much waits already.
    pub(super) fn reply(&mut self, to: SocketAddr, frame: &Frame<'_>) {
        self.push(Transmit { to, contents: frame.to_vec(), hops: None });
    }

    fn push(&mut self, transmit: Transmit) {
        if self.replies.len() >= REPLIES_MAX {
            self.counters.replies_lost += 1;
            return;
        }
        self.replies.push_back(transmit);
    }

    /// Answers the server.
    pub(super) fn reply_to_server(&mut self, frame: &Frame<'_>) {
        self.reply(self.server, frame);
    }

    pub(super) fn poll_reply(&mut self) -> Option<Transmit> {
        self.replies.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Ping, TransactionId, Zeros};

    const SERVER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 1066);

    #[test]
    fn replies_beyond_the_bound_are_lost_and_counted() {
        let mut output = Output::new(SERVER);
        let frame = Frame::Ping(Ping { transaction: TransactionId([1; 16]), zero: Zeros::ZERO });
        for _ in 0..REPLIES_MAX + 2 {
            output.reply_to_server(&frame);
        }
        assert_eq!(output.counters.replies_lost, 2);
        let drained = std::iter::from_fn(|| output.poll_reply()).count();
        assert_eq!(drained, REPLIES_MAX);
    }

    #[test]
    fn events_come_out_in_order() {
        let mut output = Output::new(SERVER);
        output.event(Event::ServerSilent);
        output.event(Event::Unregistered);
        assert_eq!(output.poll_event(), Some(Event::ServerSilent));
        assert_eq!(output.poll_event(), Some(Event::Unregistered));
        assert_eq!(output.poll_event(), None);
    }
}
