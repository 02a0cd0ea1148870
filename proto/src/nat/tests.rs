use super::*;

use Filtering as F;
use Mapping as M;

fn seen(public: &str, mapping: Mapping, filtering: Filtering) -> Behaviour {
    Behaviour {
        public: public.parse().unwrap(),
        is_translated: true,
        mapping: Some(mapping),
        filtering: Some(filtering),
        keeps_port: true,
        hairpin: Some(false),
        elsewhere: Some(true),
    }
}

const HERE: &str = "198.51.100.1";
const THERE: &str = "203.0.113.1";

fn forecast(this: Behaviour, other: Behaviour) -> Forecast {
    let forecast = Verdict::Seen(this).forecast(&Verdict::Seen(other));
    assert_eq!(Verdict::Seen(other).forecast(&Verdict::Seen(this)), turned(forecast), "from the other side");
    forecast
}

/// The same as the other side says it.
fn turned(forecast: Forecast) -> Forecast {
    let turn = |side| if side == Side::This { Side::Other } else { Side::This };
    match forecast {
        Forecast::DirectIfStarts(side) => Forecast::DirectIfStarts(turn(side)),
        Forecast::Unknown(side) => Forecast::Unknown(turn(side)),
        Forecast::RelayNeeded(Why::NoUdp(side)) => Forecast::RelayNeeded(Why::NoUdp(turn(side))),
        Forecast::RelayNeeded(Why::UdpToServerOnly(side)) => {
            Forecast::RelayNeeded(Why::UdpToServerOnly(turn(side)))
        }
        Forecast::RelayNeeded(Why::PortUnknown(side)) => Forecast::RelayNeeded(Why::PortUnknown(turn(side))),
        Forecast::Direct
        | Forecast::DirectUnlessMappedByAddress
        | Forecast::OnLocalNetwork
        | Forecast::RelayNeeded(Why::NoCommonFamily | Why::BothPortsUnknown) => forecast,
    }
}

#[test]
fn steady_ports_meet_whatever_is_filtered() {
    for one in [F::EndpointIndependent, F::AddressDependent, F::AddressAndPortDependent] {
        for other in [F::EndpointIndependent, F::AddressDependent, F::AddressAndPortDependent] {
            let pair = (seen(HERE, M::EndpointIndependent, one), seen(THERE, M::EndpointIndependent, other));
            assert_eq!(forecast(pair.0, pair.1), Forecast::Direct);
        }
    }
}

#[test]
fn port_that_varies_meets_only_who_lets_unknown_ports_in() {
    for varying in [M::AddressDependent, M::Dependent, M::AddressAndPortDependent] {
        for (filtering, expected) in [
            (F::EndpointIndependent, Forecast::Direct),
            (F::PortIndependent, Forecast::DirectIfStarts(Side::Other)),
            (F::AddressDependent, Forecast::DirectIfStarts(Side::Other)),
            (F::AddressAndPortDependent, Forecast::RelayNeeded(Why::PortUnknown(Side::This))),
        ] {
            let this = seen(HERE, varying, F::AddressAndPortDependent);
            assert_eq!(forecast(this, seen(THERE, M::EndpointIndependent, filtering)), expected);
            let both = forecast(this, seen(THERE, varying, filtering));
            assert_eq!(both, Forecast::RelayNeeded(Why::BothPortsUnknown));
        }
    }
}

#[test]
fn what_is_not_known_is_not_forecast() {
    let known = seen(THERE, M::EndpointIndependent, F::AddressAndPortDependent);
    let this = Behaviour { mapping: None, ..seen(HERE, M::EndpointIndependent, F::EndpointIndependent) };
    assert_eq!(forecast(this, known), Forecast::Unknown(Side::This));
    let this = Behaviour { filtering: None, ..seen(HERE, M::EndpointIndependent, F::EndpointIndependent) };
    assert_eq!(forecast(this, known), Forecast::Direct);
    let varying = seen(THERE, M::AddressAndPortDependent, F::AddressAndPortDependent);
    assert_eq!(forecast(this, varying), Forecast::Unknown(Side::This));
}

#[test]
fn ports_of_one_address_leave_open_whether_a_nat_maps_by_address() {
    let perhaps = seen(HERE, M::PortIndependent, F::AddressAndPortDependent);
    let perhaps_there = seen(THERE, M::PortIndependent, F::AddressAndPortDependent);
    let steady = seen(THERE, M::EndpointIndependent, F::AddressAndPortDependent);
    assert_eq!(forecast(perhaps, steady), Forecast::DirectUnlessMappedByAddress);
    assert_eq!(forecast(perhaps, perhaps_there), Forecast::DirectUnlessMappedByAddress);
    let varying = seen(THERE, M::AddressAndPortDependent, F::AddressAndPortDependent);
    assert_eq!(forecast(perhaps, varying), Forecast::RelayNeeded(Why::PortUnknown(Side::Other)));
    for open in [F::EndpointIndependent, F::PortIndependent, F::AddressDependent] {
        let perhaps = Behaviour { filtering: Some(open), ..perhaps };
        assert_eq!(forecast(perhaps, varying), Forecast::Unknown(Side::This));
    }
    let hairpin = Behaviour { hairpin: Some(true), ..perhaps };
    assert_eq!(forecast(hairpin, hairpin), Forecast::DirectUnlessMappedByAddress);
    let without_nat = Behaviour { is_translated: false, hairpin: None, ..perhaps };
    assert_eq!(forecast(without_nat, steady), Forecast::Direct);
    let open = Behaviour { filtering: Some(F::PortIndependent), ..without_nat };
    assert_eq!(forecast(open, varying), Forecast::DirectIfStarts(Side::This));
}

