//! From YAML text to a [`Config`]: which keys and values there may be.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess};

use super::proxy_protocol::networks;
use super::visit::{Take, Visit};
use super::{Config, Found, Key, LogLevel, Network, Problem, ProxyProtocol, PublicAddress, Ranged, Stun};

/// A problem and its line, from 1, where the parser names one.
type Located = (Option<usize>, Problem);

pub(super) fn parse(text: &str) -> Result<Config, Located> {
    check_syntax(text)?;
    let mut config = Config::default();
    let mut documents = serde_yaml::Deserializer::from_str(text);
    if let Some(first) = documents.next() {
        read(Root { config: &mut config, needed: None }, first)?;
    }
    if config.proxyprotocol != ProxyProtocol::Off && config.trustedproxies.is_empty() {
        // Walks once more, to the line of the key.
        let needed = Some((Key::ProxyProtocol, Key::TrustedProxies));
        let mut again = serde_yaml::Deserializer::from_str(text);
        if let Some(first) = again.next() {
            read(Root { config: &mut config, needed }, first)?;
        }
    }
    if let Some(second) = documents.next() {
        read(Second, second)?;
    }
    Ok(config)
}

/// Walks the whole text first: a broken line is better called so than the odd value that it makes.
fn check_syntax(text: &str) -> Result<(), Located> {
    serde_yaml::Deserializer::from_str(text).try_for_each(|document| {
        IgnoredAny::deserialize(document).map_err(|error| located(&error, None)).map(drop)
    })
}

fn read<'de>(
    what: impl Take<'de, Value = ()>,
    document: serde_yaml::Deserializer<'de>,
) -> Result<(), Located> {
    let mut problem = None;
    Visit { what, problem: &mut problem }.deserialize(document).map_err(|error| located(&error, problem))
}

fn located(error: &serde_yaml::Error, problem: Option<Problem>) -> Located {
    let line = error.location().map(|location| location.line());
    (line, problem.unwrap_or_else(|| Problem::Syntax { reason: error.to_string() }))
}

/// The whole document: a mapping, or nothing.
struct Root<'a> {
    config: &'a mut Config,
    /// A key whose value is nothing without another, which is missing.
    needed: Option<(Key, Key)>,
}

impl<'de> Take<'de> for Root<'_> {
    type Value = ();

    fn take(self, found: Found) -> Result<(), Problem> {
        if found == Found::Nothing { Ok(()) } else { Err(Problem::NoMapping { found }) }
    }

    fn take_mapping<A: MapAccess<'de>>(
        self,
        mut map: A,
        problem: &mut Option<Problem>,
    ) -> Result<(), A::Error> {
        let mut seen = Vec::with_capacity(Key::ALL.len());
        while let Some(key) = map.next_key_seed(Visit { what: NewKey { seen: &seen }, problem })? {
            seen.push(key);
            let needed = self.needed.and_then(|(one, needed)| (one == key).then_some(needed));
            map.next_value_seed(Visit { what: ValueOf { key, config: self.config, needed }, problem })?;
        }
        Ok(())
    }
}

/// A key that is known and has not been there yet.
struct NewKey<'a> {
    seen: &'a [Key],
}

impl Take<'_> for NewKey<'_> {
    type Value = Key;

    fn take(self, found: Found) -> Result<Key, Problem> {
        let name = match found {
            Found::Text(name) => name,
            Found::Nothing | Found::Boolean(_) | Found::Integer(_) | Found::Float(_) => found.to_string(),
            Found::List | Found::Mapping | Found::Tagged => return Err(Problem::KeyIsNotText { found }),
        };
        match Key::named(&name) {
            Some(key) if self.seen.contains(&key) => Err(Problem::DuplicateKey { key }),
            Some(key) => Ok(key),
            None => Err(Problem::UnknownKey { nearest: Key::nearest(&name), name }),
        }
    }
}

/// The value of a key, put into the configuration if it is allowed.
struct ValueOf<'a> {
    key: Key,
    config: &'a mut Config,
    needed: Option<Key>,
}

