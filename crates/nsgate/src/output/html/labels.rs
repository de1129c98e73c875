//! What is written beside the lanes of the picture: who sends to whom on each wire, what a box rewrites, and where it was
//! lost. Each row is short enough for the narrowest picture.

use std::net::{IpAddr, SocketAddr};

use nsgate_core::trace::{Header, Leg, Sight};

use super::way::{Lane, Picture};
use crate::output::telling::{carries, is_resolution};

/// How many characters of the fixed-width font fit between the lanes. The longest address with its port is longer; it is
/// set narrower.
pub(super) const ROW_WIDTH: usize = 38;

/// How many characters of a packet's ends are set narrower rather than in two rows.
const SQUEEZED_WIDTH: usize = 43;

/// How many rows one text may take.
const MOST_ROWS: usize = 5;

/// One row of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Beside which lane it stands.
    pub(super) lane: Lane,
    /// What it is.
    pub(super) kind: RowKind,
    /// Its parts, and whether each is new since the last wire.
    pub(super) parts: Vec<(String, bool)>,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    /// A word on what follows.
    Label,
    /// A packet's ends.
    Packet,
    /// What was rewritten.
    Rewritten,
    /// Where it was lost: the row with the mark.
    Lost,
    /// What the cause is, where it is not where it was lost.
    Blamed,
    /// The object at fault.
    Object,
}

/// All rows, by where they stand.
pub(super) struct Labels {
    /// Above each box, and below the last one.
    pub(super) gaps: Vec<Vec<Row>>,
    /// In each box: before its first interface, and behind each of them.
    pub(super) slots: Vec<Vec<Vec<Row>>>,
}

impl Labels {
    /// The rows of a picture.
    pub(super) fn new(picture: &Picture) -> Self {
        let mut labels = Self {
            gaps: vec![Vec::new(); picture.spaces.len() + 1],
            slots: picture.spaces.iter().map(|space| vec![Vec::new(); space.interfaces.len() + 1]).collect(),
        };
        for lane in [Lane::Down, Lane::Up] {
            let sights = picture.lane(lane);
            for at in 0..sights.len() {
                labels.behind(picture, lane, at).extend(passage(lane, sights, at, picture));
            }
        }
        for (space, slots) in picture.spaces.iter().zip(&mut labels.slots) {
            if let (Some([code, object]), Some(slot)) = (&space.cause, slots.get_mut(usize::from(space.has_entry()))) {
                slot.extend(blamed(code, object));
            }
        }
        if let Some(loss) = &picture.loss {
            let lost = match &loss.cause {
                Some([code, object]) => lost(loss.lane, code, object),
                None => lost(loss.lane, "lost here", ""),
            };
            match picture.lane(loss.lane).len().checked_sub(1) {
                Some(last) => labels.behind(picture, loss.lane, last).extend(lost),
                None => labels.slots[loss.space][0].extend(lost),
            }
        }
        labels
    }

    /// The rows behind a sight, as its lane goes.
    fn behind(&mut self, picture: &Picture, lane: Lane, sight: usize) -> &mut Vec<Row> {
        let (space, interface) = picture.place(lane, sight).unwrap_or_default();
        let of = &picture.spaces[space];
        match lane {
            Lane::Down if interface + 1 == of.interfaces.len() && of.has_exit() => &mut self.gaps[space + 1],
            Lane::Down => &mut self.slots[space][interface + 1],
            Lane::Up if interface == 0 && of.has_entry() => &mut self.gaps[space],
            Lane::Up => &mut self.slots[space][interface],
        }
    }
}

/// What is written between a sight and the next one of its lane.
fn passage(lane: Lane, sights: &[Sight], at: usize, picture: &Picture) -> Vec<Row> {
    let (sight, before) = (&sights[at], at.checked_sub(1).and_then(|before| sights.get(before)));
    let space = |sight| picture.place(lane, sight).map(|(space, _)| space);
    match sights.get(at + 1) {
        Some(next) if space(at) == space(at + 1) => rewritten(lane, sight, next),
        None if sight.way == nsgate_core::trace::Way::In => Vec::new(),
        _ => on_the_wire(lane, sight, before, at == 0),
    }
}

/// A packet on a wire; `before`: the same, as it was seen the last time.
fn on_the_wire(lane: Lane, sight: &Sight, before: Option<&Sight>, is_first: bool) -> Vec<Row> {
    let header = &sight.header;
    if is_resolution(sight) || matches!(sight.leg, Leg::Error | Leg::Redirect) {
        let word = Row::plain(lane, RowKind::Label, word(sight));
        let told = if is_first { fit(&header.text) } else { Vec::new() };
        return [word].into_iter().chain(told.into_iter().map(|row| Row::plain(lane, RowKind::Packet, row))).collect();
    }
    let ttl = match before.map(|before| before.header.ttl) {
        Some(was) if was != header.ttl => format!("ttl {} (was {was})", header.ttl),
        _ => format!("ttl {}", header.ttl),
    };
    let mut rows = vec![Row::plain(lane, RowKind::Label, format!("{}, {ttl}", word(sight)))];
    let [from, to] = ends(header);
    let new = |end: usize| before.is_some_and(|before| ends(&before.header)[end] != ends(header)[end]);
    if from.len() + to.len() + 3 <= SQUEEZED_WIDTH {
        let parts = vec![(from, new(0)), (" → ".to_owned(), false), (to, new(1))];
        rows.push(Row { lane, kind: RowKind::Packet, parts });
    } else {
        rows.push(Row { lane, kind: RowKind::Packet, parts: vec![(from, new(0))] });
        rows.push(Row { lane, kind: RowKind::Packet, parts: vec![("→ ".to_owned(), false), (to, new(1))] });
    }
    let tunnel = sight.tunnel.iter().flat_map(|tunnel| fit(&format!("in {tunnel}")));
    rows.extend(tunnel.map(|row| Row::plain(lane, RowKind::Label, row)));
    rows
}