#[test]
fn networks_without_a_way_need_a_relay() {
    let open = seen(HERE, M::EndpointIndependent, F::EndpointIndependent);
    let fenced =
        Behaviour { elsewhere: Some(false), ..seen(THERE, M::EndpointIndependent, F::EndpointIndependent) };
    assert_eq!(forecast(open, fenced), Forecast::RelayNeeded(Why::UdpToServerOnly(Side::Other)));
    let v6 = seen("2001:db8::1", M::EndpointIndependent, F::EndpointIndependent);
    assert_eq!(forecast(open, v6), Forecast::RelayNeeded(Why::NoCommonFamily));
    let open = Verdict::Seen(open);
    assert_eq!(Verdict::NoUdp.forecast(&open), Forecast::RelayNeeded(Why::NoUdp(Side::This)));
    assert_eq!(open.forecast(&Verdict::NoUdp), Forecast::RelayNeeded(Why::NoUdp(Side::Other)));
}

#[test]
fn hosts_behind_one_nat_meet_outside_only_where_it_lets_them() {
    let this = seen(HERE, M::EndpointIndependent, F::AddressAndPortDependent);
    assert_eq!(forecast(this, this), Forecast::OnLocalNetwork);
    let hairpin = Behaviour { hairpin: Some(true), ..this };
    assert_eq!(forecast(hairpin, hairpin), Forecast::Direct);
    let varying = Behaviour { mapping: Some(M::AddressDependent), ..hairpin };
    assert_eq!(forecast(varying, varying), Forecast::OnLocalNetwork);
}

#[test]
fn mapping_is_judged_by_what_places_that_differ_have_seen() {
    let sightings = |text: &str| -> Vec<Sighting> {
        let sighting = |words: &str| {
            let (server, port) = words.split_once('=').unwrap();
            let mapped = SocketAddr::new(HERE.parse().unwrap(), port.parse().unwrap());
            Sighting { server: server.parse().unwrap(), mapped }
        };
        text.split_whitespace().map(sighting).collect()
    };
    for (text, expected) in [
        ("", None),
        ("192.0.2.1:1=5", None),
        ("192.0.2.1:1=5 192.0.2.1:1=5", None),
        ("192.0.2.1:1=5 192.0.2.1:2=5", Some(M::PortIndependent)),
        ("192.0.2.1:1=5 192.0.2.1:2=6", Some(M::AddressAndPortDependent)),
        ("192.0.2.1:1=5 192.0.2.2:1=5", Some(M::EndpointIndependent)),
        ("192.0.2.1:1=5 192.0.2.2:1=6", Some(M::Dependent)),
        ("192.0.2.1:1=5 192.0.2.2:2=6", Some(M::Dependent)),
        ("192.0.2.1:1=5 192.0.2.1:2=5 192.0.2.2:1=5", Some(M::EndpointIndependent)),
        ("192.0.2.1:1=5 192.0.2.1:2=5 192.0.2.2:1=6 192.0.2.2:2=6", Some(M::AddressDependent)),
        ("192.0.2.1:1=5 192.0.2.1:2=5 192.0.2.2:1=6 192.0.2.2:2=7", Some(M::AddressAndPortDependent)),
    ] {
        assert_eq!(mapping(&sightings(text)), expected, "{text}");
    }
}

#[test]
fn verdict_is_read_as_it_is_written_and_nothing_else_is() {
    let this = seen(HERE, M::AddressDependent, F::AddressAndPortDependent);
    let all = [
        Verdict::NoUdp,
        Verdict::Seen(this),
        Verdict::Seen(Behaviour { mapping: None, filtering: None, hairpin: None, elsewhere: None, ..this }),
        Verdict::Seen(Behaviour {
            public: "2001:db8::1".parse().unwrap(),
            is_translated: false,
            keeps_port: false,
            ..this
        }),
        Verdict::Seen(Behaviour {
            mapping: Some(M::PortIndependent),
            filtering: Some(F::PortIndependent),
            ..this
        }),
        Verdict::Seen(Behaviour { mapping: Some(M::Dependent), ..this }),
    ];
    for verdict in all {
        assert_eq!(verdict.to_string().parse(), Ok(verdict));
    }
    let text = Verdict::Seen(this).to_string();
    assert_eq!(text, "nat1/198.51.100.1/yes/address-dependent/address-and-port-dependent/yes/no/yes");
    for wrong in [
        "",
        "nat1",
        "nat1/",
        "nat2/no-udp",
        "nat1/no-udp/",
        &text[..text.len() - 1],
        &format!("{text}/yes"),
        &text.replacen("yes", "unknown", 1),
        &text.replace("address-dependent", "steady"),
        &text.replace("198", "1980"),
    ] {
        assert_eq!(wrong.parse::<Verdict>(), Err(NoVerdict), "{wrong}");
    }
}
