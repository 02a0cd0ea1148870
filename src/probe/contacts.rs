//! Names for those whom one calls often: a small file with a name and a peer address on each line.

use std::path::PathBuf;

use roundtable_proto::peer_address::PeerAddress;
use roundtable_proto::wire::PeerId;

use super::failure::Failure;

/// Finds who is meant: a name of the file, or else the text itself.
pub(super) fn resolve(text: &str) -> Result<String, Failure> {
    let Some(path) = file() else { return Ok(text.to_owned()) };
    let content = match std::fs::read_to_string(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(text.to_owned()),
        Err(error) => return Err(Failure::File { path, error }),
    };
    Ok(find(&content, text).unwrap_or(text).to_owned())
}

/// Finds the name of who calls, if it has a key: who has none may be anybody, and gets no name. What is wrong with the file
/// is no reason not to take a call.
pub(super) fn name_of(peer: PeerId) -> Option<String> {
    let content = std::fs::read_to_string(file()?).ok()?;
    find_name(&content, peer).map(str::to_owned)
}

/// Where it is: as `ROUNDTABLE_CONTACTS` says, or where programs of a user keep such things.
pub(super) fn file() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("ROUNDTABLE_CONTACTS").or_else(|| {
        let home = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
        home.map(|home| home.join("roundtable").join("contacts"))
    })
}

/// The first line with that name; what begins with # is a comment.
fn find<'a>(content: &'a str, name: &str) -> Option<&'a str> {
    contacts(content).find(|(known, _)| *known == name).map(|(_, address)| address)
}

/// The first line that leads to that peer.
fn find_name(content: &str, peer: PeerId) -> Option<&str> {
    let leads_there = |address: &str| {
        let named = address.parse().map(|address: PeerAddress| address.identifier());
        named.is_ok_and(|named| named == peer && !peer.is_plain())
    };
    contacts(content).find(|(_, address)| leads_there(address)).map(|(name, _)| name)
}

/// Names and addresses, in the order of their lines.
fn contacts(content: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = content.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let parts = lines.filter_map(|line| line.split_once(char::is_whitespace));
    parts.map(|(name, address)| (name, address.trim()))
}

#[cfg(test)]
mod tests {
    use roundtable_proto::identity::SecretKey;

    use super::*;

    #[test]
    fn name_stands_for_what_follows_it_on_its_line() {
        let content = "# friends\nbob   roundtable:x@y#z \n\nalice\tother\n#carol hidden\nbob second\nnobody";
        assert_eq!(find(content, "bob"), Some("roundtable:x@y#z"));
        assert_eq!(find(content, "alice"), Some("other"));
        for unknown in ["carol", "#carol", "nobody", "", "friends"] {
            assert_eq!(find(content, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn caller_with_a_key_has_the_name_of_the_first_line_that_leads_to_it() {
        let servers = || vec!["192.0.2.1".parse().unwrap()];
        let address = |peer| PeerAddress::new(peer, servers()).unwrap();
        let keyed = |seed| SecretKey::from_seed(&[seed; 32]).unwrap().identifier();
        let (alice, carol, plain) = (keyed(1), keyed(2), PeerId::plain([7; 16]).unwrap());
        let (of_alice, of_plain) = (address(alice), address(plain));
        let content = format!(
            "# {of_alice}\nbroken roundtable:x@y#z\nalice {of_alice}\nally {of_alice}\nuuid {of_plain}"
        );
        assert_eq!(find_name(&content, alice), Some("alice"));
        assert_eq!(find_name(&content, carol), None);
        assert_eq!(find_name(&content, plain), None, "it may be anybody");
    }
}
