//! From YAML text to a [`Config`]: which keys and values there may be.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{Mistake, Mistakes};
use super::proxy_protocol::networks;
use super::visit::{At, Entry, Walk};
use super::{Config, Found, Key, LogLevel, Network, Problem, ProxyProtocol, PublicAddress, Ranged, Stun};

/// What some editors put before UTF-8 text. YAML knows it; `serde_yaml` takes it for a document of its own.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Where something stands: a document, and the number of a value in it.
type Place = (usize, usize);

/// Reads a configuration, or everything that is wrong with it, in the order of the text.
pub(super) fn parse(text: &str) -> Result<Config, Mistakes> {
    let text = unmarked(text);
    check_syntax(text)?;
    let mut config = Config::default();
    let mut problems = match walk(text)? {
        Some((whole, entries)) => fill(&mut config, whole, entries),
        None => Vec::new(),
    };
    if documents(text).nth(1).is_some() {
        problems.push(((1, 0), Problem::SecondDocument));
    }
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort_by_key(|(place, _)| *place);
    Err(Mistakes::new(problems, |place| line_of(text, place)))
}

/// Returns the line on which the key stands, from 1, if it does.
pub(super) fn line_of_key(text: &str, key: Key) -> Option<usize> {
    let text = unmarked(text);
    let (_, entries) = walk(text).ok()??;
    let entry = entries.into_iter().find(|entry| known(&entry.key.found) == Ok(key))?;
    line_of(text, (0, entry.key.number))
}

fn unmarked(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

fn documents(text: &str) -> serde_yaml::Deserializer<'_> {
    serde_yaml::Deserializer::from_str(text)
}

/// Walks the whole text first: a broken line is better called so than the odd value that it makes.
fn check_syntax(text: &str) -> Result<(), Mistakes> {
    documents(text)
        .try_for_each(|document| IgnoredAny::deserialize(document).map(drop))
        .map_err(|error| syntax(&error))
}

fn syntax(error: &serde_yaml::Error) -> Mistakes {
    let line = error.location().map(|location| location.line());
    Mistakes::from(Mistake { line, problem: Problem::Syntax { reason: error.to_string() } })
}

/// Returns the first document as a whole, and its entries if it is a mapping.
fn walk(text: &str) -> Result<Option<(At, Vec<Entry>)>, Mistakes> {
    let Some(document) = documents(text).next() else { return Ok(None) };
    let mut walk = Walk::default();
    let whole = walk.through(document).map_err(|error| syntax(&error))?;
    Ok(Some((whole, walk.entries)))
}

/// Walks once more, to the line of the place.
fn line_of(text: &str, (document, number): Place) -> Option<usize> {
    let stopped = Walk::until(number).through(documents(text).nth(document)?).err()?;
    stopped.location().map(|location| location.line())
}

/// Fills in what the first document says, and returns what is wrong with it.
fn fill(config: &mut Config, whole: At, entries: Vec<Entry>) -> Vec<(Place, Problem)> {
    let mut problems = Vec::new();
    let mut refuse = |at: usize, problem| problems.push(((0, at), problem));
    if !matches!(whole.found, Found::Mapping | Found::Nothing) {
        refuse(whole.number, Problem::NoMapping { found: whole.found });
    }
    let mut seen: Vec<(Key, At)> = Vec::with_capacity(Key::ALL.len());
    for Entry { key, value } in entries {
        match known(&key.found) {
            Ok(twice) if seen.iter().any(|(key, _)| *key == twice) => {
                refuse(key.number, Problem::DuplicateKey { key: twice });
            }
            Ok(key) => {
                if let Err(problem) = set(config, key, value.found.clone()) {
                    refuse(value.number, problem);
                }
                seen.push((key, value));
            }
            Err(problem) => refuse(key.number, problem),
        }
    }
    if let Some((at, problem)) = unmet(config, seen) {
        refuse(at, problem);
    }
    problems
}

