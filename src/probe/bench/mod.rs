//! `roundtable-probe bench`: what a server costs, beside an echo that does nothing but answer.

mod agreement;
mod arguments;
mod crew;
mod histogram;
mod load;
mod process;
mod sockets;
mod tag;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(super) use arguments::Bench;
use arguments::{Kind, PEERS_MAX};
use crew::Crew;
use load::{Load, Pace, Plan, Tally};
use process::Process;
use sockets::Sockets;

use super::failure::Failure;
use super::report::Report;
use super::target;
use crate::seed;

/// Rests before CPU times are read: a process's time is exact while it sleeps.
const REST: Duration = Duration::from_millis(5);
/// How often those who are not registered yet are sent again.
const REGISTER_PASSES: usize = 5;

/// The server, or an echo that is measured beside it.
struct Station {
    name: String,
    sockets: Sockets,
    process: Option<Process>,
    is_floor: bool,
    rounds: Vec<Round>,
}

/// The figures of a round.
struct Round {
    /// Nanoseconds of the target's CPU time for each answer.
    cpu: Option<f64>,
    p50: f64,
    p99: f64,
    p999: f64,
}

pub(super) async fn run(report: &Report, bench: Bench) -> Result<(), Failure> {
    let server = target::resolve(&bench.server).await?;
    agreement::check(server)?;
    let mut stations = stations(server, &bench)?;
    let seed = seed::draw().map_err(Failure::System)?;
    let mut load = Load::new(Crew::new(&seed, bench.keyed));
    load.muster(bench.peers);
    if bench.kind.needs_registration() {
        register(report, &mut load, &stations[0])?;
    }
    for number in 1..=bench.rounds {
        // In turns, and each time in the other order: what drifts meets both alike.
        let mut turns: Vec<usize> = (0..stations.len()).collect();
        if number % 2 == 0 {
            turns.reverse();
        }
        if bench.kind == Kind::Register {
            // New ones each time, as many as there are registrations.
            load.muster(u32::try_from(bench.count).unwrap_or(PEERS_MAX).min(PEERS_MAX));
        }
        for turn in turns {
            let round = measure(report, &mut load, &stations[turn], &bench, number)?;
            stations[turn].rounds.push(round);
        }
    }
    summarize(report, &stations);
    let resident = stations[0].process.map(Process::resident).transpose()?;
    report.step("done", json!({ "resident": resident }), "done");
    Ok(())
}

fn stations(server: std::net::SocketAddr, bench: &Bench) -> Result<Vec<Station>, Failure> {
    let open = |target| Sockets::open(target, bench.sockets, bench.proxied).map_err(Failure::System);
    let mut stations = vec![Station {
        name: "server".to_owned(),
        sockets: open(server)?,
        process: bench.server_pid.map(Process),
        is_floor: false,
        rounds: Vec::new(),
    }];
    for (number, floor) in bench.floor.iter().enumerate() {
        stations.push(Station {
            name: format!("floor {}", number + 1),
            sockets: open(floor.address)?,
            process: floor.pid.map(Process),
            is_floor: true,
            rounds: Vec::new(),
        });
    }
    Ok(stations)
}

/// Registers all peers, both round trips each.
fn register(report: &Report, load: &mut Load, station: &Station) -> Result<(), Failure> {
    let peers = load.crew.len();
    let before = station.process.map(Process::resident).transpose()?;
    let cpu_before = cpu(station)?;
    let began = Instant::now();
    for _ in 0..REGISTER_PASSES {
        load.register(&station.sockets).map_err(Failure::System)?;
        if load.crew.registered() == peers as usize {
            break;
        }
    }
    let (seconds, registered) = (began.elapsed().as_secs_f64(), load.crew.registered());
    std::thread::sleep(REST);
    let each = cpu(station)?
        .zip(cpu_before)
        .map(|(after, before)| ((after - before) as f64 / registered.max(1) as f64).round());
    let resident = station.process.map(Process::resident).transpose()?;
    let fields = json!({
        "peers": registered, "lost": peers as usize - registered, "seconds": thousandths(seconds),
        "cpu_ns_each": each, "resident_before": before, "resident": resident,
    });
    report.step("registered", fields, &format!("{registered} of {peers} peers registered in {seconds:.2} s"));
    Ok(())
}