impl Take<'_> for ValueOf<'_> {
    type Value = ();

    fn take(self, found: Found) -> Result<(), Problem> {
        if let Some(needed) = self.needed {
            return Err(Problem::Needs { key: self.key, found, needed });
        }
        set(self.config, self.key, found)
    }
}

/// A second document, whatever it holds.
struct Second;

impl Take<'_> for Second {
    type Value = ();

    fn take(self, _: Found) -> Result<(), Problem> {
        Err(Problem::SecondDocument)
    }
}

fn set(config: &mut Config, key: Key, found: Found) -> Result<(), Problem> {
    match key {
        Key::LogLevel => config.loglevel = log_level(key, found)?,
        Key::LogFile => config.logfile = path(key, found)?,
        Key::LocalPort => config.localport = integer(key, found, |number| u16::try_from(number).ok())?,
        Key::Timeout => config.timeout = ranged(key, found)?,
        Key::LocalAddress => config.localaddress = address(key, found)?,
        Key::PublicAddress => config.publicaddress = addresses(key, found)?,
        Key::Stun => config.stun = stun(key, found)?,
        Key::AltPort => config.altport = port_or_nothing(key, found)?,
        Key::AltAddress => config.altaddress = address(key, found)?,
        Key::ProxyProtocol => config.proxyprotocol = proxy_protocol(key, found)?,
        Key::TrustedProxies => config.trustedproxies = trusted_proxies(key, found)?,
        Key::MaxPeers => config.maxpeers = ranged(key, found)?,
        Key::MaxOffers => config.maxoffers = ranged(key, found)?,
        Key::MaxPeerOffers => config.maxpeeroffers = ranged(key, found)?,
        Key::MaxBlob => config.maxblob = ranged(key, found)?,
        Key::PlainIds => config.plainids = boolean(key, found)?,
        Key::SignatureChecks => config.signaturechecks = ranged(key, found)?,
        Key::StrangerRate => config.strangerrate = ranged(key, found)?,
        Key::RegisterRate => config.registerrate = ranged(key, found)?,
        Key::RegisterTotal => config.registertotal = ranged(key, found)?,
        Key::PeerRate => config.peerrate = ranged(key, found)?,
        Key::OfferRate => config.offerrate = ranged(key, found)?,
        Key::KernelFilter => config.kernelfilter = boolean(key, found)?,
        Key::SecretFile => config.secretfile = path(key, found)?,
        Key::CaptureFile => config.capturefile = path(key, found)?,
        Key::CaptureSize => config.capturesize = ranged(key, found)?,
        Key::CaptureBlobs => config.captureblobs = boolean(key, found)?,
        Key::StatsSocket => config.statssocket = path(key, found)?,
        Key::Benchmarks => config.benchmarks = boolean(key, found)?,
    }
    Ok(())
}

fn path(key: Key, found: Found) -> Result<Option<PathBuf>, Problem> {
    Ok(text_or_nothing(key, found)?.filter(|path| !path.is_empty()).map(Into::into))
}

fn log_level(key: Key, found: Found) -> Result<LogLevel, Problem> {
    let Found::Text(name) = found else {
        return Err(Problem::WrongType { key, found });
    };
    LogLevel::named(&name).ok_or(Problem::NotAllowed { key, found: Found::Text(name) })
}

fn address(key: Key, found: Found) -> Result<Option<IpAddr>, Problem> {
    let Some(text) = text_or_nothing(key, found)? else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| Problem::NotAllowed { key, found: Found::Text(text) })
}

fn addresses(key: Key, found: Found) -> Result<Vec<PublicAddress>, Problem> {
    let Some(text) = text_or_nothing(key, found)? else {
        return Ok(Vec::new());
    };
    PublicAddress::list(&text).ok_or(Problem::NotAllowed { key, found: Found::Text(text) })
}

fn proxy_protocol(key: Key, found: Found) -> Result<ProxyProtocol, Problem> {
    let Found::Text(name) = found else {
        return Err(Problem::WrongType { key, found });
    };
    ProxyProtocol::named(&name).ok_or(Problem::NotAllowed { key, found: Found::Text(name) })
}