/// Finds a value that is nothing without another one, which is not there.
fn unmet(config: &Config, seen: Vec<(Key, At)>) -> Option<(usize, Problem)> {
    let (key, needed) = (Key::ProxyProtocol, Key::TrustedProxies);
    let has_needed = seen.iter().any(|(key, value)| *key == needed && value.found != Found::Nothing);
    if config.proxyprotocol == ProxyProtocol::Off || has_needed {
        return None;
    }
    let (_, At { number, found }) = seen.into_iter().find(|(one, _)| *one == key)?;
    Some((number, Problem::Needs { key, found, needed }))
}

/// Tells which key it is.
fn known(found: &Found) -> Result<Key, Problem> {
    let name = match found {
        Found::Text(name) => name.clone(),
        Found::Nothing | Found::Boolean(_) | Found::Integer(_) | Found::Float(_) => found.to_string(),
        Found::List | Found::Mapping | Found::Tagged => {
            return Err(Problem::KeyIsNotText { found: found.clone() });
        }
    };
    Key::named(&name).ok_or_else(|| Problem::UnknownKey { nearest: Key::nearest(&name), name })
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

    /// What the text is refused with, and nothing else: line and message.
    fn refused(text: &str) -> (Option<usize>, String) {
        let mistakes = parse(text).expect_err(text);
        let [Mistake { line, problem }] = mistakes.told() else { panic!("{text:?}: {mistakes:?}") };
        (*line, problem.to_string())
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
    fn byte_order_mark_is_no_mistake_and_moves_no_line() {
        assert_eq!(parse("\u{feff}localport: 7\r\n").unwrap().localport, 7);
        assert_eq!(refused("\u{feff}localport: 7\r\ntimeout: 0\r\n").0, Some(2));
        assert_eq!(line_of_key("\u{feff}localport: 7\ntimeout: 5\n", Key::Timeout), Some(2));
    }

    #[test]
    fn line_of_a_key_is_where_it_stands_in_any_case() {
        let text = "#\nlocalport: 7\nTimeOut:\n  5\n";
        let lines = [Key::LocalPort, Key::Timeout, Key::LogFile].map(|key| line_of_key(text, key));
        assert_eq!(lines, [Some(2), Some(3), None]);
        assert_eq!(line_of_key("", Key::Timeout), None);
    }

    #[test]
    fn every_mistake_is_told_in_the_order_of_the_lines() {
        let text = "proxyprotocol: spp\nlocalprot: {a: [1, 2]}\ntimeout: 0\nmaxpeers: !x [1]\nplainids: yes\n\
                    TIMEOUT: 5\n[a]: 1\nlogfile: [a, {b: c}]\nlocalport: 7\n---\ntimeout: 0\n";
        let mistakes = parse(text).unwrap_err();
        let starts: Vec<(usize, String)> = mistakes
            .told()
            .iter()
            .map(|one| (one.line.unwrap(), one.problem.to_string().split(", ").next().unwrap().to_owned()))
            .collect();
        let expected = [
            (1, "proxyprotocol: \"spp\" needs trustedproxies"),
            (2, "localprot: unknown key"),
            (3, "timeout: 0 is out of range"),
            (4, "maxpeers: a tagged value is of the wrong type"),
            (5, "plainids: \"yes\" is of the wrong type"),
            (6, "timeout: stands here for the second time"),
            (7, "a list stands as a key"),
            (8, "logfile: a list is of the wrong type"),
            (11, "a second YAML document begins"),
        ];
        assert_eq!(starts, expected.map(|(line, start)| (line, start.to_owned())));
    }

    #[test]
    fn proxies_that_are_wrong_are_not_missing_too() {
        assert_eq!(refused("proxyprotocol: spp\ntrustedproxies: 5").0, Some(2));
    }

    #[test]
    fn mistakes_beyond_what_anybody_reads_are_only_counted() {
        let text: String = (0..40).map(|number| format!("{number}: 0\n")).collect();
        let told = Config::from_yaml(&text, std::path::Path::new("c")).unwrap_err().to_string();
        assert_eq!(told.lines().count(), 33);
        assert!(told.ends_with("\nc: further mistakes: 8"), "{told}");
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
