//! What the file cannot answer for: log file, port, address, standard output, signals.

use std::net::UdpSocket;

use super::program::Place;
use super::{CONFIG, LOCAL, NO_ARGUMENTS, json_lines, listening, logged};

#[test]
fn logfile_that_cannot_be_opened_is_an_error_that_names_key_and_path() {
    for (name, logfile) in [("no-directory", "missing/out.log"), ("directory", ".")] {
        let place =
            Place::with_config(&format!("unopenable-{name}"), &format!("{LOCAL}logfile: {logfile}\n"));
        let ended = place.run(NO_ARGUMENTS);
        let message = format!("config.yaml:3: logfile: cannot open {logfile} for writing: ");
        assert!(ended.stderr.starts_with(&message), "{}", ended.stderr);
        assert_eq!(ended.status.code(), Some(CONFIG));
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn port_in_use_says_who_to_ask_and_what_to_set() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let yaml = format!("localaddress: '127.0.0.1'\nlocalport: {}\nlogfile: out.log\n", address.port());
    let place = Place::with_config("port-in-use", &yaml);
    let ended = place.run(NO_ARGUMENTS);
    let start = format!("config.yaml:2: cannot listen on {address} (udp): ");
    assert!(ended.stderr.starts_with(&start), "{}", ended.stderr);
    for word in ["Another program has the port", &address.port().to_string(), "localport"] {
        assert!(ended.stderr.contains(word), "{word:?} is not in {}", ended.stderr);
    }
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stdout, "");
    let lines = json_lines(&place.read("out.log"));
    assert_eq!(logged(&lines, ended.stderr.trim_end())["level"], "error");
}

#[test]
fn address_of_another_host_says_what_to_set() {
    // TEST-NET-1 of RFC 5737: nobody has it.
    let place =
        Place::with_config("foreign-address", "localport: 0\nlocaladdress: '192.0.2.1'\nloglevel: none\n");
    let ended = place.run(NO_ARGUMENTS);
    assert!(
        ended.stderr.starts_with("config.yaml:2: cannot listen on 192.0.2.1:0 (udp): "),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("localaddress"), "{}", ended.stderr);
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn file_that_cannot_be_made_is_told_once_with_its_line() {
    for key in ["secretfile", "capturefile", "statssocket"] {
        let place = Place::with_config(&format!("no-{key}"), &format!("{LOCAL}\n{key}: missing/file\n"));
        let ended = place.run(NO_ARGUMENTS);
        let message = format!("config.yaml:4: {key}: missing/file: ");
        assert!(ended.stderr.starts_with(&message), "{}", ended.stderr);
        assert!(ended.stderr.ends_with(". Make its directory, or name another.\n"), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert_eq!(ended.status.code(), Some(CONFIG));
        assert!(!ended.stdout.contains("missing/file"), "{}", ended.stdout);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_under_the_log_file_is_told_once_and_ends_nothing() {
    let place = Place::with_config("full-disk", &format!("{LOCAL}logfile: /dev/full\n"));
    let mut server = place.start(NO_ARGUMENTS);
    listening(&mut server);
    let ended = server.stop();
    assert!(
        ended.stderr.starts_with("log lines are lost until they can be written again: "),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn closed_standard_output_ends_nothing() {
    let place = Place::with_config("closed-stdout", LOCAL);
    let mut server = place.start(NO_ARGUMENTS);
    listening(&mut server);
    server.hang_up();
    let ended = server.stop();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn hangup_without_a_terminal_ends_nothing_and_says_what_it_does_not_do() {
    let place = Place::with_config("hangup", &format!("{LOCAL}loglevel: debug\n"));
    let mut server = place.start(NO_ARGUMENTS);
    listening(&mut server);
    for level in ["WARN", "DEBUG", "DEBUG"] {
        server.signal("HUP");
        let line = server.line_with("SIGHUP");
        assert!(line.contains(level) && line.contains("SIGHUP changes nothing: "), "{line}");
    }
    assert_eq!(server.stop().stderr, "");
}

#[test]
fn interrupt_and_termination_end_the_program_well() {
    for name in ["INT", "TERM"] {
        let place = Place::with_config(&format!("signal-{name}"), LOCAL);
        let mut server = place.start(NO_ARGUMENTS);
        listening(&mut server);
        server.signal(name);
        let ended = server.wait();
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""), "SIG{name}");
        assert!(ended.stdout.contains(&format!("ending upon SIG{name}\n")), "{}", ended.stdout);
    }
}
