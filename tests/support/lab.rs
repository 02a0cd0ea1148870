//! Hosts of one's own on one machine: network namespaces and links between them, in a user namespace, so that no
//! privilege is needed and nothing outside is reached or changed.

use std::process::{Command, Stdio};

/// Set for the process that runs inside, to the test that it runs.
const INSIDE: &str = "ROUNDTABLE_LAB";
/// Seconds for one test, only ever reached by a failing one; a variable of this name sets more for a long run by hand.
const PATIENCE: &str = "900";
const PATIENCE_NAME: &str = "ROUNDTABLE_LAB_SECONDS";

/// Runs the body of `test` in namespaces of its own: this program starts itself there once more. Says in one line if
/// that cannot be.
pub(crate) fn inside(test: &str, body: impl FnOnce()) {
    inside_with(test, &[], body);
}

/// The same for a test that needs these programs, too, as name and words that make it do nothing.
pub(crate) fn inside_with(test: &str, programs: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == test) {
        settle();
        body();
        return;
    }
    if let Some(missing) = missing(programs) {
        eprintln!("SKIPPED {test}: {missing}");
        return;
    }
    let myself = std::env::current_exe().unwrap();
    let status = Command::new("timeout")
        .args([&std::env::var(PATIENCE_NAME).unwrap_or_else(|_| PATIENCE.to_owned()), "unshare", "-rnm"])
        .arg(myself)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, test)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    print!("{}", text(&status.stdout));
    eprint!("{}", text(&status.stderr));
    assert!(status.status.success(), "{test} has failed inside");
}

/// Makes the namespaces that this process has just been started in fit to hold hosts.
pub(crate) fn settle() {
    run("mount", &["-t", "tmpfs", "none", "/run"]);
    run("ip", &["link", "set", "lo", "up"]);
}

/// Says what a lab lacks here, if anything.
pub(crate) fn missing(programs: &[(&str, &str)]) -> Option<String> {
    let works = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !works("unshare", &["-rnm", "true"]) {
        return Some("network namespaces are not to be had here (unshare -rnm)".to_owned());
    }
    [("ip", "-V"), ("nsenter", "--version")]
        .iter()
        .chain(programs)
        .find(|(program, words)| !works(program, &[words]))
        .map(|(program, _)| format!("{program} is not installed"))
}

/// Runs a program that has to succeed, and gives what it prints.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {}: {error}", arguments.join(" "));
    String::from_utf8(ran.stdout).unwrap()
}

/// Runs `ip` with these words.
pub(crate) fn ip(words: &str) {
    run("ip", &words.split_whitespace().collect::<Vec<_>>());
}

/// Adds a host.
pub(crate) fn add_host(name: &str) {
    ip(&format!("netns add {name}"));
    ip(&format!("-n {name} link set lo up"));
}

/// The words before a program that make it run on a host.
pub(crate) fn enter(host: &str) -> [String; 2] {
    ["nsenter".to_owned(), format!("--net=/run/netns/{host}")]
}

/// Runs a shell command on a host, and gives what it prints.
pub(crate) fn on(host: &str, command: &str) -> String {
    let [nsenter, net] = enter(host);
    run(&nsenter, &[&net, "sh", "-c", command])
}

/// One end of a link: interface, link address, IPv4 and IPv6 address with prefix, and the host unless it is this one.
pub(crate) struct End<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) interface: &'a str,
    pub(crate) mac: &'a str,
    pub(crate) v4: &'a str,
    pub(crate) v6: &'a str,
}

/// Puts a link between two hosts, over which nothing passes but what they send: neighbours are known beforehand.
pub(crate) fn add_link(one: &End<'_>, other: &End<'_>) {
    let (a, b) = (one.interface, other.interface);
    ip(&format!("link add dev {a} address {} type veth peer name {b} address {}", one.mac, other.mac));
    for (here, there) in [(one, other), (other, one)] {
        let (interface, on) =
            (here.interface, here.host.map(|host| format!("-n {host} ")).unwrap_or_default());
        if let Some(host) = here.host {
            ip(&format!("link set {interface} netns {host}"));
        }
        // Neither router solicitations nor reports of groups.
        ip(&format!("{on}link set {interface} addrgenmode none multicast off"));
        ip(&format!("{on}address add {} dev {interface}", here.v4));
        ip(&format!("{on}address add {} dev {interface} nodad", here.v6));
        ip(&format!("{on}link set {interface} up"));
        for address in [there.v4, there.v6] {
            let (address, _) = address.split_once('/').unwrap();
            ip(&format!("{on}neigh replace {address} lladdr {} dev {interface} nud permanent", there.mac));
        }
    }
}
