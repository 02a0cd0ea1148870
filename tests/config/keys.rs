//! Each row of the table of keys.

use std::net::UdpSocket;
use std::path::Path;

use roundtable_signalling::config::{Config, Key};

use super::program::Place;
use super::{CONFIG, LISTENING, LOCAL, NO_ARGUMENTS, address_in, json_lines, listening, logged};

#[test]
fn loglevel_info_logs_the_address_to_standard_output_once() {
    let place = Place::with_config("loglevel-info", LOCAL);
    let mut server = place.start(NO_ARGUMENTS);
    let line = server.line_with(LISTENING);
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(rest.starts_with("INFO  roundtable_signalling::cli: listening on 127.0.0.1:"), "{line}");
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{line}");
    let ended = server.stop();
    assert!(!ended.stdout.contains("listening"), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("INFO  roundtable_signalling::cli: ending upon SIGTERM"),
        "{}",
        ended.stdout
    );
    assert_eq!(ended.stderr, "");
}

#[test]
fn loglevel_below_info_prints_the_address_and_logs_nothing_louder() {
    for level in ["none", "error", "warn"] {
        let place = Place::with_config(&format!("loglevel-{level}"), &format!("{LOCAL}loglevel: {level}\n"));
        let mut server = place.start(NO_ARGUMENTS);
        let line = server.line_with(LISTENING);
        assert_eq!(line, format!("listening on {} (udp)", address_in(&line)));
        let ended = server.stop();
        for louder in ["INFO", "DEBUG"].iter().chain((level == "error").then_some(&"WARN")) {
            assert!(!ended.stdout.contains(louder), "{level}: {}", ended.stdout);
        }
        assert_eq!(ended.stderr, "");
        assert!(level != "none" || ended.stdout.is_empty(), "{}", ended.stdout);
    }
}

#[test]
fn loglevel_none_leaves_the_log_file_alone() {
    let place = Place::with_config("loglevel-none-file", &format!("{LOCAL}loglevel: none\nlogfile: log\n"));
    let mut server = place.start(NO_ARGUMENTS);
    listening(&mut server);
    server.stop();
    assert!(!place.path("log").exists());
}

#[test]
fn logfile_is_emptied_and_gets_json_lines_while_the_address_is_printed() {
    let place = Place::with_config("logfile", &format!("{LOCAL}logfile: out.log\n"));
    place.write("out.log", "from an earlier run\n".repeat(1000));
    let mut server = place.start(NO_ARGUMENTS);
    let line = server.line_with(LISTENING);
    assert_eq!(line, format!("listening on {} (udp)", address_in(&line)));
    assert_eq!(server.stop().stdout, "");

    let lines = json_lines(&place.read("out.log"));
    let first = logged(&lines, LISTENING).as_object().unwrap();
    let mut fields: Vec<&str> = first.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["level", "message", "target", "time"]);
    assert_eq!(first["level"], "info");
    assert_eq!(first["target"], "roundtable_signalling::cli");
    assert_eq!(first["message"], line);
    assert!(first["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{first:?}");
    logged(&lines, "ending upon SIGTERM");
}

/// What ends the server has nothing to do with what it logs.
#[test]
fn server_serves_until_it_is_told_to_end_at_every_loglevel() {
    for level in ["none", "error", "warn", "info", "debug"] {
        let yaml = format!("localaddress: '127.0.0.1'\nlocalport: 0\nloglevel: {level}\n");
        let place = Place::with_config(&format!("serves-at-{level}"), &yaml);
        let mut server = place.start(NO_ARGUMENTS);
        let address = listening(&mut server);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let ping = [&b"RT\x01\x01"[..], &[7; 16], &[0; 19]].concat();
        socket.send_to(&ping, address).unwrap();
        let length = socket.recv(&mut [0; 64]).unwrap_or_else(|error| panic!("{level}: {error}"));
        assert_eq!(length, ping.len(), "{level}");
        server.stop();
    }
}

#[test]
fn localport_is_the_port_bound() {
    // A port that was free a moment ago; if another program takes it meanwhile, the message still names it.
    let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let place = Place::with_config(
        "localport",
        &format!("localaddress: '127.0.0.1'\nloglevel: none\nlocalport: {port}\n"),
    );
    assert_binds_or_names(&place, "config.yaml:3: ", &format!("127.0.0.1:{port}"));
}

#[test]
fn localport_is_1066_by_default() {
    let place = Place::with_config("localport-default", "localaddress: '127.0.0.1'\nloglevel: none\n");
    assert_binds_or_names(&place, "", "127.0.0.1:1066");
}

/// The program listens on the address, or says that it could not since another holds it, and where that is asked for.
fn assert_binds_or_names(place: &Place, asked: &str, address: &str) {
    let mut server = place.start(NO_ARGUMENTS);
    let Some(line) = server.line_with_or_end(LISTENING) else {
        let stderr = server.wait().stderr;
        assert!(stderr.starts_with(&format!("{asked}cannot listen on {address} (udp): ")), "{stderr}");
        return;
    };
    assert_eq!(line, format!("listening on {address} (udp)"));
    server.stop();
}

#[test]
fn localport_0_binds_a_free_port_and_prints_it() {
    let place = Place::with_config("localport-0", LOCAL);
    let mut first = place.start(NO_ARGUMENTS);
    let mut second = place.start(NO_ARGUMENTS);
    let (first_address, second_address) = (listening(&mut first), listening(&mut second));
    assert_ne!(first_address.port(), 0);
    assert_ne!(first_address, second_address);
    let refused = UdpSocket::bind(first_address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    first.stop();
    second.stop();
}

#[test]
fn localaddress_unset_binds_every_address() {
    let place = Place::with_config("localaddress", "localport: 0\n");
    let mut server = place.start(NO_ARGUMENTS);
    assert!(listening(&mut server).ip().is_unspecified());
    server.stop();
}

#[test]
fn the_other_keys_take_their_ends_and_refuse_their_neighbours() {
    for (key, low, high) in [
        ("timeout", 1_u32, 3600_u32),
        ("maxpeers", 1, 16_000_000),
        ("maxoffers", 1, 4_000_000),
        ("maxpeeroffers", 1, 1000),
        ("maxblob", 1024, 65_536),
    ] {
        for taken in [low, high] {
            let config = Config::from_yaml(&format!("{key}: {taken}"), Path::new("c"));
            assert!(config.is_ok(), "{key}: {taken}: {config:?}");
        }
        for (position, refused) in [low - 1, high + 1].into_iter().enumerate() {
            let place =
                Place::with_config(&format!("ends-{key}-{position}"), &format!("\n{key}: {refused}\n"));
            let allowed = Key::named(key).unwrap().allowed();
            let message = format!("config.yaml:2: {key}: {refused} is out of range, allowed are {allowed}");
            place.run(NO_ARGUMENTS).assert_refused(CONFIG, &message);
        }
    }
}

#[test]
fn shipped_file_runs() {
    let place = Place::new("shipped");
    let shipped = include_str!("../../config.yaml").replace("localport: 1066", "localport: 0");
    place.write("config.yaml", shipped);
    let mut server = place.start(NO_ARGUMENTS);
    assert!(listening(&mut server).ip().is_unspecified());
    server.stop();
}
