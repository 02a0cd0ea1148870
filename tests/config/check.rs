//! `--check`: what it prints, what it finds, and that it leaves no trace.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;

use roundtable_signalling::config::Config;

use super::program::Place;
use super::{CONFIG, LOCAL, NO_ARGUMENTS, listening};

/// The entries of a directory, in order.
fn entries(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_is_printed_is_the_same_configuration_with_the_line_of_each_key() {
    let yaml = "TimeOut: 7\n\nlogfile: 'a \"log\" # file'\nlocaladdress: '::1'\npublicaddress: '192.0.2.1, [2001:db8::1]:5'\n\
                stun: strict\naltport: 0\naltaddress: '::2'\nproxyprotocol: spp\ntrustedproxies: '192.0.2.0/24, ::2/128'\n\
                plainids: false\nsecretfile: secret\ncapturefile: capture\nstatssocket: stats\nloglevel: debug\n";
    let place = Place::with_config("check-same", yaml);
    let ended = place.run(["--check"]);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    let printed = Config::from_yaml(&ended.stdout, Path::new("printed")).unwrap();
    assert_eq!(printed, Config::load(&place.path("config.yaml")).unwrap());
    for line in [
        "# config.yaml: no mistakes. Would be in use:",
        "timeout: 7  # line 1",
        "logfile: \"a \\\"log\\\" # file\"  # line 3",
        "localport: 1066  # default",
    ] {
        assert!(ended.stdout.lines().any(|printed| printed == line), "{line:?} is not in {}", ended.stdout);
    }
    assert_eq!(entries(&place), ["config.yaml"]);
}

#[test]
fn nothing_is_bound_emptied_or_taken_from_a_server_that_runs() {
    let files = "logfile: log\nsecretfile: secret\ncapturefile: capture\nstatssocket: stats\n";
    let place = Place::with_config("check-running", &format!("{LOCAL}{files}"));
    let mut server = place.start(NO_ARGUMENTS);
    let address = listening(&mut server);
    let port = format!("localaddress: '127.0.0.1'\nlocalport: {}\n", address.port());
    place.write("same.yaml", format!("{port}{files}"));
    let before = (entries(&place), place.read("log"), place.read("secret"));
    let ended = place.run(["--config-file-path", "same.yaml", "--check"]);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    assert_eq!((entries(&place), place.read("log"), place.read("secret")), before);
    server.stop();
}

#[test]
fn everything_that_would_keep_it_from_starting_is_told_with_its_line() {
    let yaml = "capturefile: .\nlogfile: missing/log\n\nsecretfile: secret\nstatssocket: plain\n";
    let place = Place::with_config("check-files", yaml);
    place.write("secret", "no secret");
    place.write("plain", "no socket");
    let ended = place.run(["--check"]);
    let starts = [
        "config.yaml:2: logfile: cannot open missing/log for writing: ",
        "config.yaml:4: secretfile: secret: ",
        "config.yaml:1: capturefile: .: ",
        "config.yaml:5: statssocket: plain: ",
    ];
    assert_eq!(ended.stderr.lines().count(), starts.len(), "{}", ended.stderr);
    for (line, start) in ended.stderr.lines().zip(starts) {
        assert!(line.starts_with(start), "{line:?} does not start with {start:?}");
    }
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(CONFIG), ""));
    // As a start finds each.
    for name in ["logfile", "secretfile", "capturefile", "statssocket"] {
        let one: String = yaml.lines().filter(|line| line.starts_with(name)).collect();
        place.write("config.yaml", format!("{LOCAL}{one}\n"));
        assert_eq!(place.run(NO_ARGUMENTS).status.code(), Some(CONFIG), "{one}");
    }
}

#[test]
#[cfg(unix)]
fn links_that_lead_nowhere_and_a_long_path_of_a_socket_are_what_they_are_at_a_start() {
    use std::os::unix::fs::symlink;

    // A server would make what the link in the first line names.
    let here = Place::with_config("check-link-here", &format!("{LOCAL}logfile: link\n"));
    symlink("there", here.path("link")).unwrap();
    let ended = here.run(["--check"]);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(entries(&here), ["config.yaml", "link"]);

    let long = format!("statssocket: {}\n", "s".repeat(108));
    for (number, line) in
        ["logfile: link\n", "capturefile: link\n", "secretfile: single\n", &long].into_iter().enumerate()
    {
        let place = Place::with_config(&format!("check-link-{number}"), &format!("{LOCAL}{line}"));
        symlink("missing/there", place.path("link")).unwrap();
        symlink("there", place.path("single")).unwrap();
        let (checked, started) = (place.run(["--check"]), place.run(NO_ARGUMENTS));
        assert_eq!((checked.status.code(), checked.stdout.as_str()), (Some(CONFIG), ""), "{line}");
        assert_eq!(started.status.code(), Some(CONFIG), "{line}");
        let place_of = |text: &str| text.split_inclusive(": ").take(3).collect::<String>();
        assert_eq!(place_of(&checked.stderr), place_of(&started.stderr), "{line}");
    }
}

#[test]
fn mistakes_in_the_file_are_those_of_a_start() {
    let place = Place::with_config("check-content", "timeout: 0\nlocalprot: 5\n");
    let (checked, started) = (place.run(["--check"]), place.run(NO_ARGUMENTS));
    assert_eq!(checked.stderr.lines().count(), 2, "{}", checked.stderr);
    checked.assert_refused(CONFIG, started.stderr.trim_end());
}

#[test]
fn port_in_use_is_none_of_its_business() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let yaml = format!("localaddress: '127.0.0.1'\nlocalport: {port}\n");
    let ended = Place::with_config("check-port", &yaml).run(["--check"]);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn without_a_file_the_defaults_are_shown() {
    let ended = Place::new("check-defaults").run(["--check"]);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout.lines().next(), Some("# no configuration file. Would be in use:"));
    assert_eq!(Config::from_yaml(&ended.stdout, Path::new("printed")).unwrap(), Config::default());
}
