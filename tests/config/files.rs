//! Each kind of file that is missing or bad.

use std::fs;

use roundtable_signalling::config::{Config, ConfigError, DEFAULT_FILE, FILE_MAX, Key, Origin};

use super::program::Place;
use super::{CONFIG, LISTENING, LOCAL, NO_ARGUMENTS, address_in, listening};

#[test]
fn bad_content_names_file_line_key_and_what_is_allowed() {
    let keys = Key::ALL.map(Key::name).join(", ");
    for (name, yaml, message) in [
        ("range", "#\n\nlocalport: 70000\n", "3: localport: 70000 is out of range, allowed are 0 to 65535"),
        ("type", "localport: \"7\"\n", "1: localport: \"7\" is of the wrong type, allowed are 0 to 65535"),
        ("nothing", "timeout: 5\nlocalport:\n", "2: localport: has no value, allowed are 0 to 65535"),
        (
            "level",
            "loglevel: all\n",
            "1: loglevel: \"all\" is no log level, allowed are none, error, warn, info, debug",
        ),
        ("no-mapping", "- timeout\n", "1: a list stands where lines of `key: value` are needed"),
        (
            "unknown",
            "timeout: 5\nlocalprot: 1066\n",
            &format!("2: localprot: unknown key, did you mean localport? Allowed are {keys}"),
        ),
        (
            "duplicate",
            "timeout: 5\nTIMEOUT: 5\n",
            "2: timeout: stands here for the second time, allowed is once (in any case)",
        ),
        ("not-utf8", "#\nlogfile: \u{0}", "2: is not UTF-8 text"),
        ("too-large", "", " is larger than 65536 bytes, the most allowed"),
    ] {
        let place = Place::with_config(&format!("bad-{name}"), yaml);
        match name {
            "not-utf8" => place.write("config.yaml", b"#\nlogfile: \xff\n"),
            "too-large" => place.write("config.yaml", "#".repeat(FILE_MAX + 1)),
            _ => {}
        }
        place.run(NO_ARGUMENTS).assert_refused(CONFIG, &format!("config.yaml:{message}"));
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let yaml = "loglevel: loud\nlocalport: 7\ntimeout: 0\ntimeout: 5\nmaxpeers: many\n";
    Place::with_config("several", yaml).run(NO_ARGUMENTS).assert_refused(
        CONFIG,
        "config.yaml:1: loglevel: \"loud\" is no log level, allowed are none, error, warn, info, debug\n\
         config.yaml:3: timeout: 0 is out of range, allowed are 1 to 3600 seconds\n\
         config.yaml:4: timeout: stands here for the second time, allowed is once (in any case)\n\
         config.yaml:5: maxpeers: \"many\" is of the wrong type, allowed are 1 to 16000000 peers",
    );
}

#[test]
fn text_as_windows_saves_it_is_read_or_called_by_its_name() {
    let place = Place::with_config("windows", &format!("\u{feff}{}", LOCAL.replace('\n', "\r\n")));
    let mut server = place.start(NO_ARGUMENTS);
    listening(&mut server);
    server.stop();
    for bytes in [&b"\xff\xfel\0o\0"[..], b"\xfe\xff\0l\0o"] {
        place.write("config.yaml", bytes);
        let message = "config.yaml: is UTF-16 text, needed is UTF-8: save it as that";
        place.run(NO_ARGUMENTS).assert_refused(CONFIG, message);
    }
}

#[test]
fn what_is_no_yaml_names_file_and_line() {
    let place = Place::with_config("syntax", "timeout: 5\n\tlocalport: 6\n");
    let ended = place.run(NO_ARGUMENTS);
    assert!(ended.stderr.starts_with("config.yaml:2: is not valid YAML: "), "{}", ended.stderr);
    assert_eq!(ended.status.code(), Some(CONFIG));
}

#[test]
fn the_largest_file_allowed_is_read() {
    let place = Place::with_config("largest", &format!("{LOCAL}#"));
    let text = place.read("config.yaml");
    place.write("config.yaml", text.clone() + &"x".repeat(FILE_MAX - text.len()));
    let mut server = place.start(NO_ARGUMENTS);
    listening(&mut server);
    server.stop();
}

#[test]
fn empty_file_means_the_defaults() {
    let place = Place::with_config("empty", "");
    assert_eq!(Config::load(&place.path("config.yaml")).unwrap(), Config::default());
}

#[test]
fn missing_default_file_means_the_defaults() {
    let place = Place::new("missing-default");
    // Bound or taken by another program: either line shows the default port.
    let mut server = place.start(NO_ARGUMENTS);
    match server.line_with_or_end(LISTENING) {
        Some(line) => assert_eq!(address_in(&line).port(), 1066),
        None => {
            let stderr = server.wait().stderr;
            assert!(stderr.starts_with("cannot listen on [::]:1066 (udp): "), "{stderr}");
        }
    }
}

#[test]
fn default_file_that_is_a_link_to_nowhere_is_an_error() {
    let place = Place::new("dangling");
    std::os::unix::fs::symlink("nowhere", place.path(DEFAULT_FILE)).unwrap();
    place.run(NO_ARGUMENTS).assert_refused(CONFIG, "config.yaml: there is no such file");
}

#[test]
fn missing_named_file_is_an_error() {
    let place = Place::with_config("missing-named", LOCAL);
    place.run(["-configFilePath", "other.yaml"]).assert_refused(CONFIG, "other.yaml: there is no such file");
}

#[test]
fn a_directory_is_an_error() {
    let place = Place::new("directory");
    fs::create_dir(place.path("config.yaml")).unwrap();
    place.run(NO_ARGUMENTS).assert_refused(CONFIG, "config.yaml: is a directory, needed is a YAML file");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let place = Place::with_config("unreadable", "");
    let ended = place.run(["--configFilePath=config.yaml/below"]);
    assert!(ended.stderr.starts_with("config.yaml/below: cannot be read: "), "{}", ended.stderr);
    assert_eq!(ended.status.code(), Some(CONFIG));
}

#[test]
fn the_library_says_where_the_configuration_comes_from() {
    let place = Place::with_config("origin", "timeout: 7\n");
    let path = place.path("config.yaml");
    let (config, origin) = Config::load_or_default(Some(&path)).unwrap();
    assert_eq!(origin.line_of(Key::Timeout), Some((path.as_path(), 1)));
    assert_eq!(origin.line_of(Key::LogFile), None);
    assert_eq!((config.timeout.get(), origin), (7, Origin::File { path, text: "timeout: 7\n".to_owned() }));
    let missing = place.path("missing.yaml");
    let error = Config::load_or_default(Some(&missing)).unwrap_err();
    assert!(matches!(error, ConfigError::Missing { file } if file == missing));
}
