//! What leads from the table that stands to the one that is wanted: only the elements that differ where the rules are the same.

use std::collections::BTreeMap;

use crate::model::ruleset::{
    Command, Element, Entry, Expression, Ruleset, Set, Table, TableId, elements_of_range, parse,
};

/// What leads from one table to the other, and back; none if they are the same.
pub(super) fn difference(
    id: &TableId,
    there: Option<&Table>,
    wanted: Option<&(Vec<Command>, Table)>,
) -> Option<(Vec<Command>, Vec<Command>)> {
    let delete = Command::DeleteTable { table: id.clone() };
    match (there, wanted) {
        (None, None) => None,
        (None, Some((make, _))) => Some((make.clone(), vec![delete])),
        (Some(there), None) => Some((vec![delete], commands(&there.to_string())?)),
        (Some(there), Some((_, wanted))) if skeleton(there) == skeleton(wanted) => elements(id, there, wanted),
        (Some(there), Some((make, _))) => {
            let again = commands(&there.to_string())?;
            Some(([vec![delete.clone()], make.clone()].concat(), [vec![delete], again].concat()))
        }
    }
}

pub(super) fn commands(text: &str) -> Option<Vec<Command>> {
    parse::commands(text, &Ruleset::default()).ok()
}

/// The table without its elements, as text: handles, the order of sets and what was counted do not count.
fn skeleton(table: &Table) -> String {
    let mut bare = table.clone();
    bare.sets.sort_by(|a, b| a.name.cmp(&b.name));
    for set in &mut bare.sets {
        set.elements.clear();
    }
    for rule in bare.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        for expression in &mut rule.expressions {
            if let Expression::Counter { packets, bytes } = expression {
                (*packets, *bytes) = (0, 0);
            }
        }
    }
    bare.to_string()
}

/// The elements that come and go, and the same the other way round.
fn elements(id: &TableId, there: &Table, wanted: &Table) -> Option<(Vec<Command>, Vec<Command>)> {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    for set in &wanted.sets {
        let old = there.set(&set.name)?;
        let gone = missing(old, set);
        let new = missing(set, old);
        let part = |elements: Vec<Element>| (!elements.is_empty()).then(|| Set { elements, ..set.clone() });
        let delete = |set: Set| Command::DeleteElements { table: id.clone(), set };
        let add = |set: Set| Command::AddElements { table: id.clone(), set };
        forth.extend(part(gone.clone()).map(delete).into_iter().chain(part(new.clone()).map(add)));
        back.extend(part(new).map(delete).into_iter().chain(part(gone).map(add)));
    }
    (!forth.is_empty()).then_some((forth, back))
}

/// The elements of a set that another one does not have in the same form.
fn missing(set: &Set, from: &Set) -> Vec<Element> {
    let mut has: BTreeMap<(Vec<u8>, Vec<u8>), Vec<Entry>> = BTreeMap::new();
    for entry in from.entries() {
        has.entry((entry.low.clone(), entry.high.clone())).or_default().push(entry);
    }
    let lacks = |entry: &Entry| {
        let there = has.get(&(entry.low.clone(), entry.high.clone()));
        !there.is_some_and(|there| there.contains(entry))
    };
    let lacking = set.entries().into_iter().filter(lacks);
    // Only ranges of keys of one part are kept as two elements.
    let in_two = set.interval && !from.is_concatenation() && !set.is_concatenation();
    let kept = |entry: Entry| {
        if in_two { elements_of_range(entry.low, &entry.high, entry.element) } else { vec![entry.element] }
    };
    lacking.flat_map(kept).collect()
}