fn trusted_proxies(key: Key, found: Found) -> Result<Vec<Network>, Problem> {
    let Some(text) = text_or_nothing(key, found)? else {
        return Ok(Vec::new());
    };
    networks(&text).ok_or(Problem::NotAllowed { key, found: Found::Text(text) })
}

fn text_or_nothing(key: Key, found: Found) -> Result<Option<String>, Problem> {
    if found == Found::Nothing {
        return Ok(None);
    }
    let Found::Text(text) = found else {
        return Err(Problem::WrongType { key, found });
    };
    Ok(Some(text))
}

fn ranged<const MIN: u32, const MAX: u32>(key: Key, found: Found) -> Result<Ranged<MIN, MAX>, Problem> {
    integer(key, found, |number| u32::try_from(number).ok().and_then(Ranged::new))
}

fn integer<T>(key: Key, found: Found, take: impl Fn(i128) -> Option<T>) -> Result<T, Problem> {
    let Found::Integer(number) = found else {
        return Err(Problem::WrongType { key, found });
    };
    take(number).ok_or(Problem::NotAllowed { key, found })
}

fn port_or_nothing(key: Key, found: Found) -> Result<Option<u16>, Problem> {
    if found == Found::Nothing {
        return Ok(None);
    }
    integer(key, found, |number| u16::try_from(number).ok()).map(Some)
}

fn stun(key: Key, found: Found) -> Result<Stun, Problem> {
    let Found::Text(text) = found else {
        return boolean(key, found).map(|is_on| if is_on { Stun::On } else { Stun::Off });
    };
    if text.eq_ignore_ascii_case("strict") {
        Ok(Stun::Strict)
    } else {
        Err(Problem::NotAllowed { key, found: Found::Text(text) })
    }
}

