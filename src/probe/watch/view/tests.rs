//! Whole screens, as an operator sees them.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

use super::*;
use crate::probe::watch::facts;

fn line(uptime: u64, datagrams: u64) -> facts::Line {
    let value: Value = json!({
        "server": "[::]:1066", "uptime_s": uptime, "peers": 277, "offers": 102,
        "offers_answered": 103, "offers_timed_out": 4, "offers_closed": 5, "registrations": uptime * 7,
        "moves": 6, "forgotten": 8,
        "datagrams_in": datagrams, "bytes_in": datagrams * 100,
        "datagrams_out": datagrams / 2, "bytes_out": datagrams * 46,
        "queue_full": 11, "filtered": 0, "send_errors": 1, "receive_errors": 2,
        "received": { "KEEPALIVE": datagrams, "REGISTER": 880, "OFFER": 65, "ANSWER": 17, "ACK": 34,
            "PUNCH": 3, "PING": 90 },
        "sent": { "KEEPALIVE_REPLY": datagrams / 2, "CHALLENGE": 880 },
        "refused": { "RATE_LIMITED": 880, "PEER_UNKNOWN": uptime * 3 },
        "dropped": { "stranger_limited": uptime * 1245, "not_ours": 1 },
    });
    serde_json::from_value(value).unwrap()
}

/// A minute whose load comes and goes.
fn facts() -> Facts {
    let mut facts = Facts::new(line(3600, 1000));
    let mut datagrams = 1000;
    for second in 1..=60 {
        datagrams += 100 * (second % 9);
        facts.add(line(3600 + second, datagrams));
    }
    facts
}

fn round_trips() -> RoundTrips {
    let mut round_trips = RoundTrips::default();
    for micros in [70, 80, 90, 100, 120, 130, 200, 1100] {
        round_trips.add(Some(Duration::from_micros(micros)));
    }
    round_trips.add(None);
    round_trips
}

fn assert_screen(width: u16, height: u16, state: State, expected: &str) {
    let (facts, round_trips) = (facts(), round_trips());
    let view = View { facts: &facts, round_trips: &round_trips, state };
    let shown = view.text(width, height);
    assert_eq!(shown, expected.trim(), "{width}x{height} is\n{shown}");
}

const EIGHTY_BY_TWENTY_FOUR: &str = "
[::]:1066   up 1 h 1 min 0 s                                                live
peers 277       calls under way 102     answered 103        unanswered 4
out/in 0.460    limits hit* 1245/s      registered 7/s      forgotten 8
─ traffic ──────────────────────────────────────────────────────── the last 49 s
in       600/s  peak     800/s ▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
       60 kB/s  peak   80 kB/s ▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
out      300/s  peak     400/s ▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
       27 kB/s  peak   36 kB/s ▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
─ in, by kind ─────────── /s     in all  ─ out, by kind ────────── /s     in all
KEEPALIVE                600      24700  KEEPALIVE_REPLY          300      12350
REGISTER                   0        880  CHALLENGE                  0        880
PING                       0         90
OFFER                      0         65
… 3 more                   0         54
─ refused, by code ────── /s     in all  ─ dropped, by reason ──── /s     in all
PEER_UNKNOWN               3      10980  stranger_limited *      1245    4556700
RATE_LIMITED *             0        880  not_ours                   0          1
─ round trips ── p50 100 us  p99 1.1 ms  ─ kernel and socket ───── /s     in all
    64 us    7 ████████████████████████  queue full                 0         11
   256 us    0                           kernel filter              0          0
   1.0 ms    1 ███▍                      send errors                0          1
no answer    1 ███▍                      receive errors             0          2

q, Esc, Ctrl-C end   p pause
";

#[test]
fn eighty_by_twenty_four_has_room_for_everything() {
    assert_screen(80, 24, State::Live, EIGHTY_BY_TWENTY_FOUR);
}

const WIDE: &str = "
[::]:1066   up 1 h 1 min 0 s                                                                                                 no news for 5 s
peers 277       calls under way 102     answered 103        unanswered 4        closed 5
out/in 0.460    limits hit* 1245/s      registered 7/s      forgotten 8         moved 6
─ traffic ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────── the last 60 s
in       600/s  peak     800/s                                                  ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
       60 kB/s  peak   80 kB/s                                                  ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
out      300/s  peak     400/s                                                  ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
       27 kB/s  peak   36 kB/s                                                  ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
─ in, by kind ───────────────── /s     in all  ─ out, by kind ───────────────── /s     in all  ─ round trips ──────── p50 100 us  p99 1.1 ms
KEEPALIVE                      600      24700  KEEPALIVE_REPLY                 300      12350      64 us    7 ██████████████████████████████
REGISTER                         0        880  CHALLENGE                         0        880     256 us    0
PING                             0         90                                                     1.0 ms    1 ████▎
OFFER                            0         65                                                  no answer    1 ████▎
… 3 more                         0         54
─ refused, by code ──────────── /s     in all  ─ dropped, by reason ─────────── /s     in all  ─ kernel and socket ─────────── /s     in all
PEER_UNKNOWN                     3      10980  stranger_limited *             1245    4556700  queue full                       0         11
RATE_LIMITED *                   0        880  not_ours                          0          1  kernel filter                    0          0
                                                                                               send errors                      0          1
                                                                                               receive errors                   0          2
