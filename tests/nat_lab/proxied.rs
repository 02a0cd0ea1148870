//! The server behind a proxy: peers behind NATs find each other, since it sees where they truly are.

use crate::lab::inside_with;
use crate::nat::plan::{Access, Input};
use crate::nat::{Lab, PORT, PROGRAMS, Plan, SERVER_V4, Site};
use crate::trial::{Pair, SERVER, Side, Trial};

const PROXY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/proxy.py");

/// Lets bob listen and alice call, at what they know as the server: through the proxy, or directly.
fn call(test: &str, protocol: &str, is_bob_direct: bool) {
    let programs = [PROGRAMS[0], PROGRAMS[1], ("python3", "--version")];
    inside_with(&format!("proxied::{test}"), &programs, || {
        let lab = Lab::build(Plan::new(Access::Cone, Access::Restricted, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let [proxy, server] = SERVER_V4;
        let further =
            format!("localaddress: '{server}'\nproxyprotocol: {protocol}\ntrustedproxies: '{proxy}'\n");
        let _server = lab.serve(SERVER.as_ref(), directory.path(), &further);
        let [through, direct] = [proxy, server].map(|ip| format!("{ip}:{PORT}"));
        let mut program = lab.start("server", ["python3", PROXY, protocol, &through, &direct]);
        program.line_with("proxying on ");

        let at_bob = if is_bob_direct { &direct } else { &through };
        let trial = Pair::listening_at(&lab, at_bob).call_at(&through).finish();
        let Trial { alice: Side::Path { peer: bob, .. }, bob: Side::Path { peer: alice, .. }, .. } = &trial
        else {
            panic!("{trial:?}")
        };
        for (peer, site) in [(alice, Site::Alice), (bob, Site::Bob)] {
            assert!(peer.starts_with(&format!("{}:", site.public())), "{peer} is not where {site:?} is");
        }
        program.signal("TERM");
        let ended = program.wait();
        assert!(ended.stdout.contains("\"wrong\": []"), "{ended:?}");
        assert!(
            ended.stdout.contains(if is_bob_direct { "\"clients\": 1" } else { "\"clients\": 2" }),
            "{ended:?}"
        );
    });
}

#[test]
fn pair_behind_nats_meets_through_a_simple_proxy() {
    call("pair_behind_nats_meets_through_a_simple_proxy", "spp", false);
}

#[test]
fn pair_behind_nats_meets_through_a_proxy_of_flows() {
    call("pair_behind_nats_meets_through_a_proxy_of_flows", "v2", false);
}

#[test]
fn pair_behind_nats_meets_with_one_behind_the_proxy_and_one_before_the_server() {
    call("pair_behind_nats_meets_with_one_behind_the_proxy_and_one_before_the_server", "spp", true);
}
