//! The parts of the screen: graphs of the traffic, tables of counts, bars of round trips; each under a rule with its title.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders, RenderDirection, Row as Cells, Sparkline, Table, Widget};

use super::facts::{Row, Traffic, bytes};
use super::round_trips::time;
use super::view::View;

/// Columns of a count's growth, and of its total.
const RATE: u16 = 9;
const TOTAL: u16 = 10;
/// Columns of a table, at most: an eye has to find the way from the name to the number.
const TABLE_MOST: u16 = 60;
/// Columns from which a title has room for headings beside it.
const HEADINGS_FROM: u16 = 36;
/// Columns before a graph: which it is, and its rate.
const RATE_LABEL: u16 = 15;
/// The same with the highest rate.
const PEAK_LABEL: u16 = 31;
/// Columns of the traffic from which the highest rate is told.
const PEAK_FROM: u16 = 60;
/// Rows of bars that are wanted; constant, so that a slow answer does not move everything.
const BARS: u16 = 6;
/// Columns before a bar.
const BAR_LABEL: u16 = 15;
/// Eighths of a full block.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// One part of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Traffic,
    Received,
    Sent,
    Refused,
    Dropped,
    Socket,
    RoundTrips,
}

impl Panel {
    /// Graphs of the traffic: datagrams and bytes, in and out.
    pub(super) const GRAPHS: u16 = 4;

    /// Returns the rows that it wants, title included.
    pub(super) fn rows(self, view: &View<'_>) -> u16 {
        let rows = match self {
            Self::Traffic => Self::GRAPHS,
            Self::RoundTrips => BARS,
            Self::Received | Self::Sent | Self::Refused | Self::Dropped | Self::Socket => {
                u16::try_from(self.counts(view).len()).unwrap_or(u16::MAX - 1).max(1)
            }
        };
        1 + rows
    }

    /// Fills the area.
    pub(super) fn draw(self, view: &View<'_>, area: Rect, buffer: &mut Buffer) {
        let rule = Block::new().borders(Borders::TOP).border_style(Style::new().dim());
        let inner = rule.inner(area);
        rule.title_top(Line::from(format!("─ {} ", self.title())).bold()).render(area, buffer);
        let heading = if area.width < HEADINGS_FROM { String::new() } else { self.heading(view, inner) };
        let headed = Rect { width: area.width.min(self.width_most()), height: area.height.min(1), ..area };
        let width = u16::try_from(heading.chars().count()).unwrap_or(u16::MAX);
        let [_, at] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(headed);
        heading.dim().render(at, buffer);
        match self {
            Self::Traffic => draw_traffic(view, inner, buffer),
            Self::RoundTrips => draw_round_trips(view, inner, buffer),
            Self::Received | Self::Sent | Self::Refused | Self::Dropped | Self::Socket => {
                draw_counts(self.counts(view), inner, buffer);
            }
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Traffic => "traffic",
            Self::Received => "in, by kind",
            Self::Sent => "out, by kind",
            Self::Refused => "refused, by code",
            Self::Dropped => "dropped, by reason",
            Self::Socket => "kernel and socket",
            Self::RoundTrips => "round trips",
        }
    }

    /// Returns what stands at the right of the title.
    fn heading(self, view: &View<'_>, inner: Rect) -> String {
        match self {
            Self::Traffic => {
                format!(" the last {} s", view.facts.history().take(of_graph(inner).width.into()).count())
            }
            Self::RoundTrips => {
                let quantile = |share| view.round_trips.quantile(share).map_or("-".to_owned(), time);
                format!(" p50 {}  p99 {}", quantile(0.5), quantile(0.99))
            }
            Self::Received | Self::Sent | Self::Refused | Self::Dropped | Self::Socket => {
                format!(" /s {:>total$}", "in all", total = TOTAL.into())
            }
        }
    }

    const fn width_most(self) -> u16 {
        match self {
            Self::Traffic => u16::MAX,
            Self::Received | Self::Sent | Self::Refused | Self::Dropped | Self::Socket | Self::RoundTrips => {
                TABLE_MOST
            }
        }
    }

    fn counts(self, view: &View<'_>) -> Vec<Row> {
        let facts = view.facts;
        match self {
            Self::Received => facts.rows(|line| &line.received),
            Self::Sent => facts.rows(|line| &line.sent),
            Self::Refused => facts.rows(|line| &line.refused),
            Self::Dropped => facts.rows(|line| &line.dropped),
            Self::Socket => {
                let mut rows = vec![
                    facts.row("queue full", |line| line.queue_full),
                    facts.row("kernel filter", |line| line.filtered),
                    facts.row("send errors", |line| line.send_errors),
                    facts.row("receive errors", |line| line.receive_errors),
                ];
                // Only behind proxies that let flows end.
                let gone = facts.row("way gone", |line| line.way_gone);
                rows.extend((gone.total > 0).then_some(gone));
                rows
            }
            Self::Traffic | Self::RoundTrips => Vec::new(),
        }
    }
}

/// A number for people, in at most eight characters.
pub(super) fn count(number: u64) -> String {
    match number {
        0..10_000_000 => number.to_string(),
        10_000_000..10_000_000_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.1} G", number as f64 / 1e9),
    }
}

