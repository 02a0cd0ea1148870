//! Lays out what is known of a server in any rectangle: a head, then bands of panels, as many as there is room for. Knows no
//! terminal.

#[cfg(test)]
mod tests;

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::facts::Facts;
use super::panel::{Panel, count};
use super::round_trips::RoundTrips;

/// Panels beside each other, the most important band first, from this width on.
const BANDS: [(u16, &[&[Panel]]); 3] = [
    (
        132,
        &[
            &[Panel::Traffic],
            &[Panel::Received, Panel::Sent, Panel::RoundTrips],
            &[Panel::Refused, Panel::Dropped, Panel::Socket],
        ],
    ),
    (
        64,
        &[
            &[Panel::Traffic],
            &[Panel::Received, Panel::Sent],
            &[Panel::Refused, Panel::Dropped],
            &[Panel::RoundTrips, Panel::Socket],
        ],
    ),
    (
        0,
        &[
            &[Panel::Traffic],
            &[Panel::Dropped],
            &[Panel::Refused],
            &[Panel::Received],
            &[Panel::Sent],
            &[Panel::RoundTrips],
            &[Panel::Socket],
        ],
    ),
];
/// Columns between two panels.
const GAP: u16 = 2;
/// Rows of a band that is there at all, title included; a band of panels that want fewer has fewer.
const BAND_LEAST: u16 = 3;
/// Rows of one graph of the traffic, at most.
const GRAPH_MOST: u16 = 4;
/// Widths of the head's columns, each with two cells below each other.
const HEAD: [u16; 5] = [16, 24, 20, 20, 20];
/// Columns below which it is not told how current the screen is.
const STATE_FROM: u16 = 24;
/// Rows of the head where there is anything below it.
const HEAD_LEAST: u16 = 3;
/// Rows below which there is nothing but the head.
const BODY_FROM: u16 = 8;

/// What is drawn.
pub(super) struct View<'a> {
    pub(super) facts: &'a Facts,
    pub(super) round_trips: &'a RoundTrips,
    pub(super) state: State,
}

/// How current it is, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    /// The server should have told more by now.
    Silent(Duration),
    Paused,
    /// Nobody can press a key.
    Printed,
}

