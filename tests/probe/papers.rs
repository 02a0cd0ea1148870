//! `papers`: manual pages and completions say what `--help` says.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::{done, run};

/// Options of a help.
fn options(help: &str) -> BTreeSet<String> {
    let words = help.lines().filter_map(|line| line.trim().split_once(' ').map(|(word, _)| word));
    let options = words.map(|word| word.trim_end_matches(',')).filter(|word| word.starts_with("--"));
    options.filter(|word| word.len() > 2).map(str::to_owned).collect()
}

#[test]
fn every_command_and_option_of_the_help_is_in_every_paper() {
    let place = tempfile::tempdir().unwrap();
    let written = done(run(&["papers", place.path().to_str().unwrap()]));
    assert_eq!(written.lines().count(), 8, "{written}");
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let manual = read("man/man1/roundtable-probe.1").replace("\\-", "-");
    let completions = [
        read("bash-completion/completions/roundtable-probe"),
        read("zsh/site-functions/_roundtable-probe"),
        read("fish/vendor_completions.d/roundtable-probe.fish").replace(" -l ", " --"),
    ];
    let help = done(run(&["--help"]));
    let (_, commands) = help.split_once("Commands:").unwrap();
    let commands = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let commands: Vec<_> = commands.filter(|word| run(&[word, "--help"]).code == Some(0)).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        assert!(manual.contains(&format!(".SS {command}\n")), "{command}");
        for option in options(&done(run(&[command, "--help"]))) {
            assert!(
                manual.contains(&format!("\\fB{option}\\fR")) || option == "--help",
                "{command} {option}"
            );
            for text in &completions {
                assert!(text.contains(&option) || option == "--help", "{command} {option}");
            }
        }
    }
    let server = read("man/man8/signallingserver.8").replace("\\-", "-");
    assert!(server.contains("--config-file-path") && server.contains(".SH EXIT STATUS"), "{server}");
    assert!(server.contains("\\fB--check\\fR"), "{server}");
    let unit = include_str!("../../packaging/signallingserver.service");
    assert!(unit.contains("Documentation=man:signallingserver(8)\n"), "{unit}");
}

#[test]
fn bash_completes_commands_and_options() {
    let place = tempfile::tempdir().unwrap();
    done(run(&["papers", place.path().to_str().unwrap()]));
    let file = place.path().join("bash-completion/completions/roundtable-probe");
    for (words, expected) in [
        ("roundtable-probe de", "decode demo"),
        ("roundtable-probe ping --c", "--count --capture --capture-blobs"),
        ("roundtable-probe --json call x --pu", "--punch"),
    ] {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _roundtable_probe; echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        let Ok(ran) = Command::new("bash").args(["-c", &script]).output() else {
            eprintln!("SKIPPED bash_completes_commands_and_options: bash is not installed");
            return;
        };
        assert_eq!(String::from_utf8_lossy(&ran.stdout).trim_end(), expected, "{ran:?}");
    }
}
