//! The picture as SVG. Colours and fonts are the style sheet's; what a colour says, a word or a form says too.

use std::fmt::Write;

use super::escape::escape;
use super::labels::{Labels, ROW_WIDTH, Row, RowKind};
use super::layout::{INTERFACE, Layout, Placed, WIDTH, lane, text};
use super::way::{Lane, Picture, Space, SpaceKind};

/// The longest name of a box that is drawn whole.
const LONGEST_TITLE: usize = 34;

/// The picture as an element of a page; `title` and `description` say the same to whoever does not see it.
pub(super) fn svg(picture: &Picture, title: &str, description: &str) -> String {
    let labels = Labels::new(picture);
    let layout = Layout::new(picture, &labels);
    let mut svg = format!(
        "<svg class=\"picture\" role=\"img\" aria-labelledby=\"picture-title picture-description\" \
         viewBox=\"0 0 {WIDTH} {}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <title id=\"picture-title\">{}</title>\n<desc id=\"picture-description\">{}</desc>\n",
        layout.height,
        escape(title),
        escape(description)
    );
    for (space, placed) in picture.spaces.iter().zip(&layout.boxes) {
        svg += &frame(space, placed);
    }
    for way in [Lane::Down, Lane::Up] {
        svg += &line(picture, &layout, way);
    }
    svg += &ahead(picture, &layout);
    svg += &turn(picture, &layout);
    for (space, placed) in picture.spaces.iter().zip(&layout.boxes) {
        svg += &interfaces(space, placed);
    }
    for (row, base) in &layout.rows {
        svg += &self::row(row, *base);
    }
    if let Some((x, y)) = layout.loss {
        let _ = writeln!(
            svg,
            "<g class=\"lost\"><circle cx=\"{x}\" cy=\"{y}\" r=\"10\"/><path d=\"M{} {}l8 8m0 -8l-8 8\"/></g>",
            x - 4,
            y - 4
        );
    }
    svg + "</svg>\n"
}

/// A box with its title.
fn frame(space: &Space, placed: &Placed) -> String {
    let ((left, right), (top, bottom)) = (placed.across, placed.down);
    let class = match (space.kind, &space.cause) {
        (_, Some(_)) => "space blamed",
        (SpaceKind::Seen, None) => "space",
        (SpaceKind::Ahead, None) => "space ahead",
        (SpaceKind::Beyond, None) => "space beyond",
    };
    let radius = if space.kind == SpaceKind::Beyond { 22 } else { 10 };
    let mut svg = format!(
        "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" rx=\"{radius}\"/>\n",
        right - left,
        bottom - top
    );
    let middle = i32::midpoint(left, right);
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"{middle}\" y=\"{}\">{}</text>",
        placed.title,
        escape(&short(&space.title))
    );
    for (role, base) in space.roles.iter().zip(&placed.roles) {
        let _ = writeln!(svg, "<text class=\"role\" x=\"{middle}\" y=\"{base}\">{}</text>", escape(role));
    }
    svg
}

fn short(title: &str) -> String {
    if title.chars().count() <= LONGEST_TITLE {
        return title.to_owned();
    }
    let kept: String = title.chars().take(LONGEST_TITLE - 1).collect();
    kept + "…"
}

/// The interfaces of a box, each with a mark where a lane passes it.
fn interfaces(space: &Space, placed: &Placed) -> String {
    let mut svg = String::new();
    for (interface, (middle, (left, right))) in space.interfaces.iter().zip(&placed.interfaces) {
        let is_passed = interface.down.is_some() || interface.up.is_some();
        let class = if is_passed { "interface" } else { "interface ahead" };
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{left}\" y=\"{}\" width=\"{}\" height=\"{INTERFACE}\" rx=\"6\"/>",
            middle - INTERFACE / 2,
            right - left
        );
        let address = interface.address.as_deref().unwrap_or_default();
        let room = usize::try_from((right - left - 48) / 7).unwrap_or_default();
        let fits = interface.name.chars().count() + 2 + address.len() <= room;
        let address = if fits { address } else { "" };
        let _ = writeln!(
            svg,
            "<text class=\"interface\" x=\"{}\" y=\"{}\">{} <tspan class=\"address\">{}</tspan></text>",
            i32::midpoint(*left, *right),
            middle + 4,
            escape(&interface.name),
            escape(address)
        );
        for (way, class) in [(Lane::Down, "down"), (Lane::Up, "up")] {
            if interface.of(way).is_some() {
                let _ = writeln!(svg, "<circle class=\"{class}\" cx=\"{}\" cy=\"{middle}\" r=\"5\"/>", lane(way));
            }
        }
    }
    svg
}

/// Where each sight of a lane stands.
fn stations(picture: &Picture, layout: &Layout, way: Lane) -> Vec<i32> {
    let places = (0..picture.lane(way).len()).filter_map(|sight| picture.place(way, sight));
    places.filter_map(|(space, at)| Some(layout.boxes.get(space)?.interfaces.get(at)?.0)).collect()
}