/// Returns what of the traffic's area is for graphs.
fn of_graph(area: Rect) -> Rect {
    let label = if area.width < PEAK_FROM { RATE_LABEL } else { PEAK_LABEL }.min(area.width);
    Rect { x: area.x + label, width: area.width - label, ..area }
}

/// One graph of the traffic.
struct Graph {
    way: &'static str,
    value: fn(&Traffic) -> u64,
    told: fn(u64) -> String,
    color: Color,
}

impl Graph {
    const ALL: [Self; Panel::GRAPHS as usize] = [
        Self { way: "in", value: |traffic| traffic.inward.datagrams, told: count, color: Color::Cyan },
        Self { way: "", value: |traffic| traffic.inward.bytes, told: bytes, color: Color::Cyan },
        Self { way: "out", value: |traffic| traffic.outward.datagrams, told: count, color: Color::Green },
        Self { way: "", value: |traffic| traffic.outward.bytes, told: bytes, color: Color::Green },
    ];

    /// Fills the area, with its label to the left of `place`. The newest rate is the first.
    fn draw(&self, rates: Vec<u64>, area: Rect, place: Rect, buffer: &mut Buffer) {
        let rate = |rate: Option<u64>| rate.map_or("-".to_owned(), |rate| format!("{}/s", (self.told)(rate)));
        let peak = rates.iter().max().copied();
        let label = Line::from(vec![
            format!("{:<3} {:>10}", self.way, rate(rates.first().copied())).fg(self.color),
            format!("  peak {:>9}", rate(peak)).dim(),
        ]);
        let width = (area.width - place.width).saturating_sub(1);
        label.render(Rect { width, height: area.height.min(1), ..area }, buffer);
        Sparkline::default()
            .data(rates)
            .max(peak.unwrap_or(0).max(1))
            .direction(RenderDirection::RightToLeft)
            .style(self.color)
            .render(place, buffer);
    }
}

fn draw_traffic(view: &View<'_>, area: Rect, buffer: &mut Buffer) {
    let height = area.height / Panel::GRAPHS;
    for (graph, number) in Graph::ALL.iter().zip(0..) {
        let area = Rect { y: area.y + number * height, height, ..area };
        let place = of_graph(area);
        let rates = view.facts.history().take(place.width.into()).map(graph.value).collect();
        graph.draw(rates, area, place, buffer);
    }
}

fn draw_counts(rows: Vec<Row>, area: Rect, buffer: &mut Buffer) {
    let area = Rect { width: area.width.min(TABLE_MOST), ..area };
    if rows.is_empty() {
        "none".dim().render(area, buffer);
        return;
    }
    let fitting = usize::from(area.height);
    let shown = if rows.len() > fitting { fitting.saturating_sub(1) } else { rows.len() };
    let (shown, others) = rows.split_at(shown);
    let mut lines: Vec<_> = shown.iter().map(cells).collect();
    if !others.is_empty() {
        let name = format!("… {} more", others.len());
        let rate = others.iter().map(|row| row.rate).sum();
        let total = others.iter().map(|row| row.total).sum();
        lines.push(cells(&Row { name, rate, total, is_limit: false }));
    }
    let widths = [Constraint::Fill(1), Constraint::Length(RATE), Constraint::Length(TOTAL)];
    Widget::render(Table::new(lines, widths), area, buffer);
}

/// What moves stands out; a limit that is being hit most of all.
fn cells(row: &Row) -> Cells<'static> {
    let style = match (row.rate, row.is_limit) {
        (Some(1..), true) => Style::new().yellow().bold(),
        (Some(1..), false) => Style::new(),
        (Some(0) | None, _) => Style::new().dim(),
    };
    let name = format!("{}{}", row.name, if row.is_limit { " *" } else { "" });
    let rate = row.rate.map_or("-".to_owned(), count);
    let number = |number: String| Text::from(number).right_aligned();
    Cells::new([Text::from(name), number(rate), number(count(row.total))]).style(style)
}

fn draw_round_trips(view: &View<'_>, area: Rect, buffer: &mut Buffer) {
    let area = Rect { width: area.width.min(TABLE_MOST), ..area };
    let lost = view.round_trips.lost();
    let bars = view.round_trips.bars(usize::from(area.height) - usize::from(lost > 0 && area.height > 0));
    if bars.is_empty() && lost == 0 {
        "no PING has been answered yet".dim().render(area, buffer);
        return;
    }
    let most = bars.iter().map(|bar| bar.count).chain([lost, 1]).max().unwrap_or(1);
    let width = usize::from(area.width.saturating_sub(BAR_LABEL));
    let answered = bars.iter().map(|bar| (time(bar.from), bar.count, Color::Cyan));
    let lost = (lost > 0).then(|| ("no answer".to_owned(), lost, Color::Red));
    for ((label, count, color), place) in answered.chain(lost).zip(area.rows()) {
        let bar = bar(count * width * 8 / most, count > 0);
        Line::from(vec![format!("{label:>9} {count:>4} ").into(), bar.fg(color)]).render(place, buffer);
    }
}

/// A bar of so many eighths of a column; what there is at all can be seen.
fn bar(eighths: usize, is_some: bool) -> String {
    let eighths = eighths.max(usize::from(is_some));
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}