impl View<'_> {
    /// Fills the area.
    pub(super) fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let cells = self.cells();
        let columns = head_columns(area.width);
        let pairs = if columns < 4 { cells.len().div_ceil(columns) } else { 1 };
        let head_most = if area.height < BODY_FROM { area.height } else { area.height / 4 };
        let head = (1 + 2 * pairs as u16).min(head_most.max(HEAD_LEAST));
        let foot = u16::from(area.height >= BODY_FROM && self.state != State::Printed);
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(head), Constraint::Fill(1), Constraint::Length(foot)])
                .areas(area);
        self.draw_head(&cells, columns, head, buffer);
        self.draw_bands(body, buffer);
        self.foot().render(foot, buffer);
    }

    /// Returns a screen of this size as text, without what is blank at the ends.
    pub(super) fn text(&self, width: u16, height: u16) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        self.draw(area, &mut buffer);
        let row = |y| (0..width).filter_map(|x| buffer.cell((x, y))).map(|cell| cell.symbol()).collect();
        let rows = (0..height).map(|y| -> String { row(y) });
        let text: String = rows.map(|row| format!("{}\n", row.trim_end())).collect();
        text.trim_end().to_owned()
    }

    fn draw_head(&self, cells: &[[Line<'_>; 2]], columns: usize, area: Rect, buffer: &mut Buffer) {
        let Facts { now, .. } = self.facts;
        let title = Line::from(vec![now.server.as_str().bold(), format!("   up {}", self.uptime()).into()]);
        let state = match self.state {
            State::Live => "live".green(),
            State::Silent(time) => format!("no news for {} s", time.as_secs()).black().on_yellow(),
            State::Paused => "paused".black().on_yellow(),
            State::Printed => Span::default(),
        };
        let first = Rect { height: area.height.min(1), ..area };
        let state_width = if area.width < STATE_FROM { 0 } else { state.width() as u16 };
        let gap = state_width.min(1);
        let widths = [Constraint::Fill(1), Constraint::Length(state_width)];
        let [left, right] = Layout::horizontal(widths).spacing(gap).areas(first);
        title.render(left, buffer);
        state.render(right, buffer);
        for (number, pair) in cells.iter().enumerate() {
            let (column, pairs_above) = (number % columns, (number / columns) as u16);
            for (cell, y) in pair.iter().zip(1 + 2 * pairs_above..) {
                let x: u16 = HEAD.iter().take(column).sum();
                let width = if columns == 1 { area.width } else { HEAD[column] };
                let cell_area = Rect::new(area.x + x, area.y + y, width, 1);
                cell.render(cell_area.intersection(area), buffer);
            }
        }
    }

    /// Returns the head's cells, the more important pairs first.
    fn cells(&self) -> [[Line<'static>; 2]; HEAD.len()] {
        let Facts { now, .. } = self.facts;
        let cell = |label: &str, value: String| Line::from(vec![format!("{label} ").dim(), value.bold()]);
        let limits = self.facts.limits();
        // The star is that of their rows.
        let limits_hit = match limits.rate {
            Some(rate @ 1..) => {
                Line::from(vec!["limits hit* ".dim(), format!("{}/s", count(rate)).yellow().bold()])
            }
            Some(0) | None => cell("limits hit*", count(limits.total)),
        };
        let ratio = match self.facts.ratio() {
            // Answers to STUN alone may be longer than what they answer. SPEC 17
            Some(ratio) if ratio > 1.0 => {
                Line::from(vec!["out/in ".dim(), format!("{ratio:.3} !").yellow().bold()])
            }
            Some(ratio) => cell("out/in", format!("{ratio:.3}")),
            None => cell("out/in", "-".to_owned()),
        };
        let registered = self.facts.rate(|line| line.registrations);
        let registered = registered.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", count(rate)));
        [
            [cell("peers", count(now.peers)), ratio],
            [cell("calls under way", count(now.offers)), limits_hit],
            [cell("answered", count(now.offers_answered)), cell("registered", registered)],
            [cell("unanswered", count(now.offers_timed_out)), cell("forgotten", count(now.forgotten))],
            [cell("closed", count(now.offers_closed)), cell("moved", count(now.moves))],
        ]
    }

    fn uptime(&self) -> String {
        let seconds = self.facts.uptime().as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (1.., _, _) => format!("{days} d {hours} h {minutes} min"),
            (0, 1.., _) => format!("{hours} h {minutes} min {} s", seconds % 60),
            (0, 0, 1..) => format!("{minutes} min {} s", seconds % 60),
            (0, 0, 0) => format!("{seconds} s"),
        }
    }

    fn draw_bands(&self, area: Rect, buffer: &mut Buffer) {
        let fits = |(width, _): &&(u16, _)| area.width >= *width;
        let bands = BANDS.iter().find(fits).map_or(&[][..], |(_, bands)| bands);
        let wanted: Vec<u16> =
            bands.iter().map(|band| band.iter().map(|panel| panel.rows(self)).max().unwrap_or(0)).collect();
        let mut y = area.y;
        for (band, height) in bands.iter().zip(heights(&wanted, area.height)) {
            let widths = Layout::horizontal(band.iter().map(|_| Constraint::Fill(1))).spacing(GAP);
            let places = widths.split(Rect { y, height, ..area });
            for (panel, place) in band.iter().zip(places.iter()) {
                panel.draw(self, *place, buffer);
            }
            y += height;
        }
    }

    fn foot(&self) -> Line<'static> {
        let text = match self.state {
            State::Live | State::Silent(_) => "q, Esc, Ctrl-C end   p pause",
            State::Paused => "q, Esc, Ctrl-C end   p go on",
            State::Printed => "",
        };
        Line::styled(text, Style::new().dim())
    }
}

/// Returns how many of the head's columns stand beside each other.
fn head_columns(width: u16) -> usize {
    let fitting = (1..=HEAD.len()).filter(|columns| HEAD.iter().take(*columns).sum::<u16>() <= width);
    fitting.max().unwrap_or(1)
}

/// Shares rows among bands that want so many, of which the first is the traffic: each gets its least while there is room, then
/// what it wants, and the graphs what is left.
fn heights(wanted: &[u16], available: u16) -> Vec<u16> {
    let mut rest = available;
    let mut heights = vec![0; wanted.len()];
    for (number, wanted) in wanted.iter().enumerate() {
        let least = if number == 0 { *wanted } else { BAND_LEAST.min(*wanted) };
        if least > rest {
            break;
        }
        heights[number] = least;
        rest -= least;
    }
    loop {
        let before = rest;
        for (height, wanted) in heights.iter_mut().zip(wanted) {
            if (1..*wanted).contains(height) && rest > 0 {
                *height += 1;
                rest -= 1;
            }
        }
        if rest == before {
            break;
        }
    }
    if let Some(traffic) = heights.first_mut().filter(|height| **height > 0) {
        *traffic += Panel::GRAPHS * (rest / Panel::GRAPHS).min(GRAPH_MOST - 1);
    }
    heights
}