fn boolean(key: Key, found: Found) -> Result<bool, Problem> {
    let Found::Boolean(value) = found else {
        return Err(Problem::WrongType { key, found });
    };
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the text is refused with: line and message.
    fn refused(text: &str) -> (Option<usize>, String) {
        let (line, problem) = parse(text).expect_err(text);
        (line, problem.to_string())
    }

    const NAMES: &str = "loglevel, logfile, localport, timeout, localaddress, publicaddress, stun, \
                         altport, altaddress, \
                         proxyprotocol, trustedproxies, maxpeers, maxoffers, maxpeeroffers, maxblob, plainids, \
                         signaturechecks, strangerrate, registerrate, registertotal, peerrate, offerrate, \
                         kernelfilter, secretfile, capturefile, capturesize, captureblobs, statssocket, \
                         benchmarks";

    #[test]
    fn text_without_any_key_gives_the_defaults() {
        for text in ["", "\n", "# only a comment\n", "---\n", "---\n...\n", "null\n", "{}\n", "\u{feff}"] {
            assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
        }
    }

    #[test]
    fn keys_are_read_in_any_case_and_nothing_unsets() {
        let config = parse("LOGFILE:\nlocalAddress: ~\nLocalPort: 7\nLOGLEVEL: Warn\n").unwrap();
        let expected = Config { localport: 7, loglevel: LogLevel::Warn, ..Config::default() };
        assert_eq!(config, expected);
        assert_eq!(parse("logfile: ''").unwrap(), Config::default());
        assert_eq!(parse("altport:\naltaddress: ~").unwrap(), Config::default());
    }

    #[test]
    fn a_number_out_of_range_names_line_key_and_range() {
        for (text, line, message) in [
            ("\n\nlocalport: 70000", 3, "localport: 70000 is out of range, allowed are 0 to 65535"),
            ("localport: -1", 1, "localport: -1 is out of range, allowed are 0 to 65535"),
            ("timeout: 0", 1, "timeout: 0 is out of range, allowed are 1 to 3600 seconds"),
            ("#\ntimeout: 3601", 2, "timeout: 3601 is out of range, allowed are 1 to 3600 seconds"),
            (
                "altport: 65536",
                1,
                "altport: 65536 is out of range, allowed are 0 to 65535, or nothing for none",
            ),
            ("maxpeers: 0x1000000", 1, "maxpeers: 16777216 is out of range, allowed are 1 to 16000000 peers"),
            ("maxoffers: 4000001", 1, "maxoffers: 4000001 is out of range, allowed are 1 to 4000000 offers"),
            ("maxpeeroffers: 0", 1, "maxpeeroffers: 0 is out of range, allowed are 1 to 1000 offers"),
            ("maxblob: 1023", 1, "maxblob: 1023 is out of range, allowed are 1024 to 65536 bytes"),
            (
                "timeout: 99999999999999999999999999",
                1,
                "timeout: 99999999999999999999999999 is out of range, allowed are 1 to 3600 seconds",
            ),
            ("x: &a\n", 1, &format!("x: unknown key, allowed are {NAMES}")),
        ] {
            assert_eq!(refused(text), (Some(line), message.to_string()), "{text:?}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_names_line_key_and_what_is_allowed() {
        for (text, line, found) in [
            ("timeout: 1\nlocalport: \"1066\"", 2, "\"1066\" is of the wrong type"),
            ("localport: 10_66", 1, "\"10_66\" is of the wrong type"),
            ("localport: 1066.0", 1, "1066.0 is of the wrong type"),
            ("localport: true", 1, "true is of the wrong type"),
            ("localport: [1]", 1, "a list is of the wrong type"),
            ("localport:\n  a: 1", 2, "a mapping is of the wrong type"),
            ("localport:\n  70", 2, ""),
            ("localport: !port 5", 1, "a tagged value is of the wrong type"),
            ("localport:\ntimeout: 5", 1, "has no value"),
            ("localport: ~", 1, "has no value"),
        ] {
            if found.is_empty() {
                assert_eq!(parse(text).unwrap().localport, 70);
                continue;
            }
            let message = format!("localport: {found}, allowed are 0 to 65535");
            assert_eq!(refused(text), (Some(line), message), "{text:?}");
        }
        for (text, message) in [
            ("plainids: yes", "plainids: \"yes\" is of the wrong type, allowed are true and false"),
            (
                "logfile: 5",
                "logfile: 5 is of the wrong type, allowed are the path of a file, or nothing for standard output",
            ),
            ("loglevel: 3", "loglevel: 3 is of the wrong type, allowed are none, error, warn, info, debug"),
            (
                "loglevel: trace",
                "loglevel: \"trace\" is no log level, allowed are none, error, warn, info, debug",
            ),
            (
                "localaddress: localhost",
                "localaddress: \"localhost\" is no IP address, allowed are an IPv4 or IPv6 address in quotes, \
                 or nothing for every address of the host",
            ),
            (
                "publicaddress: 192.0.2.1,",
                "publicaddress: \"192.0.2.1,\" is no list of IP addresses, allowed are addresses in quotes, with a \
                 port where it is another, separated by commas, or nothing",
            ),
        ] {
            assert_eq!(refused(text), (Some(1), message.to_string()), "{text:?}");
        }
    }

    #[test]
    fn proxies_are_named_with_their_protocol_or_the_line_of_the_protocol_says_what_is_missing() {
        let networks = "networks in quotes, as 192.0.2.0/24 or 2001:db8::/32 but not all addresses, separated by \
                        commas, or nothing where there is no proxyprotocol";
        for (text, line, message) in [
            (
                "timeout: 5\n\nproxyprotocol: spp\nlocalport: 7",
                3,
                format!("proxyprotocol: \"spp\" needs trustedproxies, allowed are {networks}"),
            ),
            (
                "trustedproxies:\nProxyProtocol: V2",
                2,
                format!("proxyprotocol: \"V2\" needs trustedproxies, allowed are {networks}"),
            ),
            (
                "proxyprotocol: spp\ntrustedproxies: 0.0.0.0/0",
                2,
                format!("trustedproxies: \"0.0.0.0/0\" is no list of networks, allowed are {networks}"),
            ),
            (
                "trustedproxies: 7",
                1,
                format!("trustedproxies: 7 is of the wrong type, allowed are {networks}"),
            ),
            (
                "\nproxyprotocol: v1",
                2,
                "proxyprotocol: \"v1\" is no protocol of proxies, allowed are off, spp, v2".to_owned(),
            ),
            (
                "proxyprotocol: false",
                1,
                "proxyprotocol: false is of the wrong type, allowed are off, spp, v2".to_owned(),
            ),
        ] {
            assert_eq!(refused(text), (Some(line), message), "{text:?}");
        }
        let config = parse("proxyprotocol: v2\ntrustedproxies: '2001:db8::/32, 192.0.2.7'").unwrap();
        assert_eq!((config.proxyprotocol, config.trustedproxies.len()), (ProxyProtocol::V2, 2));
        assert_eq!(parse("trustedproxies: 192.0.2.7").unwrap().proxyprotocol, ProxyProtocol::Off);
        assert_eq!(parse("proxyprotocol: off").unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest() {
        for (text, line, message) in [
            (
                "timeout: 5\nlocalprot: 7",
                2,
                format!("localprot: unknown key, did you mean localport? Allowed are {NAMES}"),
            ),
            ("\n5: 7", 2, format!("5: unknown key, allowed are {NAMES}")),
            ("<<: {timeout: 5}", 1, format!("<<: unknown key, allowed are {NAMES}")),
            ("\"\\e[2J\": 7", 1, format!("\\u{{1b}}[2J: unknown key, allowed are {NAMES}")),
            ("[1]: 7", 1, format!("a list stands as a key, allowed are {NAMES}")),
            ("{a: 1}: 7", 1, format!("a mapping stands as a key, allowed are {NAMES}")),
        ] {
            assert_eq!(refused(text), (Some(line), message), "{text:?}");
        }
    }

    #[test]
    fn a_key_twice_is_refused_at_the_second_also_in_other_case() {
        let message = "timeout: stands here for the second time, allowed is once (in any case)";
        for text in ["timeout: 5\ntimeout: 5", "timeout: 5\nTimeOut: 6"] {
            assert_eq!(refused(text), (Some(2), message.to_string()), "{text:?}");
        }
    }

    #[test]
    fn yaml_that_is_no_mapping_is_refused_with_what_it_is() {
        for (text, line, found) in [
            ("- localport\n", 1, "a list"),
            ("\n\njust words\n", 3, "\"just words\""),
            ("5", 1, "5"),
            ("!x {}", 1, "a tagged value"),
        ] {
            let message = format!("{found} stands where lines of `key: value` are needed");
            assert_eq!(refused(text), (Some(line), message), "{text:?}");
        }
    }

    #[test]
    fn a_second_document_is_refused_at_its_line() {
        let message = "a second YAML document begins, allowed is one".to_string();
        assert_eq!(refused("timeout: 5\n---\ntimeout: 6\n"), (Some(3), message.clone()));
        assert_eq!(refused("timeout: 5\n---\n"), (Some(3), message));
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_line_and_a_reason() {
        for (text, line) in [
            ("timeout: 5\n\tlocalport: 6\n", 2),
            ("timeout: 5\nlogfile: \"open\n", 3),
            ("timeout: 5: 6\n", 1),
            ("timeout: 5\n  localport: 6\n", 2),
            ("timeout: *nowhere\n", 1),
            ("timeout: 5\n@\n", 2),
            ("loglevel: [\n", 2),
            ("localaddress: ::\n", 1),
        ] {
            let (at, message) = refused(text);
            assert_eq!(at, Some(line), "{text:?}: {message}");
            assert!(message.starts_with("is not valid YAML: "), "{text:?}: {message}");
        }
    }

    #[test]
    fn deeply_nested_yaml_ends_with_an_error() {
        for text in ["[".repeat(2000), format!("timeout: {}", "[".repeat(2000)), "{a: ".repeat(2000)] {
            assert!(parse(&text).is_err());
        }
    }
}
