//! Every spelling of the option, and what is refused.

use super::program::Place;
use super::{LOCAL, USAGE, listening};

#[test]
fn every_spelling_of_the_option_names_the_file() {
    for (position, option) in
        ["--configFilePath", "-configFilePath", "--config-file-path"].into_iter().enumerate()
    {
        let place = Place::new(&format!("spelling-{position}"));
        // Were the option not taken, the default file would end the program.
        place.write("config.yaml", "wrong");
        place.write("named.yaml", LOCAL);
        for arguments in
            [vec![option.to_owned(), "named.yaml".to_owned()], vec![format!("{option}=named.yaml")]]
        {
            let mut server = place.start(&arguments);
            listening(&mut server);
            server.stop();
        }
    }
}

#[test]
fn bad_command_lines_are_refused_with_a_hint() {
    let place = Place::with_config("bad-command-line", LOCAL);
    let hint = "Run signallingserver --help for the options.";
    for (arguments, message) in [
        (&["--port=5"][..], "Unrecognized argument: --port=5"),
        (&["named.yaml"], "Unrecognized argument: named.yaml"),
        (&["--configFilePath"], "No value provided for option '--config-file-path'."),
        (&["--configFilePath="], "No value provided for option '--config-file-path'."),
    ] {
        place.run(arguments).assert_refused(USAGE, &format!("{message}\n{hint}"));
    }
}

#[test]
fn help_names_options_exit_codes_and_the_default() {
    let ended = Place::new("help").run(["--help"]);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    for word in ["--config-file-path", "-configFilePath", "--version", "config.yaml", "78", "listening on"] {
        assert!(ended.stdout.contains(word), "{word:?} is not in {}", ended.stdout);
    }
}

#[test]
fn version_is_the_one_of_the_package() {
    let ended = Place::new("version").run(["--version"]);
    assert_eq!(ended.stdout, format!("signallingserver {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
}
