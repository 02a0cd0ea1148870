//! Manual pages and shell completions of the two programs, from the same definitions as `--help`.

use std::fmt::Write;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

/// A file to install.
#[derive(Debug)]
pub(crate) struct Paper {
    /// Where it belongs, below a prefix's `share`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Writes all papers of a program; its manual page is of this section.
pub(crate) fn of(program: &CommandInfoWithArgs, section: u8) -> Vec<Paper> {
    let name = program.name;
    vec![
        Paper { path: format!("man/man{section}/{name}.{section}"), text: manual(program, section) },
        Paper { path: format!("bash-completion/completions/{name}"), text: bash(program) },
        Paper { path: format!("zsh/site-functions/_{name}"), text: zsh(program) },
        Paper { path: format!("fish/vendor_completions.d/{name}.fish"), text: fish(program) },
    ]
}

/// What `--help` shows first.
fn sentence(description: &str) -> &str {
    let paragraph = description.split("\n\n").next().unwrap_or(description);
    paragraph.split_once(". ").map_or(paragraph.trim_end_matches('.'), |(first, _)| first)
}

fn flags(command: &CommandInfoWithArgs) -> impl Iterator<Item = &FlagInfo<'static>> {
    command.flags.iter().filter(|flag| !flag.hidden)
}

const fn value(flag: &FlagInfo<'static>) -> Option<&'static str> {
    match flag.kind {
        FlagInfoKind::Switch => None,
        FlagInfoKind::Option { arg_name } => Some(arg_name),
    }
}

// ---- manual page ----

fn manual(program: &CommandInfoWithArgs, section: u8) -> String {
    let mut page = format!(
        ".TH {} {section} \"\" \"{} {}\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n",
        roff(&program.name.to_uppercase()),
        roff(program.name),
        env!("CARGO_PKG_VERSION"),
        roff(program.name),
        roff(sentence(program.description)),
    );
    page += &synopsis(program.name, program);
    for command in &program.commands {
        page += ".br\n";
        page += &synopsis(&format!("{} {}", program.name, command.name), &command.command);
    }
    page += ".SH DESCRIPTION\n";
    page += &paragraphs(program.description);
    page += ".SH OPTIONS\n";
    page += &arguments(program);
    if !program.commands.is_empty() {
        page += ".SH COMMANDS\n";
    }
    for command in &program.commands {
        let _ = writeln!(page, ".SS {}", roff(command.name));
        page += &paragraphs(command.command.description);
        page += &arguments(&command.command);
        command.command.notes.iter().for_each(|note| page += &lines(note));
    }
    program.notes.iter().for_each(|note| page += &format!(".SH NOTES\n{}", lines(note)));
    if !program.error_codes.is_empty() {
        page += ".SH EXIT STATUS\n";
    }
    for code in program.error_codes {
        let _ = writeln!(page, ".TP\n.B {}\n{}", code.code, roff(code.description));
    }
    page
}

fn synopsis(name: &str, command: &CommandInfoWithArgs) -> String {
    let mut line = format!(".B {}\n", roff(name));
    for flag in flags(command) {
        let text = value(flag).map_or_else(|| flag.long.to_owned(), |value| format!("{} {value}", flag.long));
        let _ = match flag.optionality {
            Optionality::Required => writeln!(line, "{}", roff(&text)),
            Optionality::Repeating => writeln!(line, "[{}...]", roff(&text)),
            Optionality::Optional | Optionality::Greedy => writeln!(line, "[{}]", roff(&text)),
        };
    }
    for positional in command.positionals.iter().filter(|positional| !positional.hidden) {
        let name = roff(positional.name);
        let _ = match positional.optionality {
            Optionality::Required => writeln!(line, ".I {name}"),
            Optionality::Optional => writeln!(line, "[\\fI{name}\\fR]"),
            Optionality::Repeating | Optionality::Greedy => writeln!(line, "[\\fI{name}\\fR...]"),
        };
    }
    if !command.commands.is_empty() {
        line += ".I command ...\n";
    }
    line
}

fn arguments(command: &CommandInfoWithArgs) -> String {
    let mut text = String::new();
    for positional in command.positionals.iter().filter(|positional| !positional.hidden) {
        let _ = writeln!(text, ".TP\n.I {}\n{}", roff(positional.name), roff(positional.description));
    }
    for flag in flags(command) {
        let value = value(flag).map_or_else(String::new, |value| format!(" \\fI{}\\fR", roff(value)));
        let _ = writeln!(text, ".TP\n\\fB{}\\fR{value}\n{}", roff(flag.long), roff(flag.description));
    }
    text
}

/// Text that flows.
fn paragraphs(text: &str) -> String {
    text.split("\n\n").fold(String::new(), |all, one| all + ".PP\n" + &roff(one.trim()) + "\n")
}

/// Text whose lines stay.
fn lines(text: &str) -> String {
    let shown: String = text.lines().map(|line| roff(line) + "\n").collect();
    format!(".PP\n.nf\n{shown}.fi\n")
}

/// Takes what means something to roff for itself.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let protected = text
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() });
    protected.collect::<Vec<_>>().join("\n")
}

