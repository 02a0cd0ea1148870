//! `roundtable-probe id` and `roundtable-probe inspect`: identifiers and the text to hand out, without a server.

use roundtable_proto::peer_address::PeerAddress;
use roundtable_proto::wire::PeerId;
use serde_json::json;

use super::arguments::{Id, Inspect};
use super::failure::Failure;
use super::identity::{self, Peer};
use super::report::Report;

pub(super) fn run(report: &Report, id: Id) -> Result<(), Failure> {
    let identifier = identity::own(report, id.id, id.key.as_deref())?.identifier();
    if id.servers.is_empty() {
        tell_identifier(report, identifier);
        report.text("servers     none: name those where it registers for a peer address to hand out");
        return Ok(());
    }
    let address = PeerAddress::new(identifier, id.servers).map_err(Failure::PeerAddress)?;
    tell_identifier(report, identifier);
    tell_address(report, &address);
    // Alone on the last line, where scripts and people find it.
    report.text(&format!("hand this out, over a channel that the other side trusts:\n{address}"));
    Ok(())
}

pub(super) fn inspect(report: &Report, Inspect { text }: Inspect) -> Result<(), Failure> {
    let peer = Peer::read(&text)?;
    tell_identifier(report, peer.identifier());
    if let Peer::Address(address) = &peer {
        tell_address(report, address);
    }
    Ok(())
}

fn tell_identifier(report: &Report, identifier: PeerId) {
    let (kind, meaning) = if identifier.is_plain() {
        ("plain", "anybody may register it while nobody else holds it; calls are not sealed")
    } else {
        ("keyed", "only the owner of the key can register it; calls with other keyed peers are sealed")
    };
    let fields = json!({ "id": identifier.to_string(), "keyed": !identifier.is_plain() });
    report.fact("identity", fields, &format!("identifier  {identifier}\nkind        {kind}: {meaning}"));
}

fn tell_address(report: &Report, address: &PeerAddress) {
    let servers: Vec<_> = address.servers().iter().map(ToString::to_string).collect();
    let text = format!("servers     {}", servers.join(", "));
    report.fact("address", json!({ "address": address.to_string(), "servers": servers }), &text);
}