fn measure(
    report: &Report,
    load: &mut Load,
    station: &Station,
    bench: &Bench,
    number: u32,
) -> Result<Round, Failure> {
    let plan = Plan {
        kind: bench.kind,
        fresh: bench.fresh,
        count: bench.count,
        limit: bench.seconds.map(Duration::from_secs),
        pace: bench.rate.map_or(Pace::Window(bench.window), Pace::Rate),
        is_floor: station.is_floor,
    };
    if bench.kind.needs_registration() && !station.is_floor {
        load.refresh(&station.sockets).map_err(Failure::System)?;
    }
    let own = Process(std::process::id());
    std::thread::sleep(REST);
    let (before, own_before) = (cpu(station)?, own.cpu_nanos().ok());
    let tally = load.run(&station.sockets, plan).map_err(Failure::System)?;
    std::thread::sleep(REST);
    let (after, own_after) = (cpu(station)?, own.cpu_nanos().ok());
    let each = |after: Option<u64>, before: Option<u64>| {
        Some((after? - before?) as f64 / tally.answered.max(1) as f64)
    };
    let (cpu, own) = (each(after, before), each(own_after, own_before));
    tell(report, &station.name, number, &tally, cpu, own);
    let at = |share| micros(tally.latencies.quantile(share));
    Ok(Round { cpu, p50: at(0.5), p99: at(0.99), p999: at(0.999) })
}

fn tell(report: &Report, name: &str, number: u32, tally: &Tally, cpu: Option<f64>, own: Option<f64>) {
    let seconds = tally.took.as_secs_f64();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| micros(tally.latencies.quantile(share)));
    let fields = json!({
        "number": number, "target": name, "sent": tally.sent, "answered": tally.answered,
        "lost": tally.lost(), "refused": tally.refused, "received": tally.received,
        "seconds": thousandths(seconds), "cpu_ns_each": cpu.map(f64::round), "load_ns_each": own.map(f64::round),
        "p50_us": p50, "p99_us": p99, "p999_us": p999, "max_us": micros(tally.latencies.longest()),
    });
    let cost = cpu.map_or(String::new(), |nanos| format!(", {nanos:.0} ns of its CPU each"));
    let lost = tally.lost() + tally.refused;
    let text = format!(
        "{name:8} {:>9} answered, {lost} not, {:>8.0} a second{cost}; p50 {p50:.0} us, p99 {p99:.0} us",
        tally.answered,
        tally.answered as f64 / seconds
    );
    report.step("round", fields, &text);
}

/// Tells the medians over the rounds; `ratio` is the median of the server's cost over the floor's, round by round.
fn summarize(report: &Report, stations: &[Station]) {
    for station in stations {
        let of = |value: fn(&Round) -> f64| median(station.rounds.iter().map(value).collect());
        let cpu = median(station.rounds.iter().filter_map(|round| round.cpu).collect());
        let ratios = stations[0].rounds.iter().zip(&station.rounds);
        let ratios = ratios.filter_map(|(server, floor)| Some(server.cpu? / floor.cpu?)).collect();
        let ratio = if station.is_floor { median(ratios) } else { None };
        let (p50, p99, p999) = (of(|round| round.p50), of(|round| round.p99), of(|round| round.p999));
        let fields = json!({
            "target": station.name, "cpu_ns_each": cpu.map(f64::round), "p50_us": p50, "p99_us": p99,
            "p999_us": p999, "ratio": ratio.map(thousandths),
        });
        let cost = cpu.map_or(String::new(), |nanos| format!("{nanos:.0} ns each"));
        let above = ratio.map_or(String::new(), |ratio| format!(", the server takes {ratio:.2} times that"));
        report.step("median", fields, &format!("{}: {cost}{above}", station.name));
    }
}

fn cpu(station: &Station) -> Result<Option<u64>, Failure> {
    station.process.map(Process::cpu_nanos).transpose()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}

fn thousandths(value: f64) -> Value {
    Value::from((value * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }
}
