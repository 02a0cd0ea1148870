//! What the STUN of webrtc-rs learns of this host's address from STUN servers.
//!
//! `stun ADDRESS:PORT ...` prints `mapped ADDRESS` for each server's answer.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use stun::agent::TransactionId;
use stun::fingerprint::FINGERPRINT;
use stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Getter, Message};
use stun::xoraddr::XorMappedAddress;
use tokio::net::UdpSocket;

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    for server in std::env::args().skip(1) {
        let mapped = ask(server.parse()?).await?;
        println!("mapped {}", mapped.ip);
    }
    Ok(())
}

/// Sends a Binding request with a FINGERPRINT, and reads where the server has seen it come from.
async fn ask(server: SocketAddr) -> Result<XorMappedAddress, Box<dyn Error>> {
    let socket = if server.is_ipv6() {
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?
    } else {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?
    };
    let mut request = Message::new();
    request.build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST), Box::new(FINGERPRINT)])?;
    socket.send_to(&request.raw, server).await?;
    let mut buffer = [0; 1500];
    let (length, _) = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await??;
    let mut answer = Message::new();
    answer.unmarshal_binary(&buffer[..length])?;
    if answer.typ != BINDING_SUCCESS || answer.transaction_id != request.transaction_id {
        return Err(format!("not the answer to it: {answer}").into());
    }
    FINGERPRINT.check(&answer)?;
    let mut mapped = XorMappedAddress::default();
    mapped.get_from(&answer)?;
    Ok(mapped)
}