/// What a box made of a packet between two of its interfaces.
fn rewritten(lane: Lane, before: &Sight, after: &Sight) -> Vec<Row> {
    let mut rows = Vec::new();
    if before.tunnel.is_some() != after.tunnel.is_some() {
        let what = if after.tunnel.is_some() { "goes into the tunnel" } else { "comes out of the tunnel" };
        rows.push(Row::plain(lane, RowKind::Rewritten, what));
    }
    let (was, is) = (ends(&before.header), ends(&after.header));
    let how = match before.leg {
        Leg::Request => [" (SNAT)", " (DNAT)"],
        Leg::Answer => [" (DNAT, way back)", " (SNAT, way back)"],
        _ => [""; 2],
    };
    for (end, name) in ["source", "destination"].into_iter().enumerate().filter(|(end, _)| was[*end] != is[*end]) {
        rows.push(Row::plain(lane, RowKind::Rewritten, format!("{name} rewritten{}", how[end])));
        let both = format!("{} → {}", was[end], is[end]);
        if both.chars().count() <= SQUEEZED_WIDTH {
            rows.push(Row::plain(lane, RowKind::Packet, both));
        } else {
            rows.push(Row::plain(lane, RowKind::Packet, was[end].clone()));
            rows.push(Row::plain(lane, RowKind::Packet, format!("→ {}", is[end])));
        }
    }
    rows
}

/// The mark of the loss, and what is at fault.
fn lost(lane: Lane, code: &str, object: &str) -> Vec<Row> {
    let object = fit(object).into_iter().map(|row| Row::plain(lane, RowKind::Object, row));
    [Row::plain(lane, RowKind::Lost, code)].into_iter().chain(object).collect()
}

/// What is at fault, in the box where it is.
fn blamed(code: &str, object: &str) -> Vec<Row> {
    let head = Row::plain(Lane::Down, RowKind::Blamed, format!("the cause: {code}"));
    let object = fit(object).into_iter().map(|row| Row::plain(Lane::Down, RowKind::Object, row));
    [head].into_iter().chain(object).collect()
}

/// What a packet is, in a word or two.
pub(super) fn word(sight: &Sight) -> &'static str {
    match (sight.leg, sight.header.reset, carries(sight)) {
        (Leg::Error, ..) => "ICMP error",
        (Leg::Redirect, ..) => "redirect",
        (Leg::Question, ..) => "question for the neighbour",
        (Leg::Reply, ..) => "neighbour's reply",
        (_, true, _) => "reset",
        (Leg::Answer, _, true) => "answer's data",
        (Leg::Answer, ..) => "answer",
        (Leg::Request, _, true) => "data",
        (Leg::Request, ..) => "request",
    }
}

fn ends(header: &Header) -> [String; 2] {
    let end = |address: IpAddr, port: Option<u16>| {
        port.map_or(address.to_string(), |port| SocketAddr::new(address, port).to_string())
    };
    [end(header.source, header.source_port), end(header.destination, header.destination_port)]
}

/// Cuts a text into rows, at spaces where there are some; what is too long ends in an ellipsis.
pub(super) fn fit(text: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        for piece in word.chunks(ROW_WIDTH) {
            match rows.last_mut().filter(|row| row.chars().count() + 1 + piece.len() <= ROW_WIDTH) {
                Some(row) => {
                    row.push(' ');
                    row.extend(piece);
                }
                None => rows.push(piece.iter().collect()),
            }
        }
    }
    if rows.len() > MOST_ROWS {
        rows.truncate(MOST_ROWS);
        if let Some(last) = rows.last_mut() {
            let kept: String = last.chars().take(ROW_WIDTH - 2).collect();
            *last = format!("{kept} …");
        }
    }
    rows
}

impl Row {
    /// How many characters it has.
    pub(super) fn length(&self) -> usize {
        self.parts.iter().map(|(text, _)| text.chars().count()).sum()
    }

    fn plain(lane: Lane, kind: RowKind, text: impl Into<String>) -> Self {
        Self { lane, kind, parts: vec![(text.into(), false)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_wider_than_the_picture() {
        let long = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";
        let texts = [String::new(), long.into(), "a ".repeat(500), format!("to {long}"), "网".repeat(120)];
        for text in texts {
            let rows = fit(&text);
            assert!(rows.len() <= MOST_ROWS && rows.iter().all(|row| row.chars().count() <= ROW_WIDTH), "{rows:?}");
        }
        assert_eq!(fit("net.ipv4.ip_forward"), ["net.ipv4.ip_forward"]);
        assert!(fit(&"a ".repeat(500))[MOST_ROWS - 1].ends_with('…'));
        let pieces = fit(long);
        assert_eq!(pieces.concat(), long, "what fits is whole");
    }
}