// ---- completions ----

fn words(command: &CommandInfoWithArgs) -> String {
    let own = flags(command).map(|flag| flag.long).chain(["--help"]);
    own.collect::<Vec<_>>().join(" ")
}

fn names(program: &CommandInfoWithArgs) -> Vec<&'static str> {
    program.commands.iter().map(|command| command.name).collect()
}

/// A program's name as a shell function's.
fn function(program: &CommandInfoWithArgs) -> String {
    format!("_{}", program.name.replace('-', "_"))
}

fn bash(program: &CommandInfoWithArgs) -> String {
    let (function, name, general) = (function(program), program.name, words(program));
    let commands = names(program);
    let mut cases = String::new();
    for command in &program.commands {
        let _ = writeln!(cases, "        {}) own='{}' ;;", command.name, words(&command.command));
    }
    let (pattern, list) = (commands.join("|"), commands.join(" "));
    let find = if commands.is_empty() {
        "    command=none\n".to_owned()
    } else {
        format!(
            "    for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n        \
             case $word in {pattern}) command=$word; break ;; esac\n    done\n    \
             case $command in\n{cases}    esac\n"
        )
    };
    format!(
        "# Completion of {name} for bash.\n{function}() {{\n    local current=${{COMP_WORDS[COMP_CWORD]}} command= own= word\n\
         {find}    if [[ $current == -* ]]; then\n        \
         COMPREPLY=($(compgen -W \"$own {general}\" -- \"$current\"))\n    \
         elif [[ -z $command ]]; then\n        COMPREPLY=($(compgen -W '{list}' -- \"$current\"))\n    \
         else\n        COMPREPLY=($(compgen -f -- \"$current\"))\n    fi\n}}\n\
         complete -o filenames -F {function} {name}\n"
    )
}

fn zsh(program: &CommandInfoWithArgs) -> String {
    let quoted =
        |text: &str| text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let options = |command: &CommandInfoWithArgs| {
        let shown = flags(command).map(|flag| {
            let value = value(flag).map_or_else(String::new, |value| format!(":{value}:_files"));
            format!("'{}[{}]{value}'", flag.long, quoted(flag.description))
        });
        shown
            .chain(["'--help[show the help]'".to_owned(), "'*:file:_files'".to_owned()])
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut text = format!("#compdef {}\n# Completion of {0} for zsh.\n", program.name);
    if program.commands.is_empty() {
        let _ = writeln!(text, "_arguments {}", options(program));
        return text;
    }
    text += "local -a commands=(\n";
    for command in &program.commands {
        let _ = writeln!(text, "    '{}:{}'", command.name, quoted(sentence(command.command.description)));
    }
    text +=
        ")\nif (( CURRENT == 2 )); then\n    _describe command commands\n    return\nfi\ncase $words[2] in\n";
    for command in &program.commands {
        let _ = writeln!(
            text,
            "    {}) shift words; (( CURRENT-- )); _arguments {} ;;",
            command.name,
            options(&command.command)
        );
    }
    text + "esac\n"
}

fn fish(program: &CommandInfoWithArgs) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut text = format!("# Completion of {} for fish.\n", program.name);
    let mut add = |condition: &str, flag: &FlagInfo<'static>| {
        let value = if value(flag).is_some() { " -r" } else { "" };
        let long = flag.long.trim_start_matches('-');
        let _ = writeln!(
            text,
            "complete -c {}{condition} -l {long}{value} -d '{}'",
            program.name,
            quoted(flag.description)
        );
    };
    flags(program).for_each(|flag| add("", flag));
    for command in &program.commands {
        let condition = format!(" -n '__fish_seen_subcommand_from {}'", command.name);
        flags(&command.command).for_each(|flag| add(&condition, flag));
    }
    for command in &program.commands {
        let shown = quoted(sentence(command.command.description));
        let _ = writeln!(
            text,
            "complete -c {} -n __fish_use_subcommand -a {} -d '{shown}'",
            program.name, command.name
        );
    }
    text
}
