//! Where everything in the picture stands, in units of a picture that is as wide as the narrowest telephone. From top to
//! bottom; nothing here knows what a colour is.

use super::labels::{Labels, Row, RowKind};
use super::way::{Lane, Picture, Space};

/// How wide the picture is.
pub(super) const WIDTH: i32 = 360;
/// How high an interface is.
pub(super) const INTERFACE: i32 = 26;
/// Where the boxes begin and, as far from the other side, end.
const EDGE: i32 = 8;
/// How far the lanes are from the sides.
const LANE: i32 = 24;
/// How far text is from the sides.
const TEXT: i32 = 42;
/// By how much an interface is narrower than its box, on either side.
const INSET: i32 = 6;
/// From one row's base line to the next.
const ROW: i32 = 16;
/// Between two boxes, at least.
const GAP: i32 = 38;

/// The picture with places.
pub(super) struct Layout {
    /// How high it is.
    pub(super) height: i32,
    /// The boxes.
    pub(super) boxes: Vec<Placed>,
    /// Each row with its base line.
    pub(super) rows: Vec<(Row, i32)>,
    /// Where the mark of the loss stands.
    pub(super) loss: Option<(i32, i32)>,
}

/// A box with its place.
pub(super) struct Placed {
    /// Where it begins and ends, from left to right.
    pub(super) across: (i32, i32),
    /// Where it begins and ends, from top to bottom.
    pub(super) down: (i32, i32),
    /// The base line of its title.
    pub(super) title: i32,
    /// The base lines of what follows the title.
    pub(super) roles: Vec<i32>,
    /// The middle of each interface, and where it begins and ends from left to right.
    pub(super) interfaces: Vec<(i32, (i32, i32))>,
}

/// Where a lane runs.
pub(super) fn lane(lane: Lane) -> i32 {
    match lane {
        Lane::Down => LANE,
        Lane::Up => WIDTH - LANE,
    }
}

/// Where the text beside a lane begins or, on the way up, ends.
pub(super) fn text(lane: Lane) -> i32 {
    match lane {
        Lane::Down => TEXT,
        Lane::Up => WIDTH - TEXT,
    }
}

impl Layout {
    /// Gives everything its place.
    pub(super) fn new(picture: &Picture, labels: &Labels) -> Self {
        let mut layout = Self { height: EDGE, boxes: Vec::new(), rows: Vec::new(), loss: None };
        for (at, space) in picture.spaces.iter().enumerate() {
            let has_rows = layout.rows_here(&labels.gaps[at], 10);
            layout.height += if at == 0 {
                0
            } else if has_rows {
                22
            } else {
                GAP
            };
            layout.space(picture, at, space, &labels.slots[at]);
        }
        if let Some(last) = labels.gaps.last() {
            layout.rows_here(last, 10);
        }
        layout.height += EDGE;
        layout
    }

    fn space(&mut self, picture: &Picture, at: usize, space: &Space, slots: &[Vec<Row>]) {
        let top = self.height;
        let across = across(picture, at, space);
        let mut placed = Placed { across, down: (top, top), title: 0, roles: Vec::new(), interfaces: Vec::new() };
        let (first, last) = (usize::from(space.has_entry()), space.interfaces.len() - usize::from(space.has_exit()));
        if space.has_entry() {
            placed.interfaces.push((top, inner(across, picture, at, 0)));
            self.height += INTERFACE / 2;
        }
        placed.title = self.height + 22;
        self.height += 28;
        for _ in &space.roles {
            self.height += 15;
            placed.roles.push(self.height - 3);
        }
        self.rows_here(&slots[first], 2);
        for interface in first..last.max(first) {
            self.height += INTERFACE / 2 + 8;
            placed.interfaces.push((self.height, inner(across, picture, at, interface)));
            self.height += INTERFACE / 2 + 2;
            self.rows_here(&slots[interface + 1], 4);
        }
        self.height += if picture.turn() == Some(at) { 24 } else { 12 };
        if space.has_exit() && last >= first {
            self.height += INTERFACE / 2;
            placed.interfaces.push((self.height, inner(across, picture, at, last)));
        }
        placed.down.1 = self.height;
        if space.has_exit() {
            self.height += INTERFACE / 2;
        }
        self.boxes.push(placed);
    }

    /// Puts rows here; gives whether there are any.
    fn rows_here(&mut self, rows: &[Row], above: i32) -> bool {
        if rows.is_empty() {
            return false;
        }
        self.height += above;
        for (at, row) in rows.iter().enumerate() {
            let is_apart = at > 0 && rows[at - 1].lane != row.lane || row.kind == RowKind::Lost;
            self.height += if is_apart { 4 } else { 0 };
            self.height += ROW;
            let base = self.height - 4;
            if row.kind == RowKind::Lost {
                self.loss = Some((lane(row.lane), base - 4));
            }
            self.rows.push((row.clone(), base));
        }
        true
    }
}

/// How wide a box is: a lane that goes by without coming into it stays outside.
fn across(picture: &Picture, at: usize, space: &Space) -> (i32, i32) {
    let by = |lane: Lane| if goes_by(picture, at, space, lane) { LANE + 16 } else { EDGE };
    (by(Lane::Down), WIDTH - by(Lane::Up))
}

/// Whether a lane passes a box without coming into it.
fn goes_by(picture: &Picture, at: usize, space: &Space, lane: Lane) -> bool {
    if space.is_on(lane) {
        return false;
    }
    let places =
        || (0..picture.lane(lane).len()).filter_map(|sight| picture.place(lane, sight)).map(|(space, _)| space);
    places().min().is_some_and(|first| first < at) && places().max().is_some_and(|last| at < last)
}

/// How wide an interface is: a lane that goes by in its box stays outside.
fn inner(across: (i32, i32), picture: &Picture, space: usize, interface: usize) -> (i32, i32) {
    let by = |lane: Lane| {
        let places = || (0..picture.lane(lane).len()).filter_map(|sight| picture.place(lane, sight));
        let here = (space, interface);
        let is_passed = places().any(|place| place == here);
        let is_within = places().any(|(of, _)| of == space);
        let goes_by = !is_passed && is_within && places().min() < Some(here) && places().max() > Some(here);
        if goes_by { LANE + 10 } else { INSET }
    };
    (across.0 + by(Lane::Down), across.1 - by(Lane::Up))
}