/// A lane with an arrow before each place where it was seen.
fn line(picture: &Picture, layout: &Layout, way: Lane) -> String {
    let (x, class) = (lane(way), if way == Lane::Down { "down" } else { "up" });
    let stations = stations(picture, layout, way);
    let sender = layout.boxes.first().map_or(0, |sender| sender.title - 4);
    let mut svg = String::new();
    let mut stroke = |from: i32, to: i32, is_arrow: bool| {
        let edge = INTERFACE / 2 + 1;
        let (tip, back) = if to > from { (to - edge, -10) } else { (to + edge, 10) };
        let _ = writeln!(svg, "<path class=\"lane {class}\" d=\"M{x} {from}V{}\"/>", if is_arrow { tip } else { to });
        if is_arrow {
            let _ = writeln!(svg, "<path class=\"tip {class}\" d=\"M{x} {tip}l-5 {back}h10z\"/>");
        }
    };
    if way == Lane::Down && (stations.is_empty() || picture.is_at_sender(way, 0)) {
        let first = stations.first().copied().or(layout.loss.map(|(_, y)| y));
        if let Some(first) = first {
            stroke(sender, first, !stations.is_empty());
        }
    }
    for pair in stations.windows(2) {
        stroke(pair[0], pair[1], true);
    }
    let last = stations.len().checked_sub(1);
    if let (Some((_, y)), Some(last)) = (layout.loss.filter(|(lost, _)| *lost == x), last) {
        stroke(stations[last], y, false);
    }
    let lost = picture.loss.as_ref().is_some_and(|loss| loss.lane == way);
    if let (Lane::Up, Some(last), false) = (way, last.filter(|last| picture.is_at_sender(way, *last)), lost) {
        stroke(stations[last], sender - INTERFACE / 2 + 6, true);
    }
    if way == Lane::Down {
        let _ = writeln!(svg, "<circle class=\"begin\" cx=\"{x}\" cy=\"{sender}\" r=\"6\"/>");
    }
    svg
}

/// The way that routes would have led it on.
fn ahead(picture: &Picture, layout: &Layout) -> String {
    let Some((x, from)) = layout.loss else { return String::new() };
    let interfaces = picture.spaces.iter().zip(&layout.boxes).flat_map(|(space, placed)| {
        let ahead = space.interfaces.iter().zip(&placed.interfaces);
        ahead.filter(|(interface, _)| interface.down.is_none() && interface.up.is_none()).map(|(_, place)| place.0)
    });
    let beyond = picture.spaces.iter().zip(&layout.boxes).filter(|(space, _)| space.kind == SpaceKind::Beyond);
    let places = interfaces.chain(beyond.map(|(_, placed)| placed.down.0));
    match places.filter(|place| *place > from).max() {
        Some(to) if x == lane(Lane::Down) => format!("<path class=\"lane ahead\" d=\"M{x} {from}V{to}\"/>\n"),
        _ => String::new(),
    }
}

/// The turn from the way there to the way back.
fn turn(picture: &Picture, layout: &Layout) -> String {
    let last = |way| stations(picture, layout, way);
    let ends = (last(Lane::Down).last().copied(), last(Lane::Up).first().copied());
    let placed = picture.turn().and_then(|space| layout.boxes.get(space));
    let ((Some(down), Some(up)), Some(placed)) = (ends, placed) else { return String::new() };
    let (left, right, middle, bottom) = (lane(Lane::Down), lane(Lane::Up), WIDTH / 2, placed.down.1 - 12);
    format!(
        "<path class=\"lane down\" d=\"M{left} {down}V{}q0 10 10 10H{middle}\"/>\n\
         <path class=\"lane up\" d=\"M{middle} {bottom}H{}q10 0 10 -10V{up}\"/>\n",
        bottom - 10,
        right - 10
    )
}

/// One row of text.
fn row(row: &Row, base: i32) -> String {
    let (way, anchor) = match row.lane {
        Lane::Down => ("down", "start"),
        Lane::Up => ("up", "end"),
    };
    let class = match row.kind {
        RowKind::Label => format!("label {way}"),
        RowKind::Packet => "packet".to_owned(),
        RowKind::Rewritten => format!("rewritten {way}"),
        RowKind::Lost | RowKind::Blamed => "code".to_owned(),
        RowKind::Object => "object".to_owned(),
    };
    let parts = row.parts.iter().map(|(text, is_new)| match is_new {
        true => format!("<tspan class=\"new\">{}</tspan>", escape(text)),
        false => escape(text),
    });
    let x = text(row.lane);
    let squeezed = if row.length() > ROW_WIDTH && row.kind == RowKind::Packet {
        format!(" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"", text(Lane::Up) - text(Lane::Down))
    } else {
        String::new()
    };
    format!(
        "<text class=\"{class}\" x=\"{x}\" y=\"{base}\" text-anchor=\"{anchor}\"{squeezed}>{}</text>\n",
        parts.collect::<String>()
    )
}
