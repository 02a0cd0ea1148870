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
        ("altport: 65536", 1, "altport: 65536 is out of range, allowed are 0 to 65535, or nothing for none"),
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
        ("trustedproxies: 7", 1, format!("trustedproxies: 7 is of the wrong type, allowed are {networks}")),
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