q, Esc, Ctrl-C end   p pause
";

#[test]
fn wide_screen_has_three_panels_beside_each_other() {
    assert_screen(140, 20, State::Silent(Duration::from_secs(5)), WIDE);
}

const NARROW: &str = "
[::]:1066   up 1 h 1 min 0 s      paused
peers 277       calls under way 102
out/in 0.460    limits hit* 1245/s
answered 103    unanswered 4
registered 7/s  forgotten 8
closed 5
─ traffic ──────────────── the last 25 s
in       600/s  ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
       60 kB/s  ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
out      300/s  ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
       27 kB/s  ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆
─ dropped, by reason ───── /s     in all
stranger_limited *       1245    4556700
not_ours                    0          1
─ refused, by code ─────── /s     in all
PEER_UNKNOWN                3      10980
RATE_LIMITED *              0        880
─ in, by kind ──────────── /s     in all
KEEPALIVE                 600      24700
… 6 more                    0       1089
─ out, by kind ─────────── /s     in all
KEEPALIVE_REPLY           300      12350
CHALLENGE                   0        880
q, Esc, Ctrl-C end   p go on
";

#[test]
fn narrow_screen_has_one_panel_below_the_other() {
    assert_screen(40, 24, State::Paused, NARROW);
}

const TINY: &str = "
[::]:1066   up 1 h  live
peers 277
out/in 0.460
calls under way 102
limits hit* 1245/s
";

#[test]
fn tiny_screen_has_the_head() {
    assert_screen(24, 5, State::Live, TINY);
}

const FIRST_LINE: &str = "
[::]:1066   up 3 s
peers 277       calls under way 102     answered 103        unanswered 4
out/in 0.460    limits hit* 4615        registered -        forgotten 8
─ traffic ───────────────────────────────────────────────────────── the last 0 s
in           -  peak         -
             -  peak         -
out          -  peak         -
             -  peak         -
─ in, by kind ─────────── /s     in all  ─ out, by kind ────────── /s     in all
KEEPALIVE                  -       1000  CHALLENGE                  -        880
REGISTER                   -        880  KEEPALIVE_REPLY            -        500
PING                       -         90
… 4 more                   -        119
─ refused, by code ────── /s     in all  ─ dropped, by reason ──── /s     in all
RATE_LIMITED *             -        880  stranger_limited *         -       3735
PEER_UNKNOWN               -          9  not_ours                   -          1
─ round trips ──────────── p50 -  p99 -  ─ kernel and socket ───── /s     in all
no PING has been answered yet            queue full                 -         11
                                         kernel filter              -          0
                                         … 2 more                   -          3
";

#[test]
fn first_line_shows_totals_and_no_rates() {
    let (facts, round_trips) = (Facts::new(line(3, 1000)), RoundTrips::default());
    let view = View { facts: &facts, round_trips: &round_trips, state: State::Printed };
    let shown = view.text(80, 20);
    assert_eq!(shown, FIRST_LINE.trim(), "\n{shown}");
}

/// Both sides of every width at which something changes.
const WIDTHS: [u16; 18] = [1, 15, 16, 23, 24, 35, 36, 39, 40, 59, 60, 63, 64, 79, 80, 131, 132, 250];

#[test]
fn every_size_is_drawn() {
    let (facts, round_trips) = (facts(), round_trips());
    let mut terminal = Terminal::new(TestBackend::new(1, 1)).unwrap();
    for (width, height) in WIDTHS.iter().flat_map(|width| (1..=32).map(move |height| (*width, height))) {
        terminal.backend_mut().resize(width, height);
        let view = View { facts: &facts, round_trips: &round_trips, state: State::Live };
        terminal.draw(|frame| view.draw(frame.area(), frame.buffer_mut())).unwrap();
        let first = terminal.backend().buffer().cell((0, 0)).map(|cell| cell.symbol());
        assert_eq!(first, Some("["), "{width}x{height}");
    }
}

#[test]
fn graphs_grow_where_there_is_room() {
    assert_eq!(heights(&[5, 8, 3, 5], 4), [0, 0, 0, 0]);
    assert_eq!(heights(&[5, 8, 3, 5], 10), [5, 5, 0, 0]);
    assert_eq!(heights(&[5, 8, 3, 5], 21), [5, 8, 3, 5]);
    assert_eq!(heights(&[5, 8, 3, 5], 24), [5, 8, 3, 5]);
    assert_eq!(heights(&[5, 8, 3, 5], 25), [9, 8, 3, 5]);
    assert_eq!(heights(&[5, 8, 3, 5], 99), [17, 8, 3, 5]);
    assert!(heights(&[], 99).is_empty());
}
